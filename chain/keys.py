"""Signing keys kept in files, in the format of the Solana command line tools (a JSON array of 64 numbers)."""

import json
import os
import stat
from pathlib import Path

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature


class KeyFileRefused(Exception):
    """A key file that must not be used; the message says why and what to do."""

    code = "key_file_refused"


class Signer:
    """A private key that signs. Prints as its public key only."""

    def __init__(self, keypair: Keypair) -> None:
        self._keypair = keypair
        self.pubkey: Pubkey = keypair.pubkey()

    def __repr__(self) -> str:
        return f"Signer({self.pubkey})"

    def sign(self, message: bytes) -> Signature:
        return self._keypair.sign_message(message)

    @staticmethod
    def load(path: Path) -> "Signer":
        """Read a key file that nobody but its owner may read or write (else `KeyFileRefused`)."""
        # Opened before it is checked: what was checked is then what is read.
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileRefused(f"{path} is open to others (mode {mode:o}); run: chmod 600 {path}")
            text = file.read()
        try:
            return Signer(Keypair.from_bytes(bytes(json.loads(text))))
        except (ValueError, TypeError) as error:
            raise KeyFileRefused(f"{path} does not hold a key: {error}") from error

    @staticmethod
    def load_or_create(path: Path) -> "Signer":
        """Read a key file, or make one with a new key. Of two processes that make it at once, one wins and both use its key."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            create_secret(path, json.dumps(list(bytes(Keypair()))))
        return Signer.load(path)


def create_secret(path: Path, text: str) -> None:
    """Write a file for its owner only, unless there is one. It is there whole or not at all, whenever the machine stops."""
    # Written aside and linked into place: a reader never sees half a key, and an existing key is never replaced.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
