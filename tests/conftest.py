from __future__ import annotations

import pytest
from postgres_cluster import postgres, postgres_cluster

__all__ = ["anyio_backend", "postgres", "postgres_cluster"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
