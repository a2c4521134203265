"""Leaving with nothing but an exit kit, the owner's key and a Solana node: nobody else has to be there, or to agree.

    python -m perpdex_sdk.leave --kit FILE --keypair FILE --rpc URL

It asks for the withdrawal where that was not done yet, waits until the escrow's exit delay is over, and claims. It may be stopped and
started again at any time. The owner's account pays the fees, so it needs a little SOL.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import msgspec
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from perpdex_sdk import exit_kit, own_slot
from perpdex_sdk.errors import ChainRefused, ExitFailed, NotProven, OutcomeUnknown, Unreachable
from perpdex_sdk.exit_kit import ExitKit, OnChain
from perpdex_sdk.funds import MICRO, token_account
from perpdex_sdk.rpc import Rpc

LEFT, NOT_LEFT, UNKNOWN = 0, 1, 2
LOOK_EVERY_S: Final = 1.0
NAP_S: Final = 60.0
"""Longest wait between two looks: the chain's clock is not this machine's."""
NOT_READY: Final = f"{6045:#x}"
"""The program's `WithdrawalNotReady`, as a cluster tells it."""
OWING: Final = f"{6056:#x}"
"""Its `LossOutstanding`."""


class Left(msgspec.Struct, frozen=True):
    """`paid` micro-USDC came to the owner's token account `target`, by the transaction `signature`."""

    paid: int
    target: str
    signature: str


async def ask(kit: ExitKit, keypair: Keypair, rpc_url: str, micro_usdc: int | None = None) -> OnChain:
    """Ask for up to `micro_usdc`, or everything, where nothing is asked for yet; what the chain says then.

    Raises `ExitFailed`, also when another amount is asked for already, `NotProven` when the slot is not the owner's,
    `OutcomeUnknown` (the next call goes on with what became of it), `Unreachable`, `ChainRefused`.
    """
    _must_own(kit, keypair)
    amount = own_slot.EVERYTHING if micro_usdc is None else micro_usdc
    before = await exit_kit.on_chain(kit, rpc_url)
    if before.exit_at:
        if before.pending != amount:
            raise ExitFailed(
                f"{_amount(before.pending)} is asked for already, to be claimed at {_utc(before.exit_at)}: claim that (--amount), or "
                "take the request back first (--take-back), which begins the delay anew"
            )
        return before
    if not before.balance:
        raise ExitFailed("the slot is empty: there is nothing to leave with")
    await _send(
        keypair, rpc_url, own_slot.request_withdrawal(kit.escrow, kit.place, keypair.pubkey(), amount)
    )
    while not (now := await exit_kit.on_chain(kit, rpc_url)).exit_at:
        await asyncio.sleep(LOOK_EVERY_S)
    return now


async def take_back(kit: ExitKit, keypair: Keypair, rpc_url: str) -> None:
    """Take back what was asked for. Raises what `ask` raises."""
    _must_own(kit, keypair)
    build = own_slot.cancel_withdrawal_request(kit.escrow, kit.place, keypair.pubkey())
    await _send(keypair, rpc_url, build)
    while (await exit_kit.on_chain(kit, rpc_url)).exit_at:
        await asyncio.sleep(LOOK_EVERY_S)


async def claim(kit: ExitKit, keypair: Keypair, rpc_url: str) -> Left:
    """Take what was asked for, to the owner's token account, which is made when it is not there.

    Raises what `ask` raises; `ExitFailed` as long as the delay is not over.
    """
    _must_own(kit, keypair)
    owner = keypair.pubkey()
    target = token_account(owner, Pubkey.from_string(kit.escrow.mint))
    rpc = Rpc(rpc_url)
    try:
        signature = await own_slot.send(
            rpc,
            keypair,
            own_slot.create_token_account(kit.escrow, owner),
            own_slot.claim_withdrawal(kit.escrow, kit.place, owner),
        )
        return Left(await _paid(rpc, signature, str(target)), str(target), signature)
    finally:
        await rpc.close()


