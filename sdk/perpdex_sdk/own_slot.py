"""What the owner of a slot in the escrow does alone, with no exchange asked: leave, and bound what settlement may take from it.

Layout of the program's instructions: eight bytes of SHA-256("global:<name>"), then the arguments, little-endian; accounts escrow,
page (w), owner (signer), and for a claim the escrow (w) and besides target token account (w), vault (w), token program.
"""

import hashlib
import struct
from typing import Final, NamedTuple

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.transaction import Transaction

from perpdex_sdk.answers import Escrow, Place
from perpdex_sdk.errors import DepositFailed, ExitFailed
from perpdex_sdk.funds import (
    ASSOCIATED_TOKEN_PROGRAM,
    TOKEN_PROGRAM,
    page_address,
    token_account,
    vault_address,
)
from perpdex_sdk.priority import at_price
from perpdex_sdk.rpc import Rpc

EVERYTHING: Final = 2**64 - 1
"""An amount to ask for: whatever the balance is when it is claimed."""
CREATE_IDEMPOTENT: Final = b"\x01"
"""The token account program's instruction that makes an account unless it is there."""
UNLIMITED: Final = 2**32 - 1
"""A loss limit that is none."""


def request_withdrawal(escrow: Escrow, place: Place, owner: Pubkey, micro_usdc: int) -> Instruction:
    """Ask to take out up to `micro_usdc` once the exit delay is over."""
    return _instruction("request_withdrawal", escrow, place, owner, struct.pack("<Q", micro_usdc))


def cancel_withdrawal_request(escrow: Escrow, place: Place, owner: Pubkey) -> Instruction:
    return _instruction("cancel_withdrawal_request", escrow, place, owner)


def claim_withdrawal(escrow: Escrow, place: Place, owner: Pubkey, to: Pubkey | None = None) -> Instruction:
    """Pay what was asked for, or the balance when that is less, to the owner's token account `to`, else its associated one."""
    target = to or token_account(owner, Pubkey.from_string(escrow.mint))
    paying = [
        AccountMeta(target, is_signer=False, is_writable=True),
        AccountMeta(vault_address(escrow.program, escrow.escrow), is_signer=False, is_writable=True),
        AccountMeta(TOKEN_PROGRAM, is_signer=False, is_writable=False),
    ]
    return _instruction("claim_withdrawal", escrow, place, owner, paying=paying)


def set_loss_limit(escrow: Escrow, place: Place, owner: Pubkey, limit_usdc: int | None) -> Instruction:
    """Let settlement take at most `limit_usdc` whole USDC within a window, or anything. A lower limit takes effect later."""
    limit = UNLIMITED if limit_usdc is None else limit_usdc
    return _instruction("set_loss_limit", escrow, place, owner, struct.pack("<I", limit))


def _instruction(
    name: str,
    escrow: Escrow,
    place: Place,
    owner: Pubkey,
    more: bytes = b"",
    paying: list[AccountMeta] | None = None,
) -> Instruction:
    accounts = [
        AccountMeta(Pubkey.from_string(escrow.escrow), is_signer=False, is_writable=paying is not None),
        AccountMeta(page_address(escrow, place.page), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
        *(paying or ()),
    ]
    data = instruction_mark(name) + struct.pack("<H", place.slot) + more
    return Instruction(Pubkey.from_string(escrow.program), data, accounts)


def instruction_mark(name: str) -> bytes:
    """What the data of the program's instruction begins with."""
    return hashlib.sha256(f"global:{name}".encode()).digest()[:8]


def create_token_account(escrow: Escrow, owner: Pubkey) -> Instruction:
    """Make the owner's associated token account, at the owner's cost; nothing where it is there already."""
    mint = Pubkey.from_string(escrow.mint)
    accounts = [
        AccountMeta(owner, is_signer=True, is_writable=True),
        AccountMeta(token_account(owner, mint), is_signer=False, is_writable=True),
        *(
            AccountMeta(key, is_signer=False, is_writable=False)
            for key in (owner, mint, SYSTEM_PROGRAM, TOKEN_PROGRAM)
        ),
    ]
    return Instruction(ASSOCIATED_TOKEN_PROGRAM, CREATE_IDEMPOTENT, accounts)


class Signed(NamedTuple):
    """A transaction that can land up to block height `last_height`."""

    raw: bytes
    signature: str
    last_height: int


async def signed(rpc: Rpc, keypair: Keypair, *instructions: Instruction, price: int = 0) -> Signed:
    """The owner pays the fee, and `price` micro-lamports per compute unit. Raises `Unreachable`, `ChainRefused`: nothing was sent."""
    blockhash, last_height = await rpc.latest_blockhash()
    recent = Hash.from_string(blockhash)
    message = Message.new_with_blockhash(at_price(price, *instructions), keypair.pubkey(), recent)
    transaction = Transaction([keypair], message, recent)
    return Signed(bytes(transaction), str(transaction.signatures[0]), last_height)


async def land(rpc: Rpc, transaction: Signed) -> str:
    """Send until it is confirmed; its signature. Raises `ExitFailed` (nothing changed), `OutcomeUnknown`."""
    try:
        await rpc.send_until_confirmed(*transaction)
    except DepositFailed as error:
        raise ExitFailed(str(error), error.number, error.expired, error.short) from error
    return transaction.signature


async def send(rpc: Rpc, keypair: Keypair, *instructions: Instruction, price: int = 0) -> str:
    """Sign and send. Raises what `signed` and `land` raise."""
    return await land(rpc, await signed(rpc, keypair, *instructions, price=price))
