"""The steps of leaving alone: ask, take back, claim; and what became of a request that the escrow no longer has.

`perpdex_sdk.leave` goes through them.
"""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from perpdex_sdk import asked, exit_kit, own_slot, reading
from perpdex_sdk.asked import Asked
from perpdex_sdk.errors import DepositFailed, ExitFailed, NotProven, Unreachable
from perpdex_sdk.exit_kit import ExitKit, OnChain
from perpdex_sdk.funds import MICRO, page_address
from perpdex_sdk.own_slot import EVERYTHING
from perpdex_sdk.rpc import Rpc

LOOK_EVERY_S: Final = 1.0
PENDING, NOT_PENDING, NOT_READY, OWING = 6043, 6044, 6045, 6056
"""The program's errors `WithdrawalPending`, `NoWithdrawalPending`, `WithdrawalNotReady`, `LossOutstanding`."""
NOT_OWNERS: Final = 6015
"""`WrongTokenAccount`: what is paid to is no token account of the owner's and of the escrow's mint."""
_TARGET: Final = 3
"""Which of a claim's accounts is paid."""
CLAIM, CANCEL = (
    own_slot.instruction_mark(name) for name in ("claim_withdrawal", "cancel_withdrawal_request")
)


class Left(msgspec.Struct, frozen=True):
    """`paid` micro-USDC came to the owner's token account `target`, by the transaction `signature`."""

    paid: int
    target: str
    signature: str


async def ask(
    kit: ExitKit, keypair: Keypair, rpc_url: str, micro_usdc: int | None = None, price: int = 0
) -> OnChain:
    """Ask for up to `micro_usdc`, or everything, where nothing is asked for yet; what the chain says then.

    The owner pays the fee, and `price` micro-lamports per compute unit.

    Raises `ExitFailed`, also when another amount is asked for already, `NotProven` when the slot is not the owner's,
    `OutcomeUnknown` (the next call goes on with what became of it), `Unreachable`, `ChainRefused`.
    """
    must_own(kit, keypair)
    amount = EVERYTHING if micro_usdc is None else micro_usdc
    before = await exit_kit.on_chain(kit, rpc_url)
    if before.exit_at:
        must_be_asked_for(before, amount)
        return before
    if not before.balance:
        raise ExitFailed("the slot is empty: there is nothing to leave with", code="slot_empty")
    build = own_slot.request_withdrawal(kit.escrow, kit.place, keypair.pubkey(), amount)
    await _send(keypair, rpc_url, build, price)
    while not (now := await exit_kit.on_chain(kit, rpc_url)).exit_at:
        await asyncio.sleep(LOOK_EVERY_S)
    return now


async def take_back(kit: ExitKit, keypair: Keypair, rpc_url: str, price: int = 0) -> None:
    """Take back what was asked for. `price` as in `ask`. Raises what `ask` raises."""
    must_own(kit, keypair)
    build = own_slot.cancel_withdrawal_request(kit.escrow, kit.place, keypair.pubkey())
    await _send(keypair, rpc_url, build, price)
    while (await exit_kit.on_chain(kit, rpc_url)).exit_at:
        await asyncio.sleep(LOOK_EVERY_S)


async def give_up(kit: ExitKit, keypair: Keypair, rpc_url: str, kept: Path, price: int = 0) -> Left | None:
    """Take back what was asked for and kept in a file; when nothing is asked for any more, find out whether it was paid.

    Nothing is kept afterwards. `price` as in `ask`. Returns the payment, None when there was none. Raises what `take_back` and
    `became` raise.
    """
    left = None
    try:
        await take_back(kit, keypair, rpc_url, price)
    except ExitFailed as failed:
        if failed.number != NOT_PENDING:
            raise
        what = asked.load(kept, kit)
        left = await became(kit, what, rpc_url) if what is not None else None
    asked.forget(kept)
    return left


