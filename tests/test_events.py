"""The hook that is told what happens."""

import pytest

from leyline import Event, QuotaLevel, QuotaLevelChanged, ServiceConfig, ServiceRegistry
from leyline.events import Events

pytestmark = pytest.mark.anyio

CONFIG = ServiceConfig(
    name="echo", command="cat", command_template="{command}", quota_limits={"rpm": 5}
)


async def test_a_new_level_of_a_quota_is_told():
    told: list[Event] = []
    async with ServiceRegistry(":memory:", on_event=told.append) as registry:
        registry.register("echo", CONFIG)
        for _ in range(5):
            await registry.execute("echo", "hello")
    levels = [(e.service, e.before, e.after) for e in told if isinstance(e, QuotaLevelChanged)]
    assert levels == [
        ("echo", QuotaLevel.HEALTHY, QuotaLevel.WARNING),
        ("echo", QuotaLevel.WARNING, QuotaLevel.CRITICAL),
    ]


async def test_a_hook_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture):
    def hook(_: Event) -> None:
        raise ValueError("my mistake")

    async with ServiceRegistry(":memory:", on_event=hook) as registry:
        registry.register("echo", CONFIG)
        results = [await registry.execute("echo", "hello") for _ in range(5)]
    assert all(result.success for result in results)
    assert "my mistake" in caplog.text


def test_an_async_hook_is_refused_at_once():
    async def hook(_: Event) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        ServiceRegistry(":memory:", on_event=hook)
    with pytest.raises(TypeError, match="plain function"):
        Events(hook="print")
