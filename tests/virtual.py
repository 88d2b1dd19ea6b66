"""Virtual time, as everybody has it: see ``leyline.testing.virtual``."""

from leyline.testing.virtual import (
    EPOCH,
    VIRTUAL_BACKEND,
    VIRTUAL_CLOCK,
    VirtualLoop,
    run_virtual,
)

__all__ = ["EPOCH", "VIRTUAL_BACKEND", "VIRTUAL_CLOCK", "VirtualLoop", "run_virtual"]
