"""What is foretold is what then happens, and foretelling takes no time."""

import json
import math
import time

import pytest
from attrs import evolve

from leyline.batch.plan import RUNS, Load, Means, foretell
from leyline.config import ServiceConfig
from leyline.limits import DailyReset, named_limit
from leyline.quota_limits import read_quota_limits
from tests.cli.conftest import Machine

NOON = 1_800_014_400.0 - 1_800_014_400.0 % 86_400.0 + 43_200.0
DAILY = DailyReset(zone="UTC")


def means(name: str, *limits, **facts) -> Means:
    return evolve(Means(name=name, account=name, limits=limits), **facts)


def load(rows: int, *services: str, tokens: int = 100) -> Load:
    return Load(services=services, rows=rows, tokens=rows * tokens)


def seconds(loads: list[Load], *services: Means, lanes: int = 8) -> float:
    return foretell(loads, services, lanes=lanes, wall=NOON).seconds


@pytest.mark.parametrize("rows", [40, 4_000, 400_000])
def test_without_quotas_the_runs_take_what_they_take(rows: int):
    found = foretell([load(rows, "a")], [means("a", seconds=3.0)], lanes=8, wall=NOON)
    assert found.seconds == pytest.approx(3.0 * rows / 8, rel=0.02)
    assert (found.bottleneck, found.rows) == (("", RUNS), {"a": rows})


@pytest.mark.parametrize("rows", [600, 6_000, 60_000])
def test_a_quota_sets_the_pace(rows: int):
    found = foretell(
        [load(rows, "a")], [means("a", named_limit("rpm", 60), seconds=1.0)], lanes=64, wall=NOON
    )
    assert found.seconds == pytest.approx(60.0 * (rows / 60 - 1), rel=0.02)
    assert found.bottleneck == ("a", "rpm")


def test_a_quota_of_tokens_sets_the_pace():
    service = means("a", named_limit("tpm", 60_000), output_tokens=500.0, seconds=1.0)
    assert seconds([load(6_000, "a")], service, lanes=64) == pytest.approx(3_600.0, rel=0.03)


def test_runs_at_once_are_not_more_than_the_service_bears():
    assert seconds([load(1_000, "a")], means("a", concurrent=2, seconds=3.0)) == pytest.approx(
        1_500.0, rel=0.02
    )


def test_a_day_is_waited_for_until_it_begins():
    found = foretell(
        [load(2_500, "a")],
        [means("a", named_limit("rpd", 1_000, reset=DAILY), seconds=1.0)],
        lanes=8,
        wall=NOON,
    )
    assert found.seconds == pytest.approx(36 * 3600.0 + 500 / 8, rel=0.01)
    assert found.bottleneck == ("a", "rpd")


def test_what_is_used_already_counts():
    service = means("a", named_limit("rpd", 1_000, reset=DAILY), seconds=1.0)
    used = evolve(service, used={"rpd": (900, 43_200.0)})
    assert seconds([load(500, "a")], service) < 100.0
    assert seconds([load(500, "a")], used) == pytest.approx(43_200.0 + 50.0, rel=0.01)
    assert seconds([load(8, "a")], evolve(service, closed_for=600.0)) == pytest.approx(601, rel=0.1)


def test_services_help_each_other_in_order():
    two = [means("a", named_limit("rpm", 60), seconds=1.0), means("b", named_limit("rpm", 30))]
    found = foretell([load(9_000, "a", "b")], two, lanes=64, wall=NOON)
    assert found.seconds == pytest.approx(6_000.0, rel=0.03)
    assert found.rows["a"] == pytest.approx(6_000, rel=0.05)


def test_rows_of_a_slow_service_hold_up_those_behind_them():
    """Where half of the rows want one service alone, all lanes come to wait for it."""
    services = [means("fast", seconds=1.0), means("slow", named_limit("rpm", 6), seconds=1.0)]
    found = seconds([load(300, "fast"), load(300, "slow")], *services, lanes=4)
    assert found == pytest.approx(300 * 10.0, rel=0.05)


def test_a_row_larger_than_every_limit_is_never_done():
    service = means("a", named_limit("tpm", 1_000), output_tokens=2_000.0)
    assert math.isinf(seconds([load(10, "a")], service))


def test_costs_are_summed_and_what_is_unknown_is_not_zero():
    services = [means("a", concurrent=1, cost=0.5, seconds=1.0), means("b", seconds=1.0)]
    found = foretell([load(100, "a", "b")], services, lanes=2, wall=NOON)
    assert found.cost == pytest.approx(0.5 * found.rows["a"])
    assert found.unpriced == found.rows["b"] > 0
    assert foretell([load(9, "b")], services, lanes=2, wall=NOON).cost is None


def test_a_hundred_thousand_rows_are_foretold_in_no_time():
    day = named_limit("rpd", 1_000, reset=DAILY)
    services = [
        means("a", named_limit("rpm", 60), day),
        means("b", named_limit("tpm", 100_000), concurrent=4),
        means("c", named_limit("rpm", 5)),
    ]
    began = time.process_time()
    foretell([load(100_000, "a", "b", "c")], services, lanes=32, wall=NOON)
    assert time.process_time() - began < 2.0  # 0.4 on a slow machine


MIXES = {
    "runs alone": (64, 4, {"a": (0.5, {})}),
    "one quota": (70, 6, {"a": (0.2, {"windows": [{"requests": 20, "per": 3}]})}),
    "a fleet": (
        72,
        6,
        {
            "a": (0.6, {"concurrent": 2}),
            "b": (0.3, {"windows": [{"requests": 8, "per": 2}]}),
            "c": (0.3, {"windows": [{"requests": 4, "per": 3}]}),
        },
    ),
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_real_batch_takes_what_was_foretold(machine: Machine, mix: str):
    rows, lanes, services = MIXES[mix]
    config = {
        name: {
            "command": str(machine.tool(name, f"read -r line; sleep {length}; echo done")),
            "command_template": "{command}",
            "quota_limits": quota,
        }
        for name, (length, quota) in services.items()
    }
    machine.configure(json.dumps({"services": config}))
    (machine.folder / "in.txt").write_text("".join(f"row {k}\n" for k in range(rows)))
    done = machine.run("batch", "in.txt", "-o", "out.jsonl", "--concurrency", str(lanes))
    assert done.returncode == 0, done.stderr
    results = [json.loads(x) for x in (machine.folder / "out.jsonl").read_text().splitlines()]
    ends = [result["started_at"] + result["duration"] for result in results]
    took = max(ends) - min(result["started_at"] for result in results)
    expected = []
    for name in services:
        its = [result["duration"] for result in results if result["service"] == name]
        quota, _ = read_quota_limits(ServiceConfig(**config[name], name=name).quota_limits)
        length = sum(its) / len(its) if its else services[name][0]
        expected.append(means(name, *quota.limits, concurrent=quota.concurrent, seconds=length))
    found = foretell([load(rows, *services)], expected, lanes=lanes, wall=time.time())
    print(f"\n{mix}: {took:.2f} s, foretold {found.seconds:.2f} s")
    assert found.seconds == pytest.approx(took, rel=0.1)
