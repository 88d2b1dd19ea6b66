"""What a call will probably use, learned from what earlier ones did. Pure."""

import math
from collections.abc import Iterable
from typing import Final

from attrs import define

from leyline.limits import Limit, Measure, Weight

_LEARNING: Final = 0.1
"""Part of the way that each report moves what is expected; the first ones move it further."""

_FIRST_OUTPUT: Final = 500.0
"""Tokens of an answer that are expected before any was seen."""

_FACTORS: Final = (0.2, 5.0)
"""How far reports can move the estimate of a prompt by its length."""

_DOUBT: Final = 1000.0**2
"""Prompts whose lengths vary by less than a thousand tokens say little of that factor."""


@define
class Expectation:
    """Of one service. Starts from plain estimates and follows what the service reports.

    A tool sends a prompt of its own along: what is reported is taken for a factor of the estimate
    and something on top, by least squares in which old reports fade.

    output_tokens, requests: Of one call.
    """

    output_tokens: float = _FIRST_OUTPUT
    requests: float = 1.0
    _reports: int = 0
    _estimated: float = 0.0  # means
    _reported: float = 0.0
    _variance: float = 0.0  # of the estimates
    _covariance: float = 0.0  # of estimates and reports

    def weight(self, estimated_input: int, limits: Iterable[Limit] = ()) -> Weight:
        """What to reserve for a prompt that is estimated at so many tokens; rounded up.

        What was learned never makes it more than *limits* allow: else the call could not start,
        and nothing better would ever be learned.
        """
        requests = math.ceil(self.requests - 1e-9)
        read = math.ceil(self._input(estimated_input))
        written = math.ceil(self.output_tokens)
        least = min(read, estimated_input)
        for limit in limits:
            match limit.measure:
                case Measure.REQUESTS:
                    requests = min(requests, limit.amount)
                case Measure.OUTPUT_TOKENS:
                    written = min(written, limit.amount)
                case Measure.INPUT_TOKENS:
                    read = max(least, min(read, limit.amount))
                case Measure.TOKENS:
                    read = max(least, min(read, limit.amount))
                    written = max(0, min(written, limit.amount - read))
        return Weight(requests=requests, input_tokens=read, output_tokens=written)

    def learn(self, estimated_input: int, used: Weight) -> None:
        """Take in what a call, its prompt estimated at *estimated_input*, was reported to use."""
        self._reports += 1
        gain = max(_LEARNING, 1 / self._reports)
        more, reported = estimated_input - self._estimated, used.input_tokens - self._reported
        self._estimated += gain * more
        self._reported += gain * reported
        self._variance = (1 - gain) * (self._variance + gain * more * more)
        self._covariance = (1 - gain) * (self._covariance + gain * more * reported)
        self.output_tokens += _LEARNING * (used.output_tokens - self.output_tokens)
        # More requests than expected are believed at once: they are what a limit is lost by.
        self.requests = max(
            float(used.requests), self.requests + _LEARNING * (used.requests - self.requests)
        )

    def _input(self, estimated: int) -> float:
        least, most = _FACTORS
        factor = (self._covariance + _DOUBT) / (self._variance + _DOUBT)
        factor = min(max(factor, least), most)
        on_top = self._reported - factor * self._estimated
        return max(least * estimated, factor * estimated + on_top)