async def leave(
    kit: ExitKit,
    keypair: Keypair,
    rpc_url: str,
    micro_usdc: int | None = None,
    told: Callable[[str], None] = lambda sentence: None,
) -> Left:
    """Ask, wait until the delay is over, and claim; `told` hears how far it is. Raises what `ask` and `claim` raise.

    What losses settlement still brings before then are paid out of the slot. One that the owner's loss limit holds up
    delays the claim, for the escrow's hold at most.
    """
    asked = await ask(kit, keypair, rpc_url, micro_usdc)
    told(
        f"{asked.balance} micro-USDC in the slot; what was asked for can be claimed at {_utc(asked.exit_at)}"
    )
    while True:
        await asyncio.sleep(min(max(asked.exit_at - time.time(), 0.0), NAP_S))
        if time.time() < asked.exit_at:
            continue
        try:
            return await claim(kit, keypair, rpc_url)
        except ExitFailed as failed:
            if OWING in str(failed):
                told(
                    "settlement has still to take a loss that the loss limit holds up: raise the limit to pay it and leave, or wait, "
                    "two days at most unless the escrow was set up otherwise. Whoever has won it back since owes nothing that a "
                    "raised limit would pay: only that wait ends it, or a trade once the request is taken back"
                )
                await asyncio.sleep(NAP_S)
            elif NOT_READY not in str(failed):
                raise
        except (Unreachable, OutcomeUnknown) as error:
            told(f"the node does not tell: {error}")
            if not (await _patient(kit, rpc_url)).exit_at:
                raise
        await asyncio.sleep(LOOK_EVERY_S)


async def _patient(kit: ExitKit, rpc_url: str) -> OnChain:
    """What the chain says, as soon as the node answers."""
    while True:
        try:
            return await exit_kit.on_chain(kit, rpc_url)
        except Unreachable:
            await asyncio.sleep(LOOK_EVERY_S)


def _must_own(kit: ExitKit, keypair: Keypair) -> None:
    if str(keypair.pubkey()) != kit.owner:
        raise NotProven(f"the kit is of {kit.owner}, the key is of {keypair.pubkey()}")


async def _send(keypair: Keypair, rpc_url: str, instruction: Instruction) -> None:
    rpc = Rpc(rpc_url)
    try:
        await own_slot.send(rpc, keypair, instruction)
    finally:
        await rpc.close()


async def _paid(rpc: Rpc, signature: str, target: str) -> int:
    """What a confirmed claim brought to the token account, by the transaction's own balances."""
    wanted = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    while (found := await rpc.call("getTransaction", signature, wanted)) is None:
        await asyncio.sleep(LOOK_EVERY_S)
    place = found["transaction"]["message"]["accountKeys"].index(target)
    before, after = (
        next((int(one["uiTokenAmount"]["amount"]) for one in side or () if one["accountIndex"] == place), 0)
        for side in (found["meta"]["preTokenBalances"], found["meta"]["postTokenBalances"])
    )
    return after - before


def _amount(pending: int) -> str:
    return "everything" if pending == own_slot.EVERYTHING else f"{Decimal(pending) / MICRO} USDC"


def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(second))


def _keypair(path: Path) -> Keypair:
    """A key as Solana's tools keep it: 64 numbers in JSON. Raises `OSError`, `ValueError`."""
    return Keypair.from_bytes(bytes(json.loads(path.read_text())))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: paid; 1: not paid, and it will not be like this; 2: the node did not answer, so run it again."""
    parser = argparse.ArgumentParser(
        prog="python -m perpdex_sdk.leave", description="Leave the exchange with an exit kit alone."
    )
    parser.add_argument("--kit", type=Path, required=True, help="the exit kit, as the SDK keeps it")
    parser.add_argument(
        "--keypair", type=Path, required=True, help="the owner's key, as Solana's tools keep it"
    )
    parser.add_argument("--rpc", required=True, help="URL of a Solana node")
    parser.add_argument("--amount", help="USDC to take out; default: everything")
    parser.add_argument(
        "--take-back", action="store_true", help="take back what was asked for, and nothing else"
    )
    given = parser.parse_args(arguments)
    try:
        micro_usdc = _micro(given.amount)
        kit, keypair = exit_kit.load(given.kit), _keypair(given.keypair)
        if given.take_back:
            asyncio.run(take_back(kit, keypair, given.rpc))
            print("taken back: nothing is asked for")
            return LEFT
        left = asyncio.run(leave(kit, keypair, given.rpc, micro_usdc, told=print))
    except (ExitFailed, NotProven, OSError, ValueError) as error:
        print(f"not left: {error}", file=sys.stderr)
        return NOT_LEFT
    except (Unreachable, ChainRefused, OutcomeUnknown) as error:
        print(f"not known: {error}; run it again", file=sys.stderr)
        return UNKNOWN
    print(f"{Decimal(left.paid) / MICRO} USDC paid to {left.target} by {left.signature}")
    return LEFT


def _micro(usdc: str | None) -> int | None:
    if usdc is None:
        return None
    try:
        amount = Decimal(usdc) * MICRO
    except InvalidOperation:
        raise ValueError(f"{usdc} is no amount") from None
    if not amount.is_finite() or amount != int(amount) or amount <= 0:
        raise ValueError(f"{usdc} is not a positive multiple of 0.000001 USDC")
    return int(amount)


if __name__ == "__main__":
    sys.exit(main())
