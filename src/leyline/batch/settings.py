"""How a batch is run, where it ends early, and how it ended."""

from enum import StrEnum
from typing import Any

from attrs import field, frozen
from attrs.validators import ge

from leyline.config import UNSAID


class Ending(StrEnum):
    """Why a batch ended.

    DONE: Every row has a result. INTERRUPTED: Somebody asked it to. COST, FAILURES, TIME: A limit
    was reached. QUOTA: No service has room for long, and it was not to wait. UNUSABLE: No service
    can be used. BROKEN: Results could not be written, or quotas could not be
    read.
    """

    DONE = "done"
    INTERRUPTED = "interrupted"
    COST = "cost"
    FAILURES = "failures"
    TIME = "time"
    QUOTA = "quota"
    UNUSABLE = "unusable"
    BROKEN = "broken"


@frozen(kw_only=True)
class Settings:
    """services: Which may answer, in the order to be asked in. None: all.

    concurrency: Rows at once. model, timeout: For rows that do not say; timeout in seconds, as in
    ``Call``. ordered: The output in the order of the input.
    max_cost: US dollars of the whole batch, as far as they are known; also of runs that failed,
    counted when their row is done. max_failures: Rows that failed, this time. until: Unix time.
    None means no limit. When one is reached, what runs is finished and nothing more begins.
    wait: Whether a quota that is used up for long is waited for.
    only_failed: Only rows that have failed before.
    """

    services: tuple[str, ...] | None = None
    concurrency: int = field(default=8, validator=ge(1))
    model: str | None = None
    timeout: Any = UNSAID
    ordered: bool = False
    max_cost: float | None = None
    max_failures: int | None = None
    until: float | None = None
    wait: bool = True
    only_failed: bool = False
