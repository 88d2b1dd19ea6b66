"""One prompt on one service, and what to do with the result.

    python examples/one_call.py "The capital of France is"

Runs offline: the service is the small local model of the extra ``local``.
"""

import sys

import anyio

from leyline import FailureKind, ServiceConfig, ServiceRegistry


async def main(prompt: str) -> int:
    """Ask, and tell the kinds of failure apart."""
    async with ServiceRegistry() as registry:
        registry.register("local", ServiceConfig("local", "leyline-local"))
        result = await registry.execute("local", prompt, timeout=120)
    if result.failure is None:
        print(result.text)
        print(f"{result.usage.total_tokens} tokens in {result.duration:.1f} s", file=sys.stderr)
        return 0
    match result.failure.kind:
        case FailureKind.RATE_LIMITED | FailureKind.QUOTA_EXHAUSTED:
            print(f"try again in {result.failure.retry_after} s", file=sys.stderr)
        case FailureKind.AUTH:
            print("log in first", file=sys.stderr)
        case kind:
            print(f"{kind}: {result.failure.message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(anyio.run(main, " ".join(sys.argv[1:]) or "The capital of France is"))
