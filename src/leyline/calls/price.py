"""What a service costs, from what its tool said of its own runs."""

from attrs import define

from leyline.model import Usage


@define
class ObservedPrice:
    """US dollars and tokens of all runs whose price the tool reported."""

    _dollars: float = 0.0
    _tokens: int = 0

    def add(self, usage: Usage) -> None:
        """A run cost what it cost; one that does not say says nothing."""
        if usage.cost_usd is not None and usage.measured:
            self._dollars += usage.cost_usd
            self._tokens += usage.total_tokens

    @property
    def per_million(self) -> float | None:
        """US dollars per million tokens, input and output blended. None: unknown."""
        return self._dollars / self._tokens * 1e6 if self._tokens else None
