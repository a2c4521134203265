"""Addresses of the database, and the pool that reads go through."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


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
    return create_async_engine(sqlalchemy_url(url), pool_size=size, pool_pre_ping=True)
