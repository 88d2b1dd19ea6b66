"""Which service is chosen, in what order the others follow, and what each is told."""

import math
import pickle
from collections import Counter
from random import Random
from typing import Any

import pytest

from leyline.errors import LeylineError, NoServiceFitsError
from leyline.model import HealthStatus
from leyline.routing.candidate import Candidate
from leyline.routing.requirements import Requirements, Strategy
from leyline.routing.selection import Verdict, explain, select
from tests.routing.candidates import candidate

UNHEALTHY = {"health": HealthStatus.UNHEALTHY}
DEGRADED = {"health": HealthStatus.DEGRADED}


def fleet(**given: dict[str, Any]) -> list[Candidate]:
    return [candidate(name, order, **how) for order, (name, how) in enumerate(given.items())]


def judged(
    candidates: list[Candidate],
    strategy: Strategy = Strategy.ORDERED,
    asked: Requirements = Requirements(),  # noqa: B008  (frozen)
) -> dict[str, Verdict]:
    return {v.name: v for v in explain(candidates, asked, strategy, rng=Random(0))}


def ranked(
    candidates: list[Candidate],
    strategy: Strategy = Strategy.ORDERED,
    asked: Requirements = Requirements(),  # noqa: B008
) -> str:
    verdicts = judged(candidates, strategy, asked).values()
    order = "".join(v.name for v in verdicts if v.eligible)
    if order:
        assert select(candidates, asked, strategy, rng=Random(0)) == order[0]
    return order


# What is asked


@pytest.mark.parametrize(
    ("asked", "lacking", "reason"),
    [
        ({"large_context": True}, {"max_context": 199_999},
         "199,999 tokens fit into it, not 200,000 (large_context)"),
        ({"min_context": 5000}, {"max_context": 4999},
         "4,999 tokens fit into it, not 5,000 (min_context)"),
        ({"supports_files": True}, {"supports_files": False},
         "it takes no files (supports_files)"),
        ({"streaming": True}, {"supports_streaming": False}, "it does not stream (streaming)"),
        ({"code_execution": True}, {"code_execution": False},
         "it executes no code (code_execution)"),
        ({"model": "m"}, {"models": tuple("abcdefg")}, "it offers a, b, c, d, e, …, not m (model)"),
        ({"max_cost": 2}, {"price": 2.5}, "it costs $2.5 per million tokens, over $2 (max_cost)"),
        ({"max_cost": 2}, {}, "its price is not known, so it may be over $2 (max_cost)"),
        ({"services": ["fits"]}, {}, "it is not one of those asked for (services)"),
        ({"weights": {"lacks": 0}}, {}, "its weight is 0"),
        ({"strategy": "weighted"}, {"weight": 0}, "its weight is 0"),
    ],
)  # fmt: skip
def test_what_lacks_something_asked_for_is_out_and_told_so(
    asked: dict[str, Any], lacking: dict[str, Any], reason: str
):
    fits = {"max_context": 200_000, "models": ("m",), "price": 2.0}
    both = fleet(lacks=lacking, fits=fits)
    requirements = Requirements.read(asked)
    assert select(both, requirements, rng=Random(0)) == "fits"
    verdict = judged(both, asked=requirements)["lacks"]
    assert verdict == Verdict(name="lacks", eligible=False, reason=reason)


def test_everything_that_is_lacking_is_said():
    asked = Requirements(supports_files=True, streaming=True)
    tool = candidate("a", supports_files=False, supports_streaming=False, **UNHEALTHY)
    (verdict,) = explain([tool], asked, rng=Random(0))
    assert verdict.reason == "it takes no files (supports_files); it does not stream (streaming)"


def test_a_service_that_lists_no_models_offers_any():
    assert ranked(fleet(a={"models": ("x",)}, b={}), asked=Requirements(model="m")) == "b"


def test_no_service_to_choose_from_is_not_every_service():
    assert ranked(fleet(a={}), asked=Requirements(services=())) == ""


def test_a_weight_of_zero_counts_only_where_weights_do():
    assert ranked(fleet(a={"weight": 0}, b={})) == "ab"


