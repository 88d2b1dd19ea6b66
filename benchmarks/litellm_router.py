"""LiteLLM's Router over the mock services, as its documentation says. Everything in memory."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.mocks import Mock, RefusedError

litellm: Any = importlib.import_module("litellm")  # optional, and so unknown to the type checker
litellm.telemetry = False
litellm.suppress_debug_info = True

Call = Callable[[], Awaitable[bool]]


def _provide(services: list[Mock]) -> None:
    """Make the services known as the models ``mock/…``."""
    by_name = {service.name: service for service in services}

    async def acompletion(*_: Any, **given: Any) -> Any:
        model = given["model"]
        try:
            await by_name[model].answer()
        except RefusedError as refused:
            error = {
                429: litellm.RateLimitError,
                500: litellm.InternalServerError,
                503: litellm.ServiceUnavailableError,
            }[refused.status]
            raise error(message=str(refused), llm_provider="mock", model=model) from None
        response = given["model_response"]
        response.choices[0].message.content = "fine"
        response.usage = litellm.Usage(prompt_tokens=2, completion_tokens=2, total_tokens=4)
        return response

    provider = litellm.CustomLLM()
    provider.acompletion = acompletion
    litellm.custom_provider_map = [{"provider": "mock", "custom_handler": provider}]


def _deployment(service: Mock, group: str) -> dict[str, Any]:
    params: dict[str, Any] = {"model": f"mock/{service.name}"}
    if service.rpm is not None:
        params["rpm"] = service.rpm
    return {"model_name": group, "litellm_params": params}


def _call(router: Any, group: str) -> Call:
    async def call() -> bool:
        try:
            await router.acompletion(group, [{"role": "user", "content": "hello"}])
        except Exception:
            return False
        return True

    return call


def by_fallbacks(services: list[Mock]) -> Call:
    """Each service a group of its own, with all later ones as its fallbacks."""
    _provide(services)
    names = [service.name for service in services]
    router = litellm.Router(
        model_list=[_deployment(service, service.name) for service in services],
        fallbacks=[{names[0]: names[1:]}],
        num_retries=0,
    )
    return _call(router, names[0])


def by_usage(services: list[Mock]) -> Call:
    """All services one group; whoever has used least of its quota is asked."""
    _provide(services)
    router = litellm.Router(
        model_list=[_deployment(service, "all") for service in services],
        routing_strategy="usage-based-routing-v2",
    )
    return _call(router, "all")
