"""Deposits and withdrawals: what the owner signs with its own key, built or checked here and not believed.

Layout of the escrow program's `deposit` instruction: eight bytes of SHA-256("global:deposit"), slot u16, amount u64, little-endian;
accounts escrow (w), page (w), owner (signer), source token account (w), vault (w), token program.
"""

import asyncio
import base64
import hashlib
import struct
from collections.abc import Callable
from decimal import Decimal

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from perpdex_sdk.answers import Escrow, Place, Withdrawal
from perpdex_sdk.errors import DepositFailed, MessageRefused, Refused
from perpdex_sdk.priority import at_price
from perpdex_sdk.rest import Rest
from perpdex_sdk.rpc import Rpc

TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ASSOCIATED_TOKEN_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
DEPOSIT = hashlib.sha256(b"global:deposit").digest()[:8]
WITHDRAW = hashlib.sha256(b"global:withdraw").digest()[:8]
BUDGET_PROGRAM = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
_WITHDRAWAL_BYTES = 26
"""Eight that name it, slot u16, amount u64, and the number of the withdrawal u64, which is the operator's to count."""
MICRO = Decimal(1_000_000)
SLOT_TRIES, SLOT_PAUSE = 300, 0.2
WITHDRAWAL_PAUSE = 0.2
WITHDRAWAL_OVER = ("paid", "released", "refused")


