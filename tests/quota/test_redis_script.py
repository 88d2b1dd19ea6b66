"""``account.lua`` decides as ``Account`` does: same outcomes, same state, whatever is done when."""

import time
from collections.abc import Iterator

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leyline.clock import Clock
from leyline.limits import DailyReset, Limit, Measure, Weight, named_limit
from leyline.quota.account import Account, Refused
from leyline.quota.redis import RedisLedger
from tests.quota.redis_process import Server, ToldTime, told

pytestmark = pytest.mark.anyio

RPM = named_limit("rpm", 3)
ONE = Weight()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def server(running: Server) -> Server:
    running.ask("FLUSHALL")
    return running


ZONE = DailyReset(zone="America/Los_Angeles", hour=3)
SPRING, AUTUMN = 1_772_960_000, 1_793_520_000  # within a day of a change of clocks in that zone


limits_sets = st.sampled_from(
    [
        (named_limit("rpm", 5),),
        (named_limit("rpm", 8),),
        (Limit(name="rpm", measure=Measure.REQUESTS, amount=6, per=60.0, guard=2.5),),
        (named_limit("rpm", 5), named_limit("tpm", 1000), named_limit("daily", 12, reset=ZONE)),
        (named_limit("rpd", 6, reset=ZONE), named_limit("tpd", 5000)),
        (
            Limit(name="in", measure=Measure.INPUT_TOKENS, amount=900, per=7.3),
            Limit(name="out", measure=Measure.OUTPUT_TOKENS, amount=900, per=18_000.0),
        ),
        (),
    ]
)
weights = st.builds(
    Weight,
    requests=st.integers(0, 5),
    input_tokens=st.integers(0, 500),
    output_tokens=st.integers(0, 400),
)
steps = st.one_of(
    st.just(0), st.integers(1, 30_000_000), st.integers(1, 10_000_000_000),
    st.sampled_from([60_000_000, 3_600_000_000, 90_000_000_000, 175_000_000_000]),
)  # fmt: skip
operations = st.tuples(
    st.sampled_from(["book", "book", "book", "confirm", "settle", "refund", "throttle", "status"]),
    st.integers(0, 6).map(str),
    limits_sets,
    weights,
    st.sampled_from([float("inf"), float("inf"), 0.0, 45.5]),
    st.integers(-100, 400_000).map(lambda seconds: seconds / 7),
    steps,
)


async def agree(
    ledger: RedisLedger, server: Server, model: Account, told: ToldTime, operation: tuple
) -> Account:
    """Do *operation* here and there; the outcomes and the states that remain must be the same."""
    act, booking, limits, weight, max_delay, ahead, _ = operation
    if act == "book" and booking in model.bookings:
        act = "settle"  # the id of a booking is unique
    before = model.dump()
    until = round(time.time() if told.micros is None else told.micros / 1e6) + ahead
    calls = {
        "book": ("a", booking, limits, weight),
        "confirm": ("a", booking, limits, weight),
        "settle": ("a", booking, limits, weight),
        "refund": ("a", booking),
        "throttle": ("a", until, 'closed: "é\u2028\\"'),
        "status": ("a", limits),
    }
    more = {"max_delay": max_delay, "dry_run": max_delay == 45.5} if act == "book" else {}
    got = await getattr(ledger, act)(*calls[act], **more)
    now = float(told.reply[1])
    times = {"now": now, "wall": now} if act not in {"settle", "refund"} else {}
    method = getattr(model, "close" if act == "throttle" else act)
    wanted = method(*calls[act][1:], **times, **more)
    if isinstance(wanted, Refused) or act == "status":
        model = Account.load(before)  # nothing is written then
    assert got == wanted
    for told_too in ("share", "fullest"):
        assert getattr(got, told_too, None) == getattr(wanted, told_too, None)
    assert server.state() == Account.load(model.dump())
    server.ask("PERSIST", "leyline:{a}")  # the server's own time does not run along
    return Account.load(model.dump())


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    plan=st.lists(operations, min_size=1, max_size=25),
    begin=st.sampled_from([SPRING, AUTUMN]),
    behind=st.sampled_from([0.0, 30.0, -30.0, 4e5, -4e5]),
)
def test_the_script_decides_as_the_account_in_python(
    plan: list[tuple], begin: int, behind: float, server: Server
):
    async def main() -> None:
        server.ask("FLUSHALL")
        model = Account()
        clock = Clock(wall=lambda: (told_time.micros or 0) / 1e6 - behind)
        ledger, told_time = told(server.url, begin * 1_000_000, clock)
        for operation in plan:
            told_time.micros += operation[-1]
            model = await agree(ledger, server, model, told_time, operation)
        await ledger.aclose()

    anyio.run(main)


DAILY = (named_limit("daily", 2, reset=ZONE),)
EQUAL = (
    Limit(name="one", measure=Measure.REQUESTS, amount=1, per=60.0),
    Limit(name="two", measure=Measure.REQUESTS, amount=1, per=60.0),
)
FREE = Weight(requests=0)
EVER = float("inf")
END = ZONE.ends(SPRING)

PLANS = {
    "the last moments of a day": (END - 0.03, [("book", "0", DAILY, ONE, EVER, 0, 0)]),
    "many days": (
        SPRING,
        [("book", str(i), DAILY, ONE, EVER, 0, 90_000_000_000) for i in range(8)],
    ),
    "booked far ahead": (SPRING, [("book", str(i), DAILY, ONE, EVER, 0, 0) for i in range(40)]),
    "closed while some wait": (
        SPRING,
        [
            *(("book", str(i), (RPM,), ONE, EVER, 0, 0) for i in range(7)),
            ("throttle", "", (), ONE, EVER, 100, 0),
            *(("confirm", str(i), (RPM,), ONE, EVER, 0, 1_000_000) for i in range(7)),
        ],
    ),
    "closed for less than a start may be late": (
        SPRING,
        [
            ("book", "0", (RPM,), ONE, EVER, 0, 0),
            ("throttle", "", (), ONE, EVER, 0.01, 0),
            ("confirm", "0", (RPM,), ONE, EVER, 0, 0),
        ],
    ),
    "queued behind limits that are full alike": (
        SPRING,
        [
            *(("book", str(i), EQUAL, ONE, EVER, 0, 0) for i in range(3)),
            ("book", "3", EQUAL, FREE, 0.0, 0, 0),
        ],
    ),
}


@pytest.mark.parametrize(("begin", "plan"), PLANS.values(), ids=PLANS)
async def test_the_script_decides_alike_in_the_rare_case(
    server: Server, begin: float, plan: list[tuple]
):
    ledger, told_time = told(server.url, round(begin * 1e6), Clock(wall=lambda: begin))
    model = Account()
    for operation in plan:
        told_time.micros += operation[-1]
        model = await agree(ledger, server, model, told_time, operation)
    await ledger.aclose()


async def test_the_script_decides_by_the_time_of_the_server(server: Server):
    ledger, told_time = told(server.url, None, Clock(wall=lambda: 0.0))
    limits = (named_limit("rpm", 5), named_limit("daily", 7, reset=ZONE))
    model = Account()
    for i in range(60):
        act = ("book", "confirm", "settle", "book", "refund", "status")[i % 6]
        operation = (act, str(i // 3), limits, ONE, float("inf"), 0, 0)
        model = await agree(ledger, server, model, told_time, operation)
    assert abs(float(told_time.reply[1]) - time.time()) < 60
    await ledger.aclose()
