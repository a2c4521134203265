"""A key of EVM chains, kept in a file that only its owner can read: 64 hexadecimal digits, with or without 0x."""

import re
import secrets
from pathlib import Path
from typing import Any, Final, NoReturn

from eth_account import Account

from chain.keys import KeyFileRefused, create_secret, read_secret

_KEY: Final = re.compile(r"\s*(?:0x)?([0-9a-fA-F]{64})\s*")


class EvmKey:
    """A private key in this process. Prints as its address only, and refuses to be copied out of the process."""

    __slots__ = ("_sign", "address")

    def __init__(self, secret: str | bytes) -> None:
        account = Account.from_key(secret)
        # The method and not the account, which shows its key to whoever asks.
        self._sign: Any = account.sign_transaction
        self.address: str = account.address

    def __repr__(self) -> str:
        return f"EvmKey({getattr(self, 'address', '?')})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not for sending away")

    def sign(self, transaction: dict[str, Any]) -> tuple[bytes, str]:
        """The signed bytes of a transaction, and its hash. The same transaction gets the same bytes."""
        signed = self._sign(transaction)
        return bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex()

    @staticmethod
    def load(path: Path) -> "EvmKey":
        """Read a key file that nobody but its owner may read or write (else `KeyFileRefused`)."""
        found = _KEY.fullmatch(read_secret(path).decode("ascii", "replace"))
        if found:
            try:
                return EvmKey(found[1])
            except ValueError:
                pass
        # Outside the handler and in our own words: the libraries' errors quote what they could not parse.
        raise KeyFileRefused(f"{path} does not hold a key: 64 hexadecimal digits, with or without 0x")

    @staticmethod
    def load_or_create(path: Path) -> "EvmKey":
        """Read a key file, or make one with a new key. Of two processes that make it at once, one wins and both use its key."""
        create_secret(path, lambda: "0x" + secrets.token_bytes(32).hex())
        return EvmKey.load(path)
