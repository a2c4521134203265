"""What an owner has begun to take out alone, in a file beside its exit kit until it is known that it was paid.

The escrow forgets a request as it pays it. Who comes back without the receipt would ask once more, and be paid twice what it wanted.
"""

from pathlib import Path

import msgspec

from perpdex_sdk import files
from perpdex_sdk.errors import NotProven
from perpdex_sdk.exit_kit import ExitKit


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` micro-USDC were asked for by the transaction `signature`, which can land up to block height `last_height`; empty when
    it was asked for by other means.

    `seen_at`: a slot as of which the escrow had it, finally; 0: none yet. `format` is 1.
    """

    owner: str
    account: int
    escrow: str
    amount: int
    signature: str
    last_height: int
    seen_at: int = 0
    format: int = 1


def of(kit: ExitKit, amount: int, signature: str = "", last_height: int = 0, seen_at: int = 0) -> Asked:
    return Asked(kit.owner, kit.account, kit.escrow.escrow, amount, signature, last_height, seen_at)


def beside(kit: Path) -> Path:
    """Where it is kept for the exit kit in a file."""
    return kit.with_name(f"{kit.stem}.asked.json")


def save(path: Path, asked: Asked) -> None:
    """To be done before the transaction is sent. Raises `OSError`."""
    files.write(path, asked)


def load(path: Path, kit: ExitKit) -> Asked | None:
    """What was begun; None when nothing was. Raises `NotProven` for what is no such file or another account's, `OSError`."""
    if not path.exists():
        return None
    asked = files.read(path, Asked)
    if asked.format != 1:
        raise NotProven(
            "file_newer", f"{path} has the format {asked.format}, which this program does not know"
        )
    if (asked.owner, asked.account, asked.escrow) != (kit.owner, kit.account, kit.escrow.escrow):
        raise NotProven("file_of_another", f"{path} is about account {asked.account} of {asked.owner}")
    return asked


def forget(path: Path) -> None:
    """It was paid and its owner was told so, or it was taken back. Raises `OSError`."""
    path.unlink(missing_ok=True)
