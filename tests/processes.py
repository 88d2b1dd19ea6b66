"""What tests ask of the operating system about processes."""

import os
import time
from pathlib import Path

import anyio


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that ended but was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def read_pids(path: Path, *, within: float = 20.0) -> list[int]:
    """The process ids that a program wrote to *path*, as soon as they are there."""
    with anyio.fail_after(within):
        while not path.exists() or not path.read_text().strip():
            await anyio.sleep(0.002)
    return [int(word) for word in path.read_text().split()]


async def until_dead(pids: list[int], *, within: float = 20.0) -> float:
    """Seconds until none of *pids* is alive."""
    started = time.monotonic()
    with anyio.fail_after(within):
        while any(is_alive(pid) for pid in pids):
            await anyio.sleep(0.005)
    return time.monotonic() - started


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
