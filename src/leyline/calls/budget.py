"""How often one service may be asked again: retries and hedges together. Pure: takes the time."""

import math
from typing import Final

from attrs import define, field

from leyline.policies import BudgetPolicy

_SLICES: Final = 10
"""Of a window; its start is rounded down to the start of a slice."""


@define(eq=False)
class Budget:
    """Counts what callers asked for and what was asked beyond it, and bounds the one by the other.

    Two promises hold together, whenever one more is allowed:

    - of a window: in the last ``window`` seconds, and up to a tenth more of them, no more than
      ``share`` of the calls of the same time, and ``least``, were spent;
    - of a stretch: since it was last quiet, no more than ``share`` of the calls since then (those
      of the window before included), and ``least``, were spent. It was quiet when nobody wanted
      to spend, in vain or not, for a window and up to a tenth more.

    So an outage under load costs ``share`` of the calls and ``least`` once, however long it lasts;
    what a long good time has earned cannot be spent at once; and a service that is called once an
    hour can be asked again ``least`` times. No call is counted for two stretches.

    Calls count when they start: counted at their end, those that hang in an outage would be missed.

    Every ``now`` is in monotonic seconds.
    """

    policy: BudgetPolicy
    _calls: list[int] = field(factory=lambda: [0] * (_SLICES + 1), init=False)
    _spent: list[int] = field(factory=lambda: [0] * (_SLICES + 1), init=False)
    _slice: int | None = field(default=None, init=False)  # the latest seen
    _wanted: int | None = field(default=None, init=False)  # the slice of the last try to spend
    _stretch: int = field(default=0, init=False)  # calls since it was last quiet
    _stretch_spent: int = field(default=0, init=False)

    def note(self, now: float) -> None:
        """A caller's call starts: its first try, not one that was paid for by ``try_spend``."""
        self._calls[self._turn_to(now)] += 1
        self._stretch += 1

    def try_spend(self, now: float) -> bool:
        """Whether the service may be asked once more than callers asked; true spends it."""
        index = self._turn_to(now)
        self._begin_if_quiet()
        self._wanted = self._slice
        if self._room() < 1:
            return False
        self._spent[index] += 1
        self._stretch_spent += 1
        return True

    def give_back(self, spent_at: float) -> None:
        """What ``try_spend`` allowed at *spent_at* was not used: the service was not asked."""
        spent = math.floor(spent_at / (self.policy.window / _SLICES))
        assert self._slice is not None
        if self._slice - spent <= _SLICES:  # else it counts for nothing any more
            self._spent[spent % len(self._spent)] -= 1
            self._stretch_spent -= 1

    def left(self, now: float) -> int:
        """How often ``try_spend`` would be true at this moment."""
        self._turn_to(now)
        self._begin_if_quiet()
        return max(0, self._room())

    def _turn_to(self, now: float) -> int:
        """The place of the current slice; those that lie a window behind it are forgotten."""
        current = math.floor(now / (self.policy.window / _SLICES))
        if self._slice is None:
            self._slice = current
        elif current > self._slice:
            for passed in range(max(self._slice, current - len(self._calls)) + 1, current + 1):
                self._calls[passed % len(self._calls)] = 0
                self._spent[passed % len(self._spent)] = 0
            self._slice = current
        return self._slice % len(self._calls)

    def _begin_if_quiet(self) -> None:
        """Begin a stretch where none of the slices in view saw anybody who wanted to spend."""
        assert self._slice is not None
        if self._wanted is None or self._slice - self._wanted > _SLICES:
            self._stretch, self._stretch_spent = sum(self._calls), 0

    def _room(self) -> int:
        in_window = self._allowance(sum(self._calls)) - sum(self._spent)
        return min(in_window, self._allowance(self._stretch) - self._stretch_spent)

    def _allowance(self, calls: int) -> int:
        return math.floor(self.policy.least + self.policy.share * calls)
