"""Addresses of the database, and the pool that reads go through."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

APPLICATION: Final = "perpdex"
"""What every connection of the exchange's processes is called, so that an upgrade sees that they run."""

PROJECTOR_LOCK: Final = 0x7065727064657801
"""Advisory lock of the one projector."""


def sqlalchemy_url(url: str) -> str:
    """`url` with psycopg 3 as driver, whether it came in libpq's form or SQLAlchemy's."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def libpq_url(url: str) -> str:
    """`url` as psycopg itself takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def open_pool(url: str, size: int = 5) -> AsyncEngine:
    named = {"application_name": APPLICATION}
    # What a failed statement was given is in its message otherwise, which logs and Temporal keep.
    return create_async_engine(
        sqlalchemy_url(url), pool_size=size, pool_pre_ping=True, connect_args=named, hide_parameters=True
    )
