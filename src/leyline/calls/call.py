"""What a caller asks, before it is known of which service."""

import os
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Self, TypedDict, Unpack

from attrs import field, frozen
from attrs.converters import optional

from leyline.arguments import listed
from leyline.config import UNSAID, ServiceConfig
from leyline.model import BoundCall, Priority


def _paths(paths: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    return tuple(os.fspath(path) for path in listed(paths, "files"))


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return listed(names, "services")


def _path(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


class CallOptions(TypedDict, total=False):
    """What may be said of any call; see ``ServiceRegistry.execute``."""

    model: str | None
    timeout: float | None
    deadline: float | None
    priority: Priority
    cwd: str | os.PathLike[str] | None


@frozen(kw_only=True)
class Call:
    """One prompt. timeout, deadline: Seconds; None means no limit; unsaid, as the service has it.

    files: Paths, relative to *cwd*. model: None means the service's default.
    services: Which may answer, in the order to be asked in; only ``map`` looks at it.
    asked_at: Unix time. id: What its events are known by. operation: The method that was called.

    Raises TypeError for what has the wrong type.
    """

    prompt: str
    files: tuple[str, ...] = field(default=(), converter=_paths)
    model: str | None = None
    timeout: Any = UNSAID
    deadline: Any = UNSAID
    priority: Priority = Priority.NORMAL
    cwd: str | None = field(default=None, converter=optional(_path))
    services: tuple[str, ...] | None = field(default=None, converter=optional(_names))
    operation: str = "execute"
    asked_at: float = field(factory=time.time)
    id: str = field(factory=lambda: uuid.uuid4().hex)

    def __attrs_post_init__(self) -> None:
        for name, text in (("prompt", self.prompt), ("model", self.model or "")):
            _check_text(name, text)
        for name, seconds in (("timeout", self.timeout), ("deadline", self.deadline)):
            _check_seconds(name, seconds)

    @classmethod
    def of(
        cls,
        prompt: str,
        files: Sequence[str | os.PathLike[str]] | None,
        asked_at: float,
        operation: str = "execute",
        **options: Unpack[CallOptions],
    ) -> Self:
        """As methods of a registry are given it. Raises TypeError, also for an unknown option."""
        return cls(
            prompt=prompt,
            files=files or (),
            asked_at=asked_at,
            operation=operation,
            **options,
        )

    @property
    def limit(self) -> float | None:
        """Seconds for everything; None where nobody said."""
        return None if self.deadline is UNSAID else self.deadline

    def bound_to(self, config: ServiceConfig) -> BoundCall:
        """The call on one service; it may wait for its start as long as its run may take."""
        seconds = config.timeout_seconds if self.timeout is UNSAID else self.timeout
        return BoundCall(
            prompt=self.prompt,
            files=self.files,
            model=self.model,
            timeout=seconds,
            cwd=self.cwd,
            max_wait=seconds if self.deadline is UNSAID else self.deadline,
            deadline=self.limit,
            priority=self.priority,
            id=self.id,
            operation=self.operation,
        )


def _check_text(name: str, given: object) -> None:
    if not isinstance(given, str):
        raise TypeError(f"{name} must be a str, got a {type(given).__name__}")


def _check_seconds(name: str, given: object) -> None:
    if given is None or given is UNSAID:
        return
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{name} must be seconds, or None for no limit; got {given!r}")