async def claim(
    kit: ExitKit, keypair: Keypair, rpc_url: str, price: int = 0, to: Pubkey | None = None
) -> Left:
    """Take what was asked for, to the owner's associated token account, which is made when it is not there; or to the token account
    `to`, which must be there and the same owner's.

    `price` as in `ask`. Raises what `ask` raises; `ExitFailed` as long as the delay is not over, and for a `to` that is not the
    owner's (number `NOT_OWNERS`).
    """
    must_own(kit, keypair)
    owner = keypair.pubkey()
    rpc = Rpc(rpc_url)
    try:
        making = [own_slot.create_token_account(kit.escrow, owner)] if to is None else []
        paying = own_slot.claim_withdrawal(kit.escrow, kit.place, owner, to)
        signed = await own_slot.signed(rpc, keypair, *making, paying, price=price)
        await own_slot.land(rpc, signed)
        # A receipt for what the chain may yet give up would be worth nothing.
        while (found := await reading.transaction(rpc, signed.signature)) is None:
            if not await rpc.landed(signed.signature, signed.last_height):
                raise ExitFailed(
                    "the chain gave up the block that paid it", expired=True, code="block_given_up"
                )
            await asyncio.sleep(LOOK_EVERY_S)
        return _paid(kit, signed.signature, found)
    finally:
        await rpc.close()


async def chain_second(rpc_url: str) -> int:
    """Second of the cluster's clock. Raises `Unreachable`, `ChainRefused`."""
    rpc = Rpc(rpc_url)
    try:
        return await reading.clock(rpc)
    finally:
        await rpc.close()


async def is_over(what: Asked, rpc_url: str) -> bool:
    """Whether it is final what became of the transaction that asked: only then does a final view that has no request say anything.

    Raises `OutcomeUnknown`, `Unreachable`, `ChainRefused`.
    """
    if what.seen_at or not what.signature:
        return True
    rpc = Rpc(rpc_url)
    try:
        return not await _landed(rpc, what) or await reading.transaction(rpc, what.signature) is not None
    finally:
        await rpc.close()


async def became(kit: ExitKit, what: Asked, rpc_url: str) -> Left | None:
    """What became of a request that the final slot does not have: the payment, or None when it never landed or was taken back.

    The owner signs either, so the last one stands among its transactions. Raises `Unreachable` when the node shows neither, because it
    lags behind or does not go back so far; `OutcomeUnknown`, `ChainRefused`.
    """
    rpc = Rpc(rpc_url)
    try:
        if not what.seen_at and not await _landed(rpc, what):
            return None
        async for signature in reading.signatures(rpc, kit.owner, what.signature, what.seen_at):
            found = await reading.transaction(rpc, signature)
            if found is None:
                raise Unreachable(f"the node lists {signature} and does not have it")
            ends = {call.data[:8] for call in found.calls if _of_slot(kit, call)}
            if CLAIM in ends:
                return _paid(kit, signature, found)
            if CANCEL in ends:
                return None
    finally:
        await rpc.close()
    raise Unreachable(
        "what was asked for is not there any more, and the node shows no transaction that paid it or took it back: another one may, "
        "or an explorer, among those of the owner's key"
    )


def must_own(kit: ExitKit, keypair: Keypair) -> None:
    if str(keypair.pubkey()) != kit.owner:
        raise NotProven("key_wrong", f"the kit is of {kit.owner}, the key is of {keypair.pubkey()}")


def must_be_asked_for(now: OnChain, amount: int) -> None:
    """Raises `ExitFailed` when the slot waits for something else."""
    if now.pending != amount:
        raise ExitFailed(
            f"{in_words(now.pending)} is asked for already, to be claimed at {utc(now.exit_at)}: claim that (--amount), or "
            "take the request back first (--take-back), which begins the delay anew",
            code="another_amount_asked",
        )


async def _landed(rpc: Rpc, what: Asked) -> bool:
    try:
        return await rpc.landed(what.signature, what.last_height)
    except DepositFailed:
        return False


def _of_slot(kit: ExitKit, call: reading.Call) -> bool:
    place = (str(page_address(kit.escrow, kit.place.page)), kit.owner)
    slot = kit.place.slot.to_bytes(2, "little")
    return (call.program, call.accounts[1:3], call.data[8:10]) == (kit.escrow.program, place, slot)


def _paid(kit: ExitKit, signature: str, found: reading.Transaction) -> Left:
    # As the transaction names it: another run may have had it paid elsewhere.
    target = next(
        call.accounts[_TARGET] for call in found.calls if _of_slot(kit, call) and call.data[:8] == CLAIM
    )
    return Left(found.gained.get(target, 0), target, signature)


async def _send(keypair: Keypair, rpc_url: str, instruction: Instruction, price: int) -> None:
    rpc = Rpc(rpc_url)
    try:
        await own_slot.send(rpc, keypair, instruction, price=price)
    finally:
        await rpc.close()


def in_words(micro_usdc: int) -> str:
    return "everything" if micro_usdc == EVERYTHING else f"{Decimal(micro_usdc) / MICRO} USDC"


def utc(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(second))
