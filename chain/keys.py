"""Signing keys kept in files, in the format of the Solana command line tools (a JSON array of 64 numbers).

No frame of this module holds a secret in a variable of its own while something can fail: tracebacks may show variables.
"""

import ctypes
import os
import resource
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

_PR_SET_DUMPABLE: Final = 4
_DRAFT_S: Final = 60.0
"""A key is written in milliseconds: a draft that is older belongs to a process that was killed."""


class KeyFileRefused(Exception):
    """A key file that must not be used; the message says why and what to do."""

    code = "key_file_refused"


class KeypairSigner:
    """A private key in this process. Prints as its public key only, and refuses to be copied out of the process."""

    __slots__ = ("_sign", "pubkey")

    def __init__(self, keypair: Keypair) -> None:
        # The method and not the keypair, which prints its secret.
        self._sign: Any = keypair.sign_message
        self.pubkey: Pubkey = keypair.pubkey()

    def __repr__(self) -> str:
        # Also of one that is not finished: whoever shows an error shows it.
        return f"KeypairSigner({getattr(self, 'pubkey', '?')})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not for sending away")

    async def sign(self, message: bytes) -> Signature:
        signature: Signature = self._sign(message)
        return signature

    @staticmethod
    def load(path: Path) -> "KeypairSigner":
        """Read a key file that nobody but its owner may read or write (else `KeyFileRefused`)."""
        signer = KeypairSigner.__new__(KeypairSigner)
        # Past the constructor, whose frame has the keypair in a variable.
        signer._sign = _read(path).sign_message
        signer.pubkey = signer._sign.__self__.pubkey()
        return signer

    @staticmethod
    def load_or_create(path: Path) -> "KeypairSigner":
        """Read a key file, or make one with a new key. Of two processes that make it at once, one wins and both use its key."""
        create_secret(path, lambda: Keypair().to_json())
        return KeypairSigner.load(path)


def read_secret(path: Path, *, root_may: bool = False) -> bytes:
    """What a file holds that nobody but this process's user may read or write, and which is that user's. Raises `KeyFileRefused`.

    `root_may`: root reads what is another user's, for what only proves who asks: it is no less proven.
    """
    try:
        # Opened before it is checked: what was checked is then what is read.
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            mode = stat.S_IMODE(found.st_mode)
            if mode & 0o077:
                raise KeyFileRefused(f"{path} is open to others (mode {mode:o}); run: chmod 600 {path}")
            # Only root gets this far with a file of somebody else's, who can open it again, and put another key there.
            if found.st_uid != os.geteuid() and not (root_may and os.geteuid() == 0):
                raise KeyFileRefused(
                    f"{path} belongs to another user (number {found.st_uid}), who can read and replace it; "
                    f"run: chown {os.geteuid()} {path}"
                )
            return file.read()
    except FileNotFoundError:
        raise KeyFileRefused(f"{path} is not there: put the key file there, or name another one") from None
    except OSError as error:
        then = f"; run: chown {os.geteuid()} {path}" if isinstance(error, PermissionError) else ""
        raise KeyFileRefused(
            f"{path} cannot be read ({error.strerror}): it must be a file of the user who runs this{then}"
        ) from None


def create_secret(path: Path, make: Callable[[], str]) -> None:
    """Write what `make` returns to a file for its owner only, unless there is one. It is there whole or not at all, whenever the
    machine stops; what an earlier process left behind that was killed in the middle is taken away."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in path.parent.glob(f".{path.name}.*"):
        _take_away(left, path)
    if path.exists():
        return
    # Written aside and linked into place: a reader never sees half a key, and an existing key is never replaced.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        # Another process that found the key linked may have been quicker.
        draft.unlink(missing_ok=True)
    # The name as well: what is encrypted or funded with a key must find it after the power failed.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _take_away(left: Path, path: Path) -> None:
    """Remove a draft of `path` that is linked already, a second copy of the key, or that nobody can be writing any more."""
    if not left.name.removeprefix(f".{path.name}.").isdecimal():
        return
    try:
        found = left.stat()
        linked = path.exists() and path.samefile(left)
    except FileNotFoundError:
        return
    if linked or time.time() - found.st_mtime > _DRAFT_S:
        left.unlink(missing_ok=True)


def forbid_core_dumps() -> None:
    """From here on a crash of this process leaves no image of its memory, and no other process of the user can read it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A limit of 0 stops files only: a collector such as systemd-coredump is given the image all the same.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _read(path: Path) -> Keypair:
    try:
        # In one go and not by the json module, whose frames hold what they parse.
        return Keypair.from_json(read_secret(path).decode())
    except ValueError:
        pass
    # Outside the handler and in our own words: the libraries' errors quote what they could not parse.
    raise KeyFileRefused(
        f"{path} does not hold a key: a JSON array of 64 numbers, as solana-keygen writes it"
    )
