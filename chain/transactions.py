"""Building and signing transactions, apart from sending them: what is signed is stored first and sent after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction

from chain.signers.interface import Signer, signature_of

TRANSACTION_BYTES_MAX: Final = 1232
LAMPORTS_PER_SIGNATURE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash: what is signed with it can land until the chain passes `last_valid_block_height`."""

    value: Hash
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class Budget:
    """Compute units a transaction may use, and what it offers per unit on top of the base fee (micro-lamports)."""

    units: int
    price: int = 0

    @property
    def lamports(self) -> int:
        """The priority fee: it is charged on the limit, used or not. Rounded up, as the cluster does."""
        return -(-self.units * self.price // 1_000_000)


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Bytes ready to be sent, as often as needed: they land at most once. `signature` (base58) is their id on chain."""

    raw: bytes
    signature: str
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """A message that others have to sign: `message` are the exact bytes to sign."""

    message: bytes
    last_valid_block_height: int


class SignatureRefused(Exception):
    """A signature is missing, belongs to nobody who has to sign, or does not match the message."""

    code = "signature_invalid"


def unsigned(
    payer: Pubkey, instruction: Instruction, budget: Budget, blockhash: Blockhash
) -> UnsignedTransaction:
    """A message of one instruction after its two budget instructions. Raises `ValueError` beyond 1,232 bytes."""
    instructions = [set_compute_unit_limit(budget.units), set_compute_unit_price(budget.price), instruction]
    message = Message.new_with_blockhash(instructions, payer, blockhash.value)
    raw = bytes(message)
    size = 1 + 64 * message.header.num_required_signatures + len(raw)
    if size > TRANSACTION_BYTES_MAX:
        raise ValueError(f"the transaction has {size} bytes; a cluster takes {TRANSACTION_BYTES_MAX}")
    return UnsignedTransaction(raw, blockhash.last_valid_block_height)


async def signed(
    transaction: UnsignedTransaction,
    signers: Sequence[Signer],
    signatures: Mapping[Pubkey, Signature] | None = None,
) -> SignedTransaction:
    """Sign with `signers`, after `signatures` made elsewhere were checked, and these are exactly the ones needed.

    Raises `SignatureRefused` before any signer is asked, `SigningFailed` when one does not sign: nothing exists then that could be
    sent, and asking again is safe.
    """
    message = Message.from_bytes(transaction.message)
    given = dict(signatures or {})
    needed = message.account_keys[: message.header.num_required_signatures]
    if set(needed) != {*given, *(signer.pubkey for signer in signers)}:
        raise SignatureRefused("the signatures are not those that the message asks for")
    for key, signature in given.items():
        if not signature.verify(key, transaction.message):
            raise SignatureRefused(f"the signature of {key} does not match the message")
    for signer in signers:
        given[signer.pubkey] = await signature_of(signer, transaction.message)
    full = Transaction.populate(message, [given[key] for key in needed])
    return SignedTransaction(bytes(full), str(full.signatures[0]), transaction.last_valid_block_height)
