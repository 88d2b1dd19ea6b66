#!/usr/bin/env python3
"""Takes a slot for each run of a command, and holds it until the command has ended.

Called as ``takes_slots.py FOLDER COUNT RUNS COMMAND...``; prints the process id of each run.
"""

import subprocess
import sys
from pathlib import Path

import anyio

from leyline.clock import SYSTEM_CLOCK
from leyline.quota.slots import Slots


async def main(folder: str, count: str, runs: str, *command: str) -> None:
    slots = Slots(Path(folder), "svc", int(count))

    async def run() -> None:
        slot = await slots.take(clock=SYSTEM_CLOCK, deadline=None)
        process = subprocess.Popen(command, pass_fds=(slot.descriptor,))
        print(process.pid, flush=True)
        await anyio.to_thread.run_sync(process.wait)
        slot.release()

    async with anyio.create_task_group() as group:
        for _ in range(int(runs)):
            group.start_soon(run)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