def token_account(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The owner's associated token account."""
    seeds = [bytes(owner), bytes(TOKEN_PROGRAM), bytes(mint)]
    return Pubkey.find_program_address(seeds, ASSOCIATED_TOKEN_PROGRAM)[0]


def page_address(escrow: Escrow, page: int) -> Pubkey:
    seeds = [b"page", bytes(Pubkey.from_string(escrow.escrow)), page.to_bytes(4, "little")]
    return Pubkey.find_program_address(seeds, Pubkey.from_string(escrow.program))[0]


def vault_address(program: str, escrow: str) -> Pubkey:
    """The token account that holds the escrow's money. Raises `ValueError` for what is no address."""
    seeds = [b"vault", bytes(Pubkey.from_string(escrow))]
    return Pubkey.find_program_address(seeds, Pubkey.from_string(program))[0]


def deposit_instruction(escrow: Escrow, place: Place, owner: Pubkey, micro_usdc: int) -> Instruction:
    """Move `micro_usdc` from the owner's associated token account into its slot."""
    accounts = [
        AccountMeta(Pubkey.from_string(escrow.escrow), is_signer=False, is_writable=True),
        AccountMeta(page_address(escrow, place.page), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
        AccountMeta(token_account(owner, Pubkey.from_string(escrow.mint)), is_signer=False, is_writable=True),
        AccountMeta(vault_address(escrow.program, escrow.escrow), is_signer=False, is_writable=True),
        AccountMeta(TOKEN_PROGRAM, is_signer=False, is_writable=False),
    ]
    data = DEPOSIT + struct.pack("<HQ", place.slot, micro_usdc)
    return Instruction(Pubkey.from_string(escrow.program), data, accounts)


async def send_deposit(
    rest: Rest, keypair: Keypair, amount: Decimal, escrow: Escrow, rpc_url: str, price: int = 0
) -> str:
    """Build, sign and send a deposit into the escrow; its signature, once confirmed. `price`: micro-lamports per compute unit.

    Raises `DepositFailed`, `OutcomeUnknown`, `Unreachable` before it was sent.
    """
    micro_usdc = amount * MICRO
    if not amount.is_finite() or micro_usdc != int(micro_usdc) or micro_usdc <= 0:
        raise DepositFailed(f"{amount} is not a positive multiple of 0.000001 USDC")
    place = await own_place(rest)
    rpc = Rpc(rpc_url)
    try:
        blockhash, last_height = await rpc.latest_blockhash()
        instruction = deposit_instruction(escrow, place, keypair.pubkey(), int(micro_usdc))
        recent = Hash.from_string(blockhash)
        message = Message.new_with_blockhash(at_price(price, instruction), keypair.pubkey(), recent)
        transaction = Transaction([keypair], message, recent)
        signature = str(transaction.signatures[0])
        await rpc.send_until_confirmed(bytes(transaction), signature, last_height)
        return signature
    finally:
        await rpc.close()


def must_pay_only(
    raw: bytes, escrow: Escrow, place: Place | None, owner: Pubkey, micro_usdc: int, destination: str | None
) -> int:
    """The number of the withdrawal that a message pays. Raises `MessageRefused` unless it does nothing but pay `micro_usdc` out of the
    owner's slot to `destination`.

    Every account is derived here, but for the operator's: that is whoever pays the fee, and the only one to sign besides the owner.
    An owner's signature is good for everything in a message: never sign one unread.
    """
    try:
        message = Message.from_bytes(raw)
        payer, *others = message.signer_keys()
        payments = [
            one
            for one in message.instructions
            if message.account_keys[one.program_id_index] != BUDGET_PROGRAM
        ]
    except (ValueError, IndexError) as error:
        raise MessageRefused(f"that is no message: {error}") from error
    # What reads as one message here must not read as another one there.
    if bytes(message) != raw or len(payments) != 1 or place is None or others != [owner]:
        raise MessageRefused("the message is not one payment at the exchange's cost")
    (payment,) = payments
    target = (
        Pubkey.from_string(destination)
        if destination
        else token_account(owner, Pubkey.from_string(escrow.mint))
    )
    wanted = [
        Pubkey.from_string(escrow.escrow),
        page_address(escrow, place.page),
        owner,
        payer,
        target,
        vault_address(escrow.program, escrow.escrow),
        TOKEN_PROGRAM,
    ]
    if (
        message.account_keys[payment.program_id_index] != Pubkey.from_string(escrow.program)
        or [message.account_keys[index] for index in payment.accounts] != wanted
        or len(payment.data) != _WITHDRAWAL_BYTES
        or payment.data[:18] != WITHDRAW + struct.pack("<HQ", place.slot, micro_usdc)
    ):
        raise MessageRefused("the message pays something else than was asked for")
    return int.from_bytes(payment.data[18:], "little")


async def own_place(rest: Rest) -> Place:
    """The account's slot; the exchange opens it once it has seen, finally, that the owner has something to put into it."""
    for _ in range(SLOT_TRIES):
        account = await rest.account()
        if account.parent is not None:
            raise DepositFailed("a sub-account takes no deposits: deposit with its parent, then transfer")
        if account.escrow is not None:
            return account.escrow
        await asyncio.sleep(SLOT_PAUSE)
    raise DepositFailed(
        "the exchange has not opened a slot in the escrow for this account: it waits until the owner's associated token account "
        "holds USDC for it (the exchange's smallest withdrawal)"
    )


async def signed_withdrawal(
    rest: Rest,
    keypair: Keypair,
    escrow: Escrow,
    amount: str,
    destination: str | None,
    key: str,
    patience_s: float,
    must_be_first: Callable[[int], None],
) -> Withdrawal:
    """Start a withdrawal and see it through: each message to sign is checked and signed once. Raises `MessageRefused`.

    The chain may take no transaction in time, and then there is another message to sign. It must have the number of the first one: the
    chain pays a number once, so two would be paid twice. `must_be_first` is told every number before it is signed, and raises for
    another than the first (`SignedNumbers`).
    """
    view = await rest.start_withdrawal(amount, key, destination)
    place = (await rest.account()).escrow
    signed: str | None = None
    until = asyncio.get_running_loop().time() + patience_s
    while view.status not in WITHDRAWAL_OVER and asyncio.get_running_loop().time() < until:
        if view.status == "awaiting_signature" and view.message not in (None, signed):
            message = base64.b64decode(view.message)
            micro_usdc = int(Decimal(amount) * MICRO)
            must_be_first(must_pay_only(message, escrow, place, keypair.pubkey(), micro_usdc, destination))
            signed = view.message
            try:
                view = await rest.sign_withdrawal(view.id, str(keypair.sign_message(message)))
                continue
            except Refused as error:
                # It was given back in the meantime, or another copy of this agent signed first.
                if error.code != "not_awaiting_signature":
                    raise
        await asyncio.sleep(WITHDRAWAL_PAUSE)
        view = await rest.withdrawal(view.id)
    return view
