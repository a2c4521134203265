"""Key files, and where an agent keeps what belongs to a key."""

import os
import stat
from pathlib import Path

from solders.keypair import Keypair

from perpdex_sdk import files
from perpdex_sdk.errors import KeyFileRefused


def key_at(path: Path) -> Keypair:
    """The key in a Solana CLI key file, made when missing: on disk before it is used, and agents that make it at once use one key.

    Raises `KeyFileRefused` for a file that others may read or write, that is another user's, or that holds no key; `OSError`.
    """
    if not path.exists():
        files.write_once(path, Keypair().to_json().encode())
    # Opened before it is checked: what was checked is then what is read.
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise KeyFileRefused(f"{path} is open to others (mode {mode:o}); run: chmod 600 {path}")
        if found.st_uid != os.geteuid():
            raise KeyFileRefused(f"{path} belongs to another user; run: chown {os.geteuid()} {path}")
        text = file.read()
    try:
        return Keypair.from_json(text.decode())
    except ValueError:
        pass
    # Outside the handler and in our own words: the library's errors quote what they could not parse.
    raise KeyFileRefused(
        f"{path} holds no key (a JSON array of 64 numbers, as solana-keygen writes it): put it back from a copy, as money may lie "
        "under it, or move it away, and a new key is made"
    )


def folder_beside(path: Path) -> Path:
    """Of what the agent with this key file keeps: `keys/maker.json` has `keys/maker.kept`."""
    return path.with_suffix(".kept")
