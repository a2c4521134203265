"""From a setting to a signer: `file:PATH`, `awskms:KEY`, `vault:MOUNT/KEY`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chain.keys import KeyFileRefused, KeypairSigner
from chain.signers.interface import Signer

_EXTRA = "{} needs packages that are not installed: pip install --require-hashes -r requirements/signers.txt"


@asynccontextmanager
async def open_signer(place: str) -> AsyncIterator[Signer]:
    """The signer at `place`; its connections are closed at the end.

    Raises `KeyFileRefused` for what names no usable key, `SigningFailed` when a remote signer does not tell its public key.
    """
    scheme, _, rest = place.partition(":")
    match scheme:
        case "file":
            yield KeypairSigner.load(Path(rest.removeprefix("//")))
        case "awskms":
            try:
                # Here, because these packages are optional and take long to import.
                from chain.signers.awskms import open_awskms
            except ImportError:
                raise KeyFileRefused(_EXTRA.format("awskms:")) from None
            async with open_awskms(rest) as signer:
                yield signer
        case "vault":
            try:
                from chain.signers.vault import VaultSigner
            except ImportError:
                raise KeyFileRefused(_EXTRA.format("vault:")) from None
            yield await VaultSigner.open(rest)
        case _:
            # Not what was written there: it may be the key itself.
            raise KeyFileRefused(
                "a key's place begins with file:, awskms: or vault:, as in file:/etc/perpdex/operator.json"
            )
