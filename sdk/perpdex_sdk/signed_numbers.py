"""Under which number each withdrawal was signed: kept before the signature is given, so that no restart has a second one signed.

The chain pays a number once. Whoever got an owner to sign one withdrawal under two numbers could have both paid.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from perpdex_sdk import files
from perpdex_sdk.errors import MessageRefused, NotProven

FORMAT: Final = 1


class SignedNumber(msgspec.Struct, frozen=True):
    """The withdrawal that `account` called `key` was signed as `number`. A file with other fields is told by its `format`."""

    account: int
    key: str
    number: int
    format: int = FORMAT


class SignedNumbers:
    """Of all withdrawals from accounts in one escrow: a file for each below `folder`, for ever; in memory where that is None."""

    def __init__(self, folder: Path | None, escrow: str) -> None:
        self._folder = folder and folder / f"signed-withdrawals-{escrow[:8]}"
        self._signed: dict[tuple[int, str], int] = {}

    def must_be_first(self, account: int, key: str, number: int) -> None:
        """Keep the number of a withdrawal's first message, on disk, or see that it is the one that was kept.

        Raises `MessageRefused` for another one; `NotProven` for a file that is damaged or a later version's, and `OSError`: nothing
        may be signed then.
        """
        first = self._signed.get((account, key))
        if first is None:
            first = self._signed[account, key] = self._kept(SignedNumber(account, key, number))
        if first != number:
            raise MessageRefused(
                f"the message pays withdrawal {number}, and {first} was signed: both could be paid"
            )

    def _kept(self, wanted: SignedNumber) -> int:
        """Two agents at once with one key and folder keep the same one: the file's."""
        if self._folder is None:
            return wanted.number
        name = hashlib.sha256(wanted.key.encode()).hexdigest()
        path = self._folder / f"{wanted.account}-{name}.json"
        files.write_once(path, msgspec.json.encode(wanted) + b"\n")
        kept = files.read(path, SignedNumber)
        if (kept.account, kept.key, kept.format) != (wanted.account, wanted.key, FORMAT):
            raise NotProven(
                "file_of_another",
                f"{path} is not about withdrawal {wanted.key!r} of account {wanted.account}",
            )
        return kept.number
