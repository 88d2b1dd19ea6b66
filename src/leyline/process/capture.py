"""Standard streams as files in memory: nothing blocks, nothing is cut off, nobody is waited for.

A pipe truncates programs that exit while output is pending, stops them when it is full, and stays
open as long as any grandchild holds it. A file does none of that.
"""

import fcntl
import os
import tempfile
from typing import Final

KEPT_BYTES: Final = 2 * 2**20
"""How much of an output past its cap is kept, half from the start and half from the end."""


def open_memory() -> int:
    """A descriptor of an empty file that has no name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("leyline", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def open_input(data: bytes) -> int:
    """A descriptor that reads *data*, then end of file."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = open_memory()
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def open_output() -> int:
    """A descriptor to write to.

    In append mode, so that a program that reopens its own output (``> /dev/stderr``) leaves no
    hole behind.
    """
    descriptor = open_memory()
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def size(descriptor: int) -> int:
    """Bytes written so far."""
    return os.fstat(descriptor).st_size


def read(descriptor: int, cap: int) -> tuple[bytes, bool]:
    """What was written, and whether that was more than *cap* bytes.

    Past the cap the start and the end are kept, with a note of what is missing between them.
    """
    total = size(descriptor)
    if total <= cap:
        return _read_range(descriptor, 0, total), False
    half = min(cap, KEPT_BYTES) // 2
    start = _read_range(descriptor, 0, half)
    end = _read_range(descriptor, total - half, half)
    return start + b"\n[... %d bytes left out ...]\n" % (total - 2 * half) + end, True


def read_from(descriptor: int, offset: int, count: int) -> bytes:
    """Up to *count* bytes from *offset* on; empty where nothing more is written yet."""
    return os.pread(descriptor, count, offset)


def _read_range(descriptor: int, offset: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0 and (part := os.pread(descriptor, count, offset)):
        parts.append(part)
        offset += len(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
