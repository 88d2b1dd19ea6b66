"""Which layers a service has, in which order, and that its policies reach them."""

from pathlib import Path
from typing import Any

import pytest

from leyline import ConfigError, ServiceConfig, ServiceNotFoundError, ServiceRegistry
from leyline.calls.retries import Retries
from leyline.config import DEFAULTS
from leyline.errors import SpawnError
from leyline.model import FailureKind
from leyline.policies import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, RetryPolicy
from leyline.services import load
from tests.calls.scripted import Scripted, script, service
from tests.virtual import run_virtual

ALL = ("retry", "breaker", "concurrency", "quota", "record", "timeout", "run")


def pipeline(**fields: Any) -> tuple[str, ...]:
    registry = ServiceRegistry(":memory:")
    registry.register("svc", ServiceConfig("svc", "cat", **fields))
    return registry.pipeline("svc")


def test_by_default_a_call_goes_through_all_in_the_one_order():
    assert pipeline() == ALL
    assert pipeline(quota_limits={"rpm": 5, "concurrent": 1}) == ALL


@pytest.mark.parametrize(
    ("fields", "absent"),
    [
        ({"retry": None}, {"retry"}),
        ({"retry": RetryPolicy(attempts=1)}, {"retry"}),
        ({"breaker": None}, {"breaker"}),
        ({"concurrency": None}, {"concurrency"}),
        ({"budget": None}, set()),
        (
            {"retry": None, "breaker": None, "concurrency": None},
            {"retry", "breaker", "concurrency"},
        ),
    ],
)
def test_what_has_no_policy_is_absent(fields: dict[str, Any], absent: set[str]):
    assert pipeline(**fields) == tuple(name for name in ALL if name not in absent)


def test_nobody_has_a_pipeline_who_is_not_registered():
    with pytest.raises(ServiceNotFoundError):
        ServiceRegistry(":memory:").pipeline("svc")


def test_what_is_absent_does_nothing():
    """Not retried, never left alone, as many at once as come."""
    config = service(retry=None, breaker=None, concurrency=None, budget=None)

    async def main() -> None:
        async with Scripted(tool=script([FailureKind.SERVER]), config=config) as called:
            for number in range(50):
                assert (await called.call()).attempts == 1
                assert len(called.started) == number + 1

    run_virtual(main)


def test_every_default_policy_is_bounded():
    for name in ("retry", "budget", "breaker", "concurrency"):
        assert DEFAULTS[name] is not None
    assert RetryPolicy().attempts <= 3
    # however long it was down, it is asked again within two windows
    assert 1.1 * BreakerPolicy().cap < 2 * BreakerPolicy().window


def registry_of(path: Path, text: str, name: str = "services.yaml") -> ServiceRegistry:
    (path / name).write_text(text)
    return ServiceRegistry.from_config(path / name, ":memory:")


YAML = """
services:
  svc:
    command: cat
    retry: {attempts: 5, base: 0.25, longest_wait: 90}
    budget: {share: 0.1, least: 7}
    breaker: {consecutive: 2, opening: 3.5}
    concurrency: {initial: 4, most: 8}
    idempotent: false
"""
TOML = """
[services.svc]
command = "cat"
idempotent = false
retry = {attempts = 5, base = 0.25, longest_wait = 90}
budget = {share = 0.1, least = 7}
breaker = {consecutive = 2, opening = 3.5}
concurrency = {initial = 4, most = 8}
"""


