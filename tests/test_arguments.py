"""What has the wrong type is refused at once, wherever it comes in, with what to write instead."""

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from leyline import ConfigError, ExecutionResult, ServiceRegistry
from leyline.arguments import listed, refuse_async
from leyline.testing import VIRTUAL_BACKEND, VIRTUAL_CLOCK, ScriptedService

pytestmark = pytest.mark.anyio

Way = Callable[..., Awaitable[object]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_BACKEND


@pytest.mark.parametrize("given", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}, iter("ab")])
def test_a_list_is_whatever_gives_one_after_the_other(given: Any):
    assert listed(given, "services") == ("a", "b")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ab", r"services must be a list, got 'ab'; write services=\['ab'\]"),
        (Path("a.py"), r"write services=\['a.py'\]"),
        (b"ab", r"write services=\[b'ab'\]"),
        (None, "services must be a list, got a NoneType$"),
    ],
)
def test_one_is_no_list(given: Any, words: str):
    with pytest.raises(TypeError, match=words):
        listed(given, "services")


async def accept_later(_: ExecutionResult) -> bool:
    return False


class Judge:
    async def __call__(self, _: ExecutionResult) -> bool:
        return False


def test_a_plain_function_is_taken():
    for function in (len, lambda _: True, functools.partial(max, 1)):
        refuse_async(function, "accept", "result", "")


@pytest.mark.parametrize("given", [accept_later, Judge(), functools.partial(accept_later), 7])
def test_what_nobody_would_wait_for_or_could_call_is_refused(given: object):
    with pytest.raises(TypeError, match="accept must be a plain function of one result, .*; do so"):
        refuse_async(given, "accept", "result", "do so")


async def all_of(registry: ServiceRegistry, prompt: str, **options: Any) -> list[object]:
    return [item async for item in registry.map([prompt], **options)]


def race(registry: ServiceRegistry, prompt: str, **options: Any) -> Awaitable[object]:
    return registry.race(prompt, **{"services": ["a", "b"], **options})


def parallel(registry: ServiceRegistry, prompt: str, **options: Any) -> Awaitable[object]:
    return registry.execute_parallel(prompt=prompt, **{"services": ["a", "b"], **options})


def execute(registry: ServiceRegistry, prompt: str, **options: Any) -> Awaitable[object]:
    return registry.execute("a", prompt, **options)


failover: Way = ServiceRegistry.execute_with_failover


async def refusal(way: Way, prompt: Any = "hi", **options: Any) -> str:
    """The words of the TypeError that *way* raises, before anything has run."""
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        services = [ScriptedService(name) for name in "ab"]
        for service in services:
            service.register(registry)
        with pytest.raises(TypeError) as caught:
            await way(registry, prompt, **options)
        assert [service.runs for service in services] == [0, 0]
        return str(caught.value)


@pytest.mark.parametrize("way", [failover, race, all_of])
async def test_no_way_takes_an_async_accept(way: Way):
    assert "accept must be a plain function" in await refusal(way, accept=accept_later)


@pytest.mark.parametrize("way", [failover, race, all_of, parallel])
async def test_no_way_takes_a_string_for_services(way: Way):
    assert "write services=['ab']" in await refusal(way, services="ab")


@pytest.mark.parametrize("way", [execute, failover, race, parallel])
async def test_every_way_refuses_a_call_of_wrong_types(way: Way):
    assert "write files=['a.py']" in await refusal(way, files="a.py")
    assert "prompt must be a str" in await refusal(way, prompt=None)
    assert "timeout must be seconds" in await refusal(way, timeout="5")


async def test_a_race_takes_its_services_from_whatever_gives_them_once():
    async with ServiceRegistry(":memory:", clock=VIRTUAL_CLOCK) as registry:
        for name in "ab":
            ScriptedService(name).register(registry)
        assert (await registry.race("hi", (name for name in "ab"))).success


def test_a_wrong_selection_is_a_config_error():
    registry = ServiceRegistry(":memory:")
    wrong: Any = [1]
    for ask in (registry.select_service, registry.explain):
        with pytest.raises(ConfigError, match="expected a mapping"):
            ask(wrong)
        with pytest.raises(ConfigError, match='unknown strategy "bogus"; known: ordered'):
            ask(strategy="bogus")
