"""What holds of a choice among whatever services, and how long it takes."""

import math
import time
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from leyline.errors import NoServiceFitsError
from leyline.model import HealthStatus
from leyline.routing.candidate import Candidate
from leyline.routing.requirements import Requirements, Strategy
from leyline.routing.selection import explain, select
from tests.routing.candidates import candidate

several = st.lists(
    st.builds(
        candidate,
        st.just(""),
        models=st.sampled_from([(), ("m",), ("n",)]),
        max_context=st.sampled_from([4096, 200_000]),
        supports_files=st.booleans(),
        health=st.sampled_from(HealthStatus),
        installed=st.sampled_from([None, True, False]),
        breaker_open_for=st.sampled_from([0.0, 0.0, 5.0, math.inf]),
        quota_left=st.floats(0, 1),
        quota_free_in=st.sampled_from([0.0, 0.0, 20.0, math.inf]),
        speed=st.none() | st.floats(0, 100),
        price=st.none() | st.floats(0, 100),
        weight=st.floats(0, 10),
    ),
    max_size=8,
).map(lambda tools: [evolve(tool, name=f"s{n}", order=n) for n, tool in enumerate(tools)])

asking = st.builds(
    Requirements,
    large_context=st.booleans(),
    fast_response=st.booleans(),
    supports_files=st.booleans(),
    model=st.sampled_from([None, "m"]),
    max_cost=st.none() | st.floats(0, 100),
    services=st.none() | st.just(("s0", "s1", "s2")),
    weights=st.just({}) | st.just({"s0": 0.0, "s1": 2.0}),
    strategy=st.none() | st.sampled_from(Strategy),
)


@given(tools=several, asked=asking, seed=st.integers())
def test_the_first_of_the_explanation_is_chosen_and_every_other_has_its_reason(
    tools: list[Candidate], asked: Requirements, seed: int
):
    verdicts = explain(tools, asked, rng=Random(seed))
    assert sorted(v.name for v in verdicts) == sorted(tool.name for tool in tools)
    eligible = [v for v in verdicts if v.eligible]
    assert list(verdicts[: len(eligible)]) == eligible
    assert [v.rank for v in eligible] == list(range(1, len(eligible) + 1))
    assert all(0 <= v.score <= 1 for v in verdicts)
    out = verdicts[len(eligible) :]
    assert [v.name for v in out] == sorted(v.name for v in out)
    assert all(v.reason and v.rank is None for v in out)
    if eligible:
        assert select(tools, asked, rng=Random(seed)) == eligible[0].name
    else:
        with pytest.raises(NoServiceFitsError):
            select(tools, asked, rng=Random(seed))


@given(tools=several, asked=asking, seed=st.integers(), shuffle=st.randoms())
def test_the_order_in_which_they_are_given_does_not_matter(
    tools: list[Candidate], asked: Requirements, seed: int, shuffle: Random
):
    others = list(tools)
    shuffle.shuffle(others)
    told = explain(tools, asked, rng=Random(seed))
    assert explain(iter(others), asked, rng=Random(seed)) == told


@given(tools=several, asked=asking, seed=st.integers(), kept=st.sets(st.integers(0, 7)))
def test_what_is_out_changes_nothing_for_the_others(
    tools: list[Candidate], asked: Requirements, seed: int, kept: set[int]
):
    verdicts = explain(tools, asked, rng=Random(seed))
    out = {v.name for v in verdicts if not v.eligible}
    fewer = [tool for tool in tools if tool.name not in out or tool.order in kept]
    told = explain(fewer, asked, rng=Random(seed))
    assert told == tuple(v for v in verdicts if v.name in {tool.name for tool in fewer})


def test_a_thousand_services_are_selected_from_in_no_time():
    tools = [
        candidate(f"s{n}", n, speed=n % 7 or None, price=float(n % 11), max_context=300_000)
        for n in range(1000)
    ]
    asked = Requirements(large_context=True, fast_response=True, supports_files=True, max_cost=9.0)
    took: list[float] = []
    for _ in range(20):
        start = time.perf_counter()
        select(tools, asked, rng=Random(0))
        took.append(time.perf_counter() - start)
    assert min(took) < 0.01  # about 0.4 ms; only a quadratic choice takes that long
