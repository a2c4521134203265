"""What the local chain says when its disk takes no more, and what is left of what it was writing."""

import sqlite3
from pathlib import Path

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.localnet.history import History


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    small, large = [(Keypair().pubkey(), Account(1, data, Pubkey.default())) for data in (b"", bytes(10**6))]
    history = History(tmp_path)
    try:
        with sqlite3.connect(tmp_path / "chain.sqlite") as pages:
            count = pages.execute("PRAGMA page_count").fetchone()[0]
        history._db.execute(f"PRAGMA max_page_count = {count + 10}")  # as if the disk had no more
        with pytest.raises(sqlite3.OperationalError, match="full"):
            history.undo(0, [small, large])
        assert list(history.accounts()) == []
        history.undo(0, [small])
        assert [key for key, _ in history.accounts()] == [small[0]]
    finally:
        history.close()
