"""Programs that some tests need: found, or the test says which one is missing."""

import os
import shutil

import pytest


def require(name: str) -> str:
    """The path of the program *name*.

    Where there is none, the test is skipped; with ``LEYLINE_REQUIRE_TOOLS`` set, as in CI, it
    fails, so that nothing goes untested unseen.
    """
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"needs the program {name!r}, which is not on PATH"
    if os.environ.get("LEYLINE_REQUIRE_TOOLS"):
        pytest.fail(f"{reason}; LEYLINE_REQUIRE_TOOLS is set", pytrace=False)
    pytest.skip(reason)