def test_the_seeds_call_takes_the_first_with_a_large_context():
    tools = fleet(qwen={}, gemini={"max_context": 1_048_576}, claude={"max_context": 200_000})
    asked = Requirements.read({"large_context": True, "fast_response": False})
    assert select(tools, asked, rng=Random(0)) == "gemini"


# Strategies


@pytest.mark.parametrize(
    ("strategy", "tools", "order"),
    [
        (Strategy.ORDERED, {"a": {"speed": 9.0, "price": 9.0}, "b": {}}, "ab"),
        (Strategy.FASTEST, {"a": {"speed": 9.0}, "b": {"speed": 1.0}, "c": {"speed": 2.0}}, "bca"),
        # Unknown: the median, so that it is tried before those known to be slow.
        (Strategy.FASTEST, {"a": {"speed": 9.0}, "b": {"speed": 1.0}, "c": {}}, "bca"),
        (Strategy.FASTEST, {"a": {}, "b": {}}, "ab"),
        (Strategy.MOST_QUOTA, {"a": {"quota_left": 0.2}, "b": {"quota_left": 0.3}, "c": {}}, "cba"),
        (Strategy.CHEAPEST, {"a": {}, "b": {"price": 3.0}, "c": {"price": 0.0}}, "cba"),
        (Strategy.CHEAPEST, {"a": {"price": 1.0}, "b": {"price": 1.0}}, "ab"),
    ],
)
def test_a_strategy_says_who_comes_first(
    strategy: Strategy, tools: dict[str, dict[str, Any]], order: str
):
    assert ranked(fleet(**tools), strategy) == order
    scores = [verdict.score for verdict in judged(fleet(**tools), strategy).values()]
    assert scores == sorted(scores, reverse=True)


def test_the_median_is_that_of_services_that_can_be_chosen():
    tools = fleet(a={"speed": 5.0}, b={}, c={"speed": 7.0}, d={"speed": 1.0, **UNHEALTHY})
    assert ranked(tools, Strategy.FASTEST) == "abc"
    assert judged(tools, Strategy.FASTEST)["b"].score == 1 / (1 + 6.0)


def test_a_fast_response_is_a_wish_that_a_named_strategy_overrides():
    tools = fleet(a={"speed": 9.0, "price": 1.0}, b={"speed": 1.0, "price": 2.0})
    assert ranked(tools, asked=Requirements(fast_response=True)) == "ba"
    named = Requirements(fast_response=True, strategy=Strategy.CHEAPEST)
    assert ranked(tools, asked=named) == "ab"


@pytest.mark.parametrize("asked", [Requirements(), Requirements(weights={"a": 3.0, "c": 5.0})])
def test_services_are_drawn_in_proportion_to_their_weights(asked: Requirements):
    tools = fleet(a={"weight": 1.0}, b={"weight": 2.0}, c={"weight": 5.0})
    rng = Random(7)
    chosen = Counter(select(tools, asked, Strategy.WEIGHTED, rng=rng) for _ in range(4000))
    weights = {tool.name: asked.weights.get(tool.name, tool.weight) for tool in tools}
    for name, weight in weights.items():
        assert chosen[name] / 4000 == pytest.approx(weight / sum(weights.values()), abs=0.03)


# Health, breaker, quota


def test_the_degraded_come_after_the_healthy_and_those_not_known():
    tools = fleet(
        a={"speed": 1.0, "health_reason": "429", **DEGRADED},
        b={"speed": 2.0, "health": HealthStatus.HEALTHY},
        c={"speed": 3.0},
    )
    assert ranked(tools, Strategy.FASTEST) == "bca"
    verdict = judged(tools, Strategy.FASTEST)["a"]
    assert (verdict.rank, verdict.reason, verdict.until) == (3, "degraded: 429", None)


def test_what_waits_for_its_quota_is_not_out_but_comes_last_the_earliest_first():
    tools = fleet(a={"quota_free_in": 30.0}, b={"quota_free_in": 20.0}, c=DEGRADED)
    assert ranked(tools) == "cba"
    verdict = judged(tools)["b"]
    assert (verdict.reason, verdict.until) == ("its quota has room in 20.0 s", 20.0)


