"""Choosing by price: what a tool told of itself, else what the list says of its model."""

import pytest

from leyline import NoServiceFitsError, ServiceConfig, ServiceRegistry


def registry() -> ServiceRegistry:
    found = ServiceRegistry(":memory:")
    for name, models in (
        ("dear", ("claude-opus-4-1",)),
        ("cheap", ("gpt-4o-mini",)),
        ("unheard-of", ("no-such-model-1",)),
    ):
        found.register(name, ServiceConfig(name, "cat", preset="", models=models))
    return found


def test_the_cheapest_is_chosen_by_the_listed_price_and_an_unknown_one_comes_last():
    verdicts = registry().explain({"strategy": "cheapest"})
    assert [verdict.name for verdict in verdicts] == ["cheap", "dear", "unheard-of"]
    assert registry().select_service({}, strategy="cheapest") == "cheap"


def test_what_costs_more_than_is_allowed_is_out_and_so_is_what_nobody_knows():
    verdicts = registry().explain({"max_cost": 2.0})
    assert [verdict.name for verdict in verdicts if verdict.eligible] == ["cheap"]
    with pytest.raises(NoServiceFitsError, match=r"dear: it costs \$.* over \$0.0001"):
        registry().select_service({"max_cost": 0.0001})
