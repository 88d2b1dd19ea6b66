"""An agent: it listens to an answer as it grows, breaks off, and asks elsewhere when it has to.

    python examples/agent.py "What is a ley line?"

Runs offline: its services are scripted tools, that is, live processes which play a part.
"""

import sys

import anyio

from leyline import ServiceRegistry, TextDelta
from leyline.testing import ScriptedTool

TALKATIVE = ScriptedTool(text="Well, where shall I begin? " * 40, pieces=200, latency=60.0)
BROKEN = ScriptedTool(stdout="", stderr="503 overloaded", exit_code=1)
SOUND = ScriptedTool(text="A line between places, said to have power.")


async def listen(registry: ServiceRegistry, prompt: str, *, enough: int) -> str:
    """The answer up to *enough* characters; leaving the block stops the process."""
    heard = ""
    async with registry.stream("talkative", prompt) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                heard += event.text
            if len(heard) >= enough:
                break
    return heard


async def main(prompt: str) -> None:
    """Three steps of an agent, in less than two seconds."""
    async with ServiceRegistry(":memory:") as registry:
        registry.register("talkative", TALKATIVE.config(supports_streaming=True))
        registry.register("broken", BROKEN.config(retry=None))
        registry.register("sound", SOUND.config())

        print("heard:", await listen(registry, prompt, enough=20))

        with anyio.move_on_after(0.5) as patience:  # any way of cancelling stops the process
            await registry.execute("talkative", prompt)
        print("cancelled:", patience.cancelled_caught)

        result = await registry.execute_with_failover(prompt, services=["broken", "sound"])
        print(f"{result.service}:", result.text)
    # Here every process has ended, also those that nobody waited for.


if __name__ == "__main__":
    anyio.run(main, " ".join(sys.argv[1:]) or "What is a ley line?")