def test_a_start_that_has_been_possible_for_a_while_is_possible_now():
    tools = fleet(a={}, b={"quota_free_in": -5.0, "breaker_open_for": -5.0})
    assert ranked(tools) == "ab"
    assert judged(tools)["b"].reason == ""


@pytest.mark.parametrize(
    ("state", "reason", "until"),
    [
        ({"health_reason": "auth: no key", **UNHEALTHY}, "unhealthy: auth: no key", None),
        (UNHEALTHY, "unhealthy", None),
        ({"breaker_open_for": 5.0, "breaker_reason": "5 in a row"},
         "its breaker is open for 5.0 s: 5 in a row", 5.0),
        ({"breaker_open_for": 5.0, **UNHEALTHY}, "unhealthy", None),
        ({"breaker_open_for": math.inf, "breaker_reason": "no such command", **UNHEALTHY},
         "disabled: no such command", None),
        ({"quota_free_in": math.inf}, "its quota never has room for it", None),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_out_and_told_why_and_until_when(
    state: dict[str, Any], reason: str, until: float | None
):
    tools = fleet(a=state, b={})
    assert ranked(tools) == "b"
    assert judged(tools)["a"] == Verdict(name="a", eligible=False, reason=reason, until=until)


@pytest.mark.parametrize(
    ("tools", "likeliest"),
    [
        ({"a": {"breaker_open_for": 9.0}, "b": {"breaker_open_for": 5.0}}, "b"),
        ({"a": UNHEALTHY, "b": {"breaker_open_for": 5.0}}, "b"),
        ({"a": {"breaker_open_for": 5.0, **UNHEALTHY}, "b": UNHEALTHY}, "b"),
        ({"a": UNHEALTHY, "b": UNHEALTHY}, "a"),
        ({"a": {"breaker_open_for": math.inf}, "b": UNHEALTHY}, "b"),
        ({"a": {"installed": False, **UNHEALTHY}, "b": UNHEALTHY}, "b"),
        ({"a": {"quota_free_in": math.inf}, "b": UNHEALTHY}, "b"),
        ({"a": {"supports_files": False}, "b": UNHEALTHY}, "b"),
        ({"a": {"supports_files": False, "breaker_open_for": 1.0}, "b": UNHEALTHY}, "b"),
    ],
)
def test_where_none_is_usable_the_likeliest_is_tried(
    tools: dict[str, dict[str, Any]], likeliest: str
):
    asked = Requirements(supports_files=True)
    candidates = fleet(**tools)
    assert ranked(candidates, asked=asked) == likeliest
    verdict = judged(candidates, asked=asked)[likeliest]
    assert verdict.reason.startswith("tried all the same, because none is usable: ")
    assert verdict.rank == 1


def test_a_command_that_was_missing_once_is_tried_when_that_is_long_ago():
    assert ranked(fleet(a={"installed": False})) == "a"


@pytest.mark.parametrize(
    "hopeless",
    [
        {"breaker_open_for": math.inf},
        {"installed": False, **UNHEALTHY},
        {"quota_free_in": math.inf},
        {"supports_files": False},
    ],
)
def test_what_cannot_start_at_all_is_not_tried_even_where_nothing_else_is_left(
    hopeless: dict[str, Any],
):
    with pytest.raises(NoServiceFitsError):
        select(fleet(a=hopeless), Requirements(supports_files=True), rng=Random(0))


# No service fits


def test_where_none_fits_the_error_says_which_requirement_failed_on_which_service():
    tools = fleet(a={}, b={"breaker_open_for": math.inf, "max_context": 300_000})
    with pytest.raises(NoServiceFitsError) as caught:
        select(tools[::-1], Requirements(large_context=True), rng=Random(0))
    error = caught.value
    assert isinstance(error, LeylineError)
    assert str(error) == (
        "no service fits; ask for less, or mend or register one that does:\n"
        "  a: 100,000 tokens fit into it, not 200,000 (large_context)\n"
        "  b: disabled"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.reasons) == (type(error), str(error), error.reasons)


def test_where_there_is_none_the_error_says_what_to_do():
    with pytest.raises(NoServiceFitsError, match="register one first"):
        select([], Requirements(), rng=Random(0))
    assert explain([], Requirements(), rng=Random(0)) == ()
