"""The machine of the tests of the command line, for batches with live processes."""

from collections.abc import Iterator

import pytest

from tests.batch.pipelines import started
from tests.cli.conftest import machine

__all__ = ["machine"]


@pytest.fixture(autouse=True)
def no_batch_is_left() -> Iterator[None]:
    """Whatever a test started and did not wait for ends with it."""
    yield
    while started:
        process = started.pop()
        if process.poll() is None:
            process.kill()
        process.communicate()
