"""What can be wrong with a batch as a whole. What becomes of one row is never an error."""

from leyline.errors import LeylineError

_SHOWN = 50
"""Problems that a message names one by one."""


class BatchError(LeylineError):
    """The batch cannot begin or go on. All that was written down stays.

    where: A file. reason: What is wrong with it and what to do.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class BatchInputError(BatchError):
    """Rows of the input are wrong. Nothing was run, nothing was written.

    problems: Each with the number of its line, in the order of the input.
    """

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        super().__init__(where, "")
        self.args = (where, problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.where}: {self.problems[0]}"
        lines = "".join(f"\n  {problem}" for problem in self.problems[:_SHOWN])
        rest = len(self.problems) - _SHOWN
        more = f"\n  and {rest:,} more" if rest > 0 else ""
        return f"{self.where}: {len(self.problems):,} problems; nothing was run:{lines}{more}"
