"""What may be asked of a service, and how a mistake in asking is pointed out."""

from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from leyline.errors import ConfigError
from leyline.routing.requirements import Requirements, Strategy, strategy_of

NAMES = [attribute.name for attribute in fields(Requirements)]


def problems(**given: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Requirements.read(given)
    return caught.value.problems


def test_the_seeds_requirements_are_read_as_written():
    read = Requirements.read({"large_context": True, "fast_response": False})
    assert read == Requirements(large_context=True)


def test_everything_that_can_be_asked_is_read():
    read = Requirements.read(
        {
            "large_context": True,
            "fast_response": True,
            "code_execution": True,
            "supports_files": True,
            "streaming": True,
            "model": "m",
            "min_context": 1e6,
            "max_cost": 2,
            "services": ["a", "b"],
            "weights": {"a": 1, "b": 0.5},
            "strategy": "cheapest",
        }
    )
    assert read == Requirements(
        large_context=True,
        fast_response=True,
        code_execution=True,
        supports_files=True,
        streaming=True,
        model="m",
        min_context=1_000_000,
        max_cost=2.0,
        services=("a", "b"),
        weights={"a": 1.0, "b": 0.5},
        strategy=Strategy.CHEAPEST,
    )
    assert type(read.min_context) is int


@pytest.mark.parametrize("nothing", [False, None])
def test_false_and_none_ask_for_nothing(nothing: object):
    assert Requirements.read(dict.fromkeys(NAMES, nothing)) == Requirements()


def test_zero_and_empty_are_said_not_unsaid():
    read = Requirements.read({"max_cost": 0, "services": []})
    assert (read.max_cost, read.services) == (0.0, ())


def test_an_unknown_requirement_is_named_with_the_closest_known_one():
    assert problems(larg_context=True) == (
        'requirements.larg_context: unknown requirement; did you mean "large_context"?',
    )
    (problem,) = problems(zzz=None)
    assert problem.startswith("requirements.zzz: unknown requirement; known: large_context, ")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"streaming": "yes"}, '.streaming: expected true or false, got "yes"'),
        ({"code_execution": 1}, ".code_execution: expected true or false, got 1"),
        ({"model": 7}, ".model: expected a name, got 7"),
        ({"model": " "}, '.model: expected a name, got " "'),
        (
            {"min_context": True},
            ".min_context: expected a whole number of tokens, zero or more; got true",
        ),
        (
            {"min_context": 0.5},
            ".min_context: expected a whole number of tokens, zero or more; got 0.5",
        ),
        (
            {"min_context": float("inf")},
            ".min_context: expected a whole number of tokens, zero or more; got inf",
        ),
        (
            {"max_cost": -1},
            ".max_cost: expected US dollars per million tokens, zero or more; got -1",
        ),
        ({"services": "gemini"}, '.services: expected a list of names, got "gemini"'),
        ({"services": ["a", 2]}, ".services[1]: expected a name, got 2"),
        ({"weights": [1]}, ".weights: expected a mapping of names to numbers, got a list"),
        ({"weights": {"a": -1}}, ".weights.a: expected a number, zero or more; got -1"),
        ({"weights": {3: 1}}, ".weights.3: expected a name, got 3"),
        ({"strategy": "fast"}, '.strategy: unknown strategy "fast"; did you mean "fastest"?'),
        ({"strategy": []}, ".strategy: unknown strategy []; known: ordered, fastest"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(given: dict[str, Any], problem: str):
    (found,) = problems(**given)
    assert found.startswith(f"requirements{problem}")


def test_every_problem_is_reported_at_once():
    assert len(problems(model=1, max_cost="cheap", nonsense=1, services=[1, 2])) == 5


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_whatever_is_given_is_read_or_refused_with_a_path(given: dict[str, Any]):
    found: tuple[str, ...] = ()
    try:
        Requirements.read(given)
    except ConfigError as error:
        found = error.problems or ("no problem was given",)
    assert all(problem.startswith("requirements.") for problem in found)


@pytest.mark.parametrize(
    ("asked", "strategy"),
    [
        (Requirements(), Strategy.MOST_QUOTA),
        (Requirements(fast_response=True), Strategy.FASTEST),
        (Requirements(weights={"a": 1}), Strategy.WEIGHTED),
        (Requirements(fast_response=True, strategy=Strategy.CHEAPEST), Strategy.CHEAPEST),
        (Requirements(weights={"a": 1}, strategy=Strategy.ORDERED), Strategy.ORDERED),
    ],
)
def test_a_strategy_that_is_named_comes_before_wishes_and_the_default(
    asked: Requirements, strategy: Strategy
):
    assert asked.preferred(Strategy.MOST_QUOTA) is strategy


@pytest.mark.parametrize(("given", "kind"), [([1], "a list"), ("fast", '"fast"')])
def test_what_is_no_mapping_asks_for_nothing_that_is_known(given: Any, kind: str):
    with pytest.raises(ConfigError, match=f"requirements: expected a mapping .*, got {kind}"):
        Requirements.read(given)


def test_a_strategy_may_be_named_or_meant():
    assert strategy_of("cheapest") is strategy_of(Strategy.CHEAPEST) is Strategy.CHEAPEST


@pytest.mark.parametrize(
    ("given", "words"),
    [("fastets", 'unknown strategy "fastets"; did you mean "fastest"'), (None, "known: ordered")],
)
def test_an_unknown_strategy_is_a_mistake_that_says_what_is_known(given: object, words: str):
    with pytest.raises(ConfigError, match=words):
        strategy_of(given)
