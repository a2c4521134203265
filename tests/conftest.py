"""What tests share: one real PostgreSQL for the whole run with a fresh database for each test, and a search for a secret key.

A run is repeatable: Hypothesis derives its examples from the tests. `pytest --hypothesis-profile=default` looks for new ones.
"""

import base64
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import base58
import psycopg
import pytest
from hypothesis import settings

from ledger.embedded import EmbeddedPostgres
from ledger.migrate import upgrade

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

_databases = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """PostgreSQL from the wheel, with a migrated database `template` to copy."""
    directory = Path(tempfile.mkdtemp(prefix="perpdex-test-", dir="/tmp"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "pg")
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create database migrated")
    upgrade(server.url.replace("/postgres?", "/migrated?"))
    yield server
    server.stop()
    shutil.rmtree(server.home, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """URL of a database of this test's own, at the current schema."""
    name = f"test{next(_databases)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"create database {name} template migrated")
    return postgres.url.replace("/postgres?", f"/{name}?")


WINDOW = 12
"""So many bytes of a key in a row, anywhere in it, are enough to be found."""
_NOISE = re.compile(rb"\x1b\[[0-9;]*m|\s|\xe2\x94\x82")
"""Colours, space and the frames that rich draws: they break what is longer than a line."""


def _forms(seed: bytes, keypair: bytes) -> Iterator[tuple[str, bytes]]:
    """What a private key (32 bytes) looks like to a reader; `keypair` is it with the public key behind it (64 bytes)."""
    yield "base58 of 64 bytes", base58.b58encode(keypair)[:40]
    yield "base58 of 32 bytes", base58.b58encode(seed)[:30]
    for at in range(len(seed) - WINDOW + 1):
        part = seed[at : at + WINDOW]
        yield "raw", part
        yield "hex", part.hex().encode()
        yield "HEX", part.hex().upper().encode()
        yield "base64", base64.b64encode(part)
        yield "urlsafe base64", base64.urlsafe_b64encode(part)
        yield "repr of bytes", repr(part)[2:-1].replace(" ", "").encode()
        yield "list of numbers", ",".join(str(one) for one in part[:8]).encode()


@pytest.fixture(scope="session")
def shown() -> Callable[[bytes, bytes], set[str]]:
    """In which forms a keypair (64 bytes: private, public) or a piece of its private half can be read in some bytes."""

    def find(keypair: bytes, data: bytes) -> set[str]:
        dense = _NOISE.sub(b"", data).replace(b"\\\\", b"\\")
        return {name for name, form in _forms(keypair[:32], keypair) if form in data or form in dense}

    return find
