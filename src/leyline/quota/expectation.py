"""What a call will probably use, learned from what earlier ones did. Pure."""

import math
from typing import Final

from attrs import define

from leyline.limits import Weight

_LEARNING: Final = 0.1
"""Part of the way that each report moves what is expected."""

_FIRST_OUTPUT: Final = 500.0
"""Tokens of an answer that are expected before any was seen."""

_FACTORS: Final = (0.2, 50.0)
"""How far a report can move the estimate of a prompt: tools put more around it, never less."""


@define
class Expectation:
    """Of one service. Starts from plain estimates and follows what the service reports.

    input_factor: Tokens reported for one estimated. output_tokens, requests: Of one call.
    """

    input_factor: float = 1.0
    output_tokens: float = _FIRST_OUTPUT
    requests: float = 1.0

    def weight(self, estimated_input: int) -> Weight:
        """What to reserve for a prompt that is estimated at so many tokens; rounded up."""
        return Weight(
            requests=math.ceil(self.requests - 1e-9),
            input_tokens=math.ceil(estimated_input * self.input_factor),
            output_tokens=math.ceil(self.output_tokens),
        )

    def learn(self, estimated_input: int, used: Weight) -> None:
        """Take in what a call, its prompt estimated at *estimated_input*, was reported to use."""
        if estimated_input > 0:
            least, most = _FACTORS
            factor = min(max(used.input_tokens / estimated_input, least), most)
            self.input_factor += _LEARNING * (factor - self.input_factor)
        self.output_tokens += _LEARNING * (used.output_tokens - self.output_tokens)
        # More requests than expected are believed at once: they are what a limit is lost by.
        self.requests = max(
            float(used.requests), self.requests + _LEARNING * (used.requests - self.requests)
        )
