"""Fixtures that every test may use."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """asyncio alone: aiolimiter, which paces the quotas, runs on nothing else."""
    return "asyncio"
