"""Building and signing transactions, apart from sending them: what is signed is stored first and sent after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction

TRANSACTION_BYTES_MAX: Final = 1232


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes ready to be stored and sent, as often as needed: they land at most once, and not beyond `last_valid_block_height`.

    `signature` (base58) is their name on chain.
    """

    raw: bytes
    signature: str
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A message for others to sign: `message` are the exact bytes to sign."""

    message: bytes
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash: what is signed with it can land until the chain passes `last_valid_block_height`."""

    value: Hash
    last_valid_block_height: int


@dataclass(frozen=True, slots=True)
class Budget:
    """Compute units that a transaction may use, and micro-lamports offered for each on top of the base fee.

    The offer is charged on the limit, used or not, and rounded up to whole lamports.
    """

    units: int
    price: int = 0


class SignatureRefused(ValueError):
    """A signature is missing, belongs to nobody who has to sign, or is not of this message."""

    code = "signature_invalid"


def unsigned(payer: Pubkey, instruction: Instruction, budget: Budget, blockhash: Blockhash) -> Unsigned:
    """A message of one instruction after its two budget instructions. Raises `ValueError` beyond 1,232 bytes."""
    instructions = [set_compute_unit_limit(budget.units), set_compute_unit_price(budget.price), instruction]
    message = Message.new_with_blockhash(instructions, payer, blockhash.value)
    raw = bytes(message)
    size = 1 + 64 * message.header.num_required_signatures + len(raw)
    if size > TRANSACTION_BYTES_MAX:
        raise ValueError(f"the transaction has {size} bytes; a cluster takes {TRANSACTION_BYTES_MAX}")
    return Unsigned(raw, blockhash.last_valid_block_height)


def co_signed(transaction: Unsigned, signer: Keypair, other_signature: str) -> Signed:
    """Sign a message of two signers as one of them, with the other's signature (base58)."""
    message = Message.from_bytes(transaction.message)
    needed = message.account_keys[: message.header.num_required_signatures]
    others = [key for key in needed if key != signer.pubkey()]
    try:
        signature = Signature.from_string(other_signature)
    except ValueError as error:
        raise SignatureRefused("not a signature in base58") from error
    return signed(transaction, [signer], dict.fromkeys(others, signature))


def signed(
    transaction: Unsigned, signers: Sequence[Keypair], signatures: Mapping[Pubkey, Signature] | None = None
) -> Signed:
    """Sign with `signers`, add `signatures` made elsewhere, and check that these are exactly the ones needed."""
    message = Message.from_bytes(transaction.message)
    given = dict(signatures or {})
    given.update((signer.pubkey(), signer.sign_message(transaction.message)) for signer in signers)
    needed = message.account_keys[: message.header.num_required_signatures]
    if set(needed) != set(given):
        raise SignatureRefused("the signatures are not those that the message asks for")
    for key, signature in given.items():
        if not signature.verify(key, transaction.message):
            raise SignatureRefused(f"the signature of {key} is not of this message")
    full = Transaction.populate(message, [given[key] for key in needed])
    return Signed(bytes(full), str(full.signatures[0]), transaction.last_valid_block_height)
