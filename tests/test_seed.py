"""The calls of the seed, with ``await`` where needed."""

import asyncio
import os
from pathlib import Path

import pytest

from leyline.service_registry import (
    AllServicesFailedError,
    ExecutionResult,
    ServiceConfig,
    ServiceRegistry,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceRegistry:
    """One in which ``gemini`` is a program that answers as the real one does in text mode."""
    tool = tmp_path / "bin" / "gemini"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho an answer\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GEMINI_API_KEY", "a-key-for-tests")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print('hi')\n")
    return ServiceRegistry()


def test_a_configuration_has_the_seeds_order_and_defaults():
    config = ServiceConfig("x", "x-tool", "token", "X_TOKEN", {"rpm": 60}, ["m1"])
    assert (config.auth_method, config.auth_env_var) == ("token", "X_TOKEN")
    assert (config.quota_limits, list(config.models)) == ({"rpm": 60}, ["m1"])
    bare = ServiceConfig("x", "x-tool")
    assert bare.command_template == "{command} -p {prompt}"
    assert (bare.display_name, bare.auth_check_cmd, bare.default_model) == ("", "", "")
    assert (bare.max_context, bare.timeout_seconds) == (100_000, 60)
    assert (bare.supports_files, bare.supports_streaming) == (True, False)
    assert (bare.health_check_cmd, bare.auth_env_var, dict(bare.quota_limits)) == ("", "", {})


def test_a_result_can_be_made_with_the_seeds_fields():
    result = ExecutionResult(
        success=False, stdout="", stderr="Command timed out", exit_code=-1, duration=60,
        tokens_used=0,
    )  # fmt: skip
    assert result.stderr == "Command timed out"


async def test_the_seeds_calls_run_as_written(registry: ServiceRegistry):
    registry.register(
        "gemini",
        ServiceConfig(
            name="gemini",
            display_name="Google Gemini",
            command="gemini",
            command_template="gemini -p '{prompt}' {files}",
            auth_method="api_key",
            auth_env_var="GEMINI_API_KEY",
            quota_limits={"rpm": 60, "tpm": 1000000, "daily": 1000},
            models=["gemini-2.5-flash", "gemini-2.5-pro"],
            default_model="gemini-2.5-flash",
            max_context=1000000,
            health_check_cmd="gemini 'ping'",
            timeout_seconds=60,
        ),
    )
    async with registry:
        result = await registry.execute(
            service="gemini",
            prompt="Analyze this code",
            files=["src/main.py"],
            model="gemini-2.5-pro",
        )
        assert result.success, result.failure
        assert result.stdout == "an answer\n"

        status = await registry.health_check("gemini")
        assert status
        all_status = await registry.health_check_all()
        lines = [f"{name}: {'OK' if ok else 'FAILED'}" for name, ok in all_status.items()]
        assert lines == ["gemini: OK"]


async def test_the_seeds_failover_loop_runs(registry: ServiceRegistry):
    registry.register("broken", ServiceConfig(name="broken", command="false"))
    registry.register(
        "gemini", ServiceConfig("gemini", "gemini", command_template="gemini -p {prompt}")
    )

    async def execute_with_failover(prompt: str, files: list[str]) -> ExecutionResult:
        for service in registry.get_healthy_services():
            result = await registry.execute(service, prompt, files)
            if result.success:
                return result
        raise AllServicesFailedError()  # noqa: RSE102  (as the seed writes it)

    async with registry:
        assert (await execute_with_failover("hi", [])).service == "gemini"
        registry.unregister("gemini")
        with pytest.raises(AllServicesFailedError):
            await execute_with_failover("hi", [])


async def test_the_registrys_own_failover_is_called_as_written(registry: ServiceRegistry):
    prompt, files = "Analyze this code", ["src/main.py"]
    registry.register("broken", ServiceConfig(name="broken", command="false"))
    registry.register(
        "gemini", ServiceConfig("gemini", "gemini", command_template="gemini -p '{prompt}' {files}")
    )
    async with registry:
        result = await registry.execute_with_failover(prompt, files)
        assert (result.service, result.text) == ("gemini", "an answer")

        registry.unregister("gemini")
        with pytest.raises(AllServicesFailedError) as caught:
            await registry.execute_with_failover(prompt, files)
        assert [attempt.service for attempt in caught.value.attempts] == ["broken"]


def test_the_seeds_selection_is_called_as_written(registry: ServiceRegistry):
    registry.register("small", ServiceConfig("small", "gemini", max_context=100_000))
    registry.register("large", ServiceConfig("large", "gemini", max_context=1_000_000))
    service = registry.select_service(requirements={"large_context": True, "fast_response": False})
    assert service == "large"
    assert registry.select_service(requirements={}) == "small"
    assert registry.select_service(requirements={"code_execution": False}) == "small"


async def test_the_seeds_parallel_query_runs(registry: ServiceRegistry):
    for name in ("one", "two"):
        registry.register(name, ServiceConfig(name, "gemini", command_template="gemini"))
    async with registry:
        tasks = {
            service: asyncio.create_task(registry.execute_async(service, "hi"))
            for service in ("one", "two")
        }
        results = {service: await task for service, task in tasks.items()}
    assert {name: r.text for name, r in results.items()} == {
        "one": "an answer", "two": "an answer",
    }  # fmt: skip
