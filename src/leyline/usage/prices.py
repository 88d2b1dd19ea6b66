"""What tokens cost, by the list of prices that genai-prices brings along; asks no network.

The list is loaded at the first question, which takes some tenths of a second.
"""

import contextlib
import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from attrs import frozen

from leyline.usage.record import UsageRecord

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_PROMPT, _ANSWER = 7_500, 2_500
"""Tokens of a run that stands for all: three times as much is read as written."""


@frozen
class _Rates:
    """US dollars for one token."""

    uncached: float
    cached: float
    output: float


_rates: Final[dict[tuple[int, int], tuple["ModelPrice", _Rates]]] = {}
"""By the prices' identity, and the size of prompts from which on they are such."""


def estimate(record: UsageRecord) -> float | None:
    """US dollars that *record* probably cost. None: its model, price or tokens are not known.

    Tokens that were estimated themselves are not known: an agent reads many times its prompt.
    """
    if not record.measured:
        return None
    return price(
        record.model,
        record.input_tokens,
        record.output_tokens,
        cached_tokens=record.cached_tokens,
        requests=record.requests,
        at=record.at,
    )


def price(
    model: str | None,
    input_tokens: int,
    output_tokens: int,
    *,
    cached_tokens: int = 0,
    requests: int = 1,
    at: float | None = None,
) -> float | None:
    """US dollars for tokens of *model*. None: the model, its price or the tokens are not known.

    input_tokens: Cached ones included. requests: Over how many the tokens are spread, where long
    prompts have a higher price. at: Unix time, where the price changed. None: now.
    """
    if not model or input_tokens < 0 or output_tokens < 0 or not input_tokens + output_tokens:
        return None
    listed = _listed(model)
    if listed is None:
        return None
    when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    rates = _rates_of(listed.get_prices(when), input_tokens // max(1, requests))
    if rates is None:
        return None
    cached = min(max(0, cached_tokens), input_tokens)
    uncached = input_tokens - cached
    return uncached * rates.uncached + cached * rates.cached + output_tokens * rates.output


def price_per_million(model: str | None) -> float | None:
    """US dollars per million tokens, three of the prompt for each one of the answer.

    None: the model or its price is not known.
    """
    whole = price(model, _PROMPT, _ANSWER)
    return None if whole is None else whole / (_PROMPT + _ANSWER) * 1e6


@functools.lru_cache(maxsize=1000)
def _listed(model: str) -> "ModelInfo | None":
    """What the list knows *model* as; its name may name its provider too."""
    from genai_prices import Usage, calc_price

    for name in (model, model.rpartition("/")[2]):
        with contextlib.suppress(LookupError, ValueError):
            return calc_price(Usage(input_tokens=0, output_tokens=0), name).model
    return None


def _rates_of(prices: "ModelPrice", prompt: int) -> _Rates | None:
    """So much a token, in requests of *prompt* tokens. None: not priced by the token.

    Asked of the list once for each step of its prices: it takes its time over each answer.
    """
    step = max((start for start in _steps(prices) if prompt > start), default=0)
    key = (id(prices), step)
    if key not in _rates:
        total, rates = step + 1, None
        with contextlib.suppress(LookupError, ValueError):
            uncached = _dollars(prices, total, 0, 0)
            rates = _Rates(
                float(uncached / total),
                float(_dollars(prices, total, total, 0) / total),
                float(_dollars(prices, total, 0, 1) - uncached),
            )
        if rates is None:
            return None
        _rates[key] = (prices, rates)  # kept, so that its identity stays its own
    return _rates[key][1]


def _steps(prices: "ModelPrice") -> Iterator[int]:
    """Tokens of a prompt past which something has another price."""
    for part in vars(prices).values():
        for tier in getattr(part, "tiers", ()):
            yield tier.start


def _dollars(prices: "ModelPrice", total: int, cached: int, output: int) -> Decimal:
    from genai_prices import Usage

    usage = Usage(input_tokens=total, cache_read_tokens=cached, output_tokens=output)
    return prices.calc_price(usage)["total_price"]
