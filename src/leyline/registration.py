"""What is registered in a registry, and how long it lives."""

import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from attrs import evolve

from leyline import services
from leyline.calls import Bookkeeping, Checkup, Roster, RunFactory, Service
from leyline.clock import SYSTEM_CLOCK, Clock
from leyline.config import ServiceConfig
from leyline.events import EventHook, Events
from leyline.quota import Ledger, Store
from leyline.routing import Router
from leyline.routing.residence import Residence
from leyline.usage import Sink, usage_log


class Registration:
    """Services by name, from ``register`` to ``unregister`` or the end of the registry."""

    def __init__(
        self,
        state: str | os.PathLike[str] | Ledger | None = None,
        *,
        usage: str | os.PathLike[str] | Sink | Literal[False] | None = None,
        session: str = "",
        keep_prompts: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        on_event: EventHook | None = None,
    ) -> None:
        """state: Where quotas are kept: a path (SQLite), ``":memory:"`` or a ``redis://`` URL;
            None: a file in the user's state folder. Opened when a service with a quota is asked.
            Or a ledger of your own, which you close after the registry. Else raises TypeError.
        usage: Where is written what each process used, and which calls were refused: a path
            (SQLite, or lines of JSON in a ``.jsonl``), a sink of your own, or False for nowhere.
            None: ``usage.sqlite3`` in the folder of the state; nowhere for a state in memory.
        session: What these calls are added up under; empty: a new one after an hour without any.
        keep_prompts: Keep prompts there too, not only their length and what tells them apart.
        clock: Where durations, stamps and pauses come from.
        on_event: A plain function that is told what happens, such as a quota's new level; what it
            raises is logged and changes nothing. Raises TypeError if it is async.
        """
        self._events = Events(on_event)
        self._clock = clock
        self._store = Store.at(state, clock)
        self._services = Roster()
        self._checkup = Checkup(self._services, clock, self._events)
        self._book = Bookkeeping(
            log=usage_log(usage, state), session=session, keep_prompts=keep_prompts
        )
        self._residence = Residence(self._store, self._book.log, clock)
        self._router = Router(
            roster=self._services,
            checkup=self._checkup,
            clock=clock,
            events=self._events,
            book=self._book,
            rng=Random(),  # noqa: S311  (spreads load; nothing secret)
        )

    @classmethod
    def from_config(
        cls,
        path: str | Path | None = None,
        state: str | os.PathLike[str] | Ledger | None = None,
        *,
        usage: str | os.PathLike[str] | Sink | Literal[False] | None = None,
        session: str = "",
        keep_prompts: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        on_event: EventHook | None = None,
    ) -> Self:
        """A registry of the services of a file (YAML or TOML); the rest as for the class.

        path: None looks in ``$LEYLINE_CONFIG``, ``./services.yaml``, the user's configuration
            folder and ``~/.claude/leyline/services.yaml``; where none exists, it is empty.
        Raises ConfigError with every problem of the file.
        """
        registry = cls(
            state,
            usage=usage,
            session=session,
            keep_prompts=keep_prompts,
            clock=clock,
            on_event=on_event,
        )
        for name, config in services.load(path).items():
            registry.register(name, config)
        return registry

    async def __aenter__(self) -> Self:
        await self._residence.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._residence.leave(exc_type, exc, traceback)

    async def aclose(self) -> None:
        """Stop every process that runs, and wait until all of their trees have ended.

        Calls under way return a failure of kind ``cancelled``; later ones raise
        RegistryClosedError. Bounded by the services' grace and a few seconds; not cancellable.
        """
        await self._residence.aclose()

    @property
    def services(self) -> Mapping[str, ServiceConfig]:
        """What is registered, everything filled in, in the order of registration."""
        return MappingProxyType({name: s.config for name, s in self._services.items()})

    def register(
        self,
        name: str,
        config: ServiceConfig,
        *,
        replace: bool = False,
        run: RunFactory | None = None,
    ) -> None:
        """Add a service; what *config* leaves unsaid comes from the preset of its tool.

        run: For tests: makes what answers in place of a process, behind all that stands around
            one; see ``leyline.testing.ScriptedService``.

        Raises ConfigError with every problem of *config*, ServiceExistsError if *name* is taken
        and *replace* is not set. Nothing is run and nothing is looked up.
        """
        config = services.resolve(evolve(config, name=name))
        service = Service.prepare(
            config,
            self._store,
            self._clock,
            self._events,
            self._checkup.observe,
            book=self._book,
            run=run,
        )
        self._services.add(service, replace=replace)
        self._checkup.forget(name)

    def unregister(self, name: str) -> None:
        """Forget a service. Calls under way go on. Raises ServiceNotFoundError."""
        self._services.find(name)
        del self._services[name]
        self._checkup.forget(name)
