"""What a registry's ``state`` may be, above all a ledger of the user's own, and who closes it."""

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from leyline import LedgerError, QuotaExceededError, ServiceConfig, ServiceRegistry
from leyline.clock import SYSTEM_CLOCK
from leyline.limits import Limit, Weight, named_limit
from leyline.quota import AccountStatus, Booked, Ledger, MemoryLedger, Refused, Store
from leyline.quota.slots import Slots

pytestmark = pytest.mark.anyio

RPM = named_limit("rpm", 2)
ONE = Weight()


class OwnLedger:
    """A third party's: nothing in common with ours but the methods."""

    def __init__(self) -> None:
        self._inner = MemoryLedger(SYSTEM_CLOCK)
        self.closed = 0

    async def book(
        self,
        account: str,
        booking: str,
        limits: Sequence[Limit],
        weight: Weight,
        *,
        max_delay: float,
        dry_run: bool = False,
    ) -> Booked | Refused:
        if self.closed:
            raise LedgerError("its own place", "it was closed")
        return await self._inner.book(
            account, booking, limits, weight, max_delay=max_delay, dry_run=dry_run
        )

    async def confirm(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> Booked:
        return await self._inner.confirm(account, booking, limits, weight)

    async def settle(
        self, account: str, booking: str, limits: Sequence[Limit], weight: Weight
    ) -> bool:
        return await self._inner.settle(account, booking, limits, weight)

    async def refund(self, account: str, booking: str) -> bool:
        return await self._inner.refund(account, booking)

    async def throttle(self, account: str, until: float, reason: str) -> None:
        await self._inner.throttle(account, until, reason)

    async def status(self, account: str, limits: Sequence[Limit]) -> AccountStatus:
        return await self._inner.status(account, limits)

    async def aclose(self) -> None:
        self.closed += 1


class Proxy:
    """Has no methods, and still can do all."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


def config(**limits: object) -> ServiceConfig:
    return ServiceConfig("svc", "cat", command_template="cat", quota_limits=limits or {"rpm": 2})


# A ledger that is given


async def test_a_registry_keeps_its_quotas_in_the_ledger_it_is_given():
    ledger = OwnLedger()
    async with ServiceRegistry(ledger) as registry:
        registry.register("svc", config())
        await registry.execute("svc", "hi")
        assert [s.used for s in (await ledger.status("svc", [RPM])).limits] == [1]
        await ledger.book("svc", "another's", [RPM], ONE, max_delay=0.0)
        with pytest.raises(QuotaExceededError):
            await registry.execute("svc", "hi", deadline=1)


async def test_a_ledger_that_is_given_is_closed_by_nobody_but_its_giver():
    ledger = OwnLedger()
    async with ServiceRegistry(state=ledger) as registry:
        registry.register("svc", config())
        await registry.execute("svc", "hi")
        await registry.aclose()
    alone = ServiceRegistry(state=ledger)
    alone.register("svc", config())
    await alone.execute("svc", "hi")
    assert ledger.closed == 0


async def test_registries_that_are_given_one_ledger_share_it_also_after_each_other():
    ledger = MemoryLedger(SYSTEM_CLOCK)
    async with ServiceRegistry(ledger) as one, ServiceRegistry(ledger) as other:
        for registry in (one, other):
            registry.register("svc", config())
            await registry.execute("svc", "hi")
    async with ServiceRegistry(ledger) as later:
        later.register("svc", config())
        with pytest.raises(QuotaExceededError):
            await later.execute("svc", "hi", deadline=1)


async def test_a_ledger_that_its_giver_closed_too_early_starts_nothing():
    ledger = OwnLedger()
    async with ServiceRegistry(ledger) as registry:
        registry.register("svc", config())
        await ledger.aclose()
        with pytest.raises(LedgerError, match="its own place"):
            await registry.execute("svc", "hi")


async def test_what_hands_everything_on_to_a_ledger_is_one():
    ledger = OwnLedger()
    async with ServiceRegistry(Proxy(ledger)) as registry:
        registry.register("svc", config())
        await registry.execute("svc", "hi")
    assert [s.used for s in (await ledger.status("svc", [RPM])).limits] == [1]


async def test_a_registry_from_a_file_takes_a_ledger_too(tmp_path: Path):
    (tmp_path / "services.yaml").write_text(
        "services: {svc: {command: cat, command_template: cat, quota_limits: {rpm: 2}}}"
    )
    ledger = OwnLedger()
    async with ServiceRegistry.from_config(tmp_path / "services.yaml", ledger) as registry:
        await registry.execute("svc", "hi")
    assert [s.used for s in (await ledger.status("svc", [RPM])).limits] == [1]


async def test_slots_beside_a_ledger_that_is_given_lie_in_the_users_state_folder(
    state_folder: Path,
):
    async with ServiceRegistry(OwnLedger()) as registry:
        registry.register("svc", config(concurrent=1))
        await registry.execute("svc", "hi")
    assert list((state_folder / "leyline" / "slots").iterdir())


# Everything else that may be given


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_a_url_names_a_server_and_slots_lie_in_the_users_state_folder(
    scheme: str, state_folder: Path
):
    store = Store.at(f"{scheme}://localhost:1", SYSTEM_CLOCK)
    assert store.slots_folder == state_folder / "leyline" / "slots"


def test_a_path_names_a_file_with_its_slots_beside_it(tmp_path: Path, state_folder: Path):
    for state in (tmp_path / "quotas", os.fspath(tmp_path / "quotas")):
        assert Store.at(state, SYSTEM_CLOCK).slots_folder == tmp_path / "quotas.slots"
    default = Store.at(None, SYSTEM_CLOCK).slots_folder
    assert default == state_folder / "leyline" / "quota.sqlite3.slots"
    assert list(tmp_path.iterdir()) == []  # nothing was opened


async def test_what_is_kept_in_memory_outlives_letting_go_of_it():
    store = Store.at(":memory:", SYSTEM_CLOCK)
    await store.book("svc", "one", [RPM], ONE, max_delay=0.0)
    await store.aclose()
    assert [s.used for s in (await store.status("svc", [RPM])).limits] == [1]


# What may not


class Halfway(OwnLedger):
    """A ledger whose author forgot something."""

    refund = None
    throttle = "busy"


@pytest.mark.parametrize(
    ("state", "got"),
    [
        (5, "got a int"),
        (True, "got a bool"),
        (b"quotas", "got a bytes"),
        (object(), "got a object"),
        (MemoryLedger, "got the class MemoryLedger"),
        (Halfway(), "got a Halfway, which has no refund, throttle"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_is_neither_a_place_nor_a_ledger_is_told_what_may_be_given(state: object, got: str):
    with pytest.raises(TypeError) as caught:
        ServiceRegistry(state=state)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.endswith(got)
    assert all(name in message for name in ("path", ":memory:", "redis://", "None", "ledger"))
    methods = [name for name in vars(Ledger) if not name.startswith("_")]
    assert len(methods) == 7
    assert all(name in message for name in methods)


async def test_a_state_in_memory_leaves_no_folder_behind():
    store = Store.at(":memory:", SYSTEM_CLOCK)
    folder = store.slots_folder
    Slots(folder, "svc", 2).try_take()
    assert folder.exists()
    await store.aclose()
    del store
    gc.collect()
    assert not folder.exists()


FORKING = """
import os, sys
from leyline.clock import SYSTEM_CLOCK
from leyline.quota import Slots, Store

store = Store.at(":memory:", SYSTEM_CLOCK)
slot = Slots(store.slots_folder, "svc", 1).try_take()
child = os.fork()
if child == 0:
    sys.exit()  # with what is to be done at the end of a process
os.waitpid(child, 0)
print(store.slots_folder.exists(), store.slots_folder)
"""


def test_the_end_of_a_forked_child_leaves_its_parents_slots_where_they_are():
    said = subprocess.check_output([sys.executable, "-c", FORKING], text=True)
    there, _, folder = said.strip().partition(" ")
    assert there == "True"
    assert not Path(folder).exists()  # but its own end does not
