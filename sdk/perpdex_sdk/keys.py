"""Key files, and where an agent keeps what belongs to a key."""

import os
from pathlib import Path

from solders.keypair import Keypair


def key_at(path: Path) -> Keypair:
    """The key in a Solana CLI key file, made when missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(Keypair().to_json())
    return Keypair.from_json(path.read_text())


def folder_beside(path: Path) -> Path:
    """Of what the agent with this key file keeps: `keys/maker.json` has `keys/maker.kept`."""
    return path.with_suffix(".kept")
