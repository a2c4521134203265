"""Bounding what settlement may take from an agent's slot, whoever has the operator's key."""

import asyncio
from typing import Final

from solders.keypair import Keypair

from perpdex_sdk import exit_kit, own_slot
from perpdex_sdk.errors import NotProven
from perpdex_sdk.exit_kit import ExitKit
from perpdex_sdk.rpc import Rpc

LOOKS: Final = 150
PAUSE_S: Final = 0.2


async def bound_losses(
    kit: ExitKit, keypair: Keypair, limit_usdc: int | None, rpc_url: str, price: int = 0
) -> None:
    """Let settlement take at most `limit_usdc` whole USDC within a window, or anything; sends nothing where that stands already.

    A lower limit takes effect after the escrow's delay. The owner pays the fee, and `price` micro-lamports per compute unit.
    Raises `ExitFailed`, `OutcomeUnknown`, `Unreachable`, `ChainRefused`, and `NotProven` when the slot is not the owner's, finally,
    within half a minute.
    """
    wanted = own_slot.UNLIMITED if limit_usdc is None else limit_usdc
    if await _standing(kit, rpc_url) == wanted:
        return
    rpc = Rpc(rpc_url)
    try:
        build = own_slot.set_loss_limit(kit.escrow, kit.place, keypair.pubkey(), limit_usdc)
        await own_slot.send(rpc, keypair, build, price=price)
    finally:
        await rpc.close()


async def _standing(kit: ExitKit, rpc_url: str) -> int:
    """The limit that was set last. A slot that was opened moments ago is not final yet."""
    for _ in range(LOOKS):
        try:
            return (await exit_kit.on_chain(kit, rpc_url)).loss_limit
        except NotProven:
            await asyncio.sleep(PAUSE_S)
    return (await exit_kit.on_chain(kit, rpc_url)).loss_limit
