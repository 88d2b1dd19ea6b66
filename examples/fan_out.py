"""The same prompt to several services at once: one result each, whatever comes of it.

    python examples/fan_out.py "Hello"

Runs offline: the services are ordinary commands. Any command can be a service.
"""

import sys

import anyio

from leyline import ServiceConfig, ServiceRegistry

SERVICES = {
    "upper": "tr a-z A-Z",  # no {prompt} in the template: it goes in on standard input
    "backwards": "rev",
    "broken": "false",
    "slow": "sleep 600",
}


async def main(prompt: str) -> None:
    """Ask everybody, for two seconds at most."""
    async with ServiceRegistry() as registry:
        for name, template in SERVICES.items():
            command = template.split()[0]
            registry.register(name, ServiceConfig(name, command, command_template=template))
        results = await registry.execute_parallel(list(SERVICES), prompt, timeout=2.0)
    for name, result in results.items():
        said = result.text if result.failure is None else f"({result.failure.kind})"
        print(f"{name:10} {result.duration:4.1f} s  {said}")


if __name__ == "__main__":
    anyio.run(main, " ".join(sys.argv[1:]) or "Hello")