@pytest.mark.parametrize(("name", "text"), [("services.yaml", YAML), ("services.toml", TOML)])
def test_the_policies_of_a_file_reach_the_layers(tmp_path: Path, name: str, text: str):
    registry = registry_of(tmp_path, text, name)
    prepared = registry._services.find("svc")
    config, memory = prepared.config, prepared.memory
    assert config.retry == RetryPolicy(attempts=5, base=0.25, longest_wait=90.0)
    assert memory.budget is not None
    assert memory.budget.policy == BudgetPolicy(share=0.1, least=7)
    assert memory.breaking is not None
    assert memory.breaking.breaker.policy == BreakerPolicy(consecutive=2, opening=3.5)
    assert memory.gate is not None
    assert memory.gate.limit.policy == ConcurrencyPolicy(initial=4, most=8)
    (retries,) = (layer for layer in layers_of(prepared.handler) if isinstance(layer, Retries))
    assert (retries.policy, retries.idempotent) == (config.retry, False)
    assert retries.budget is memory.budget


def layers_of(handler: Any) -> list[object]:
    found = []
    while hasattr(handler, "args"):
        layer, handler = handler.args
        found.append(layer)
    return found


@pytest.mark.parametrize("policy", ["retry", "breaker", "concurrency"])
def test_a_policy_of_a_file_can_be_nothing(tmp_path: Path, policy: str):
    registry = registry_of(tmp_path, f"services: {{svc: {{command: cat, {policy}: null}}}}")
    assert policy not in registry.pipeline("svc")


def test_attempts_of_a_file_are_made(tmp_path: Path):
    (tmp_path / "services.yaml").write_text(
        "services: {svc: {command: cat, preset: '', retry: {attempts: 5, base: 0},"
        " budget: {least: 100}, command_template: '{command}'}}"
    )
    config = load(tmp_path / "services.yaml")["svc"]

    async def main() -> None:
        refused = script([SpawnError("svc", "no memory")])
        async with Scripted(tool=refused, config=config) as called:
            with pytest.raises(SpawnError):
                await called.call()
            assert len(called.started) == 5

    run_virtual(main)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("retry: {attempts: 0}", "retry.attempts: expected 1 or more, got 0"),
        ("retry: {attempts: 2.5}", "retry.attempts: expected a whole number, got 2.5"),
        ("retry: {atempts: 2}", 'retry.atempts: unknown key; did you mean "attempts"?'),
        ("retry: 5", "retry: expected a mapping, got 5"),
        ("retry: {base: -1}", "retry.base: expected zero or more, and finite, got -1"),
        ("retry: {longest_wait: soon}", 'retry.longest_wait: expected a number, got "soon"'),
        ("budget: {share: 2.0}", "budget.share: expected a number from 0 to 1, got 2"),
        ("budget: {least: -3}", "budget.least: expected zero or more, got -3"),
        ("budget: {window: 0}", "budget.window: expected a positive number, got 0"),
        ("breaker: {rate: 0}", "breaker.rate: expected more than 0, and at most 1, got 0"),
        ("breaker: {opening: -10}", "breaker.opening: expected a positive number, got -10"),
        (
            "breaker: {opening: 300, cap: 60}",
            "breaker: expected opening to be at most cap, got 300 and 60",
        ),
        ("concurrency: {least: 0}", "concurrency.least: expected 1 or more, got 0"),
        (
            "concurrency: {least: 5, most: 4}",
            "concurrency: expected least to be at most most, got 5 and 4",
        ),
        ("idempotent: 'no'", 'idempotent: expected true or false, got "no"'),
    ],
)
def test_a_wrong_policy_is_refused_with_its_path(tmp_path: Path, said: str, problem: str):
    with pytest.raises(ConfigError) as caught:
        registry_of(tmp_path, f"services: {{svc: {{command: cat, {said}}}}}")
    assert caught.value.problems == (f"services.svc.{problem}",)


def test_of_a_policy_with_several_wrong_values_every_one_is_told(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        registry_of(tmp_path, "services: {svc: {command: cat, retry: {attempts: 0, cap: -1}}}")
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "services.svc.retry.attempts",
        "services.svc.retry.cap",
    ]


def test_a_wrong_policy_built_in_code_is_refused_where_it_is_built():
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)
    with pytest.raises(ConfigError, match="retry: expected"):
        pipeline(retry=5)
