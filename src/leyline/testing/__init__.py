"""For the tests of those who use or extend leyline; nothing else in leyline imports it.

``ScriptedService``: A service in memory, for whole pipelines in milliseconds.
``ScriptedTool``: A service of live processes, for what only those show.
``run_virtual``, ``VIRTUAL_BACKEND``, ``VIRTUAL_CLOCK``: Time that jumps to the next timer.
``leyline.testing.ledgers``: What every ledger promises, as tests to run on your own. Needs pytest.

With pytest, the fixtures ``leyline_clock``, ``leyline_registry``, ``leyline_state`` and
``leyline_virtual_backend`` are there as soon as leyline is installed; see ``leyline_pytest``.
"""

from leyline.testing.scripted import Asked, Outcome, RateLimit, ScriptedService
from leyline.testing.scripted_tool import ScriptedTool, ToolRun
from leyline.testing.virtual import (
    EPOCH,
    VIRTUAL_BACKEND,
    VIRTUAL_CLOCK,
    VirtualLoop,
    run_virtual,
    running_clock,
)

__all__ = [
    "EPOCH",
    "VIRTUAL_BACKEND",
    "VIRTUAL_CLOCK",
    "Asked",
    "Outcome",
    "RateLimit",
    "ScriptedService",
    "ScriptedTool",
    "ToolRun",
    "VirtualLoop",
    "run_virtual",
    "running_clock",
]
