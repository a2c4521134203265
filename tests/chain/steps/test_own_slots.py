"""The slots of treasury and insurance fund by the commands that people run; the engine hears of what is asked."""

import asyncio
import functools
from pathlib import Path
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient

from activities.engine_door import DOOR, EngineDoor
from activities.exits import ExitActivities
from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.limits import Limits
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from core.accounts import INSURANCE
from core.quantities import MONEY_MAX

LIMITS = Limits(
    hour_floor=1_000,
    day_floor=3_000,
    hour_share=10_000,
    day_share=100_000,
    exit_delay=2,
    timelock=4,
    loss_window=60,
    limit_delay=2,
)
USDC = 1_000_000


class Owned:
    """An escrow whose insurance fund's key lies in its usual `place`; `own` runs `perpdex escrow own`."""

    def __init__(self, node: Any, escrow: EscrowClient, fund: KeypairSigner, place: str, run: Any) -> None:
        self.node, self.escrow, self.fund, self.place, self._run = node, escrow, fund, place, run

    async def own(self, *arguments: str) -> tuple[int, str]:
        code, said = await self._run("escrow", "own", *arguments)
        return code, " ".join(said.split())

    async def holds(self) -> int:
        page = await self.escrow.view.page(0, FINALIZED)
        assert page is not None
        return page.slots[1].balance


@pytest.fixture
async def owned(node: Any, client: AsyncClient, command: Any, tmp_path: Path) -> Owned:
    admin = node.funded()
    file = tmp_path / "data" / "keys" / "insurance.json"
    fund = KeypairSigner.load_or_create(file)
    escrow = EscrowClient(client, PROGRAM_ID, admin.pubkey, USDC_MINT)
    owners = {"treasury": admin.pubkey, "insurance": fund.pubkey}
    key = admin.pubkey
    build = escrow.build_initialize(admin, operator=key, guardian=key, **owners, limits=LIMITS)
    assert isinstance(await send_until(client, await build, FINALIZED, poll_s=0.01), Landed)
    return Owned(node, escrow, fund, f"file:{file}", functools.partial(command, ESCROW_ADMIN=str(key)))


async def test_the_fund_pays_in_asks_takes_back_and_claims(
    owned: Owned, ledger: Any, door_server: Any
) -> None:
    fund, node = owned.fund, owned.node
    slot = ("--slot", "insurance")
    code, said = await owned.own("deposit", *slot, "--amount", "500")
    assert (code, "has no SOL for the fee" in said) == (1, True), said
    node.call("requestAirdrop", str(fund.pubkey), 10**9)
    async with asyncio.timeout(20):
        while not await ClusterView(owned.escrow.client).lamports(fund.pubkey):
            await asyncio.sleep(0.02)
    code, said = await owned.own("deposit", *slot, "--amount", "500")
    assert (code, "has 0.000000 USDC: send it USDC" in said) == (1, True), said
    node.call("perpdexMintTestUsdc", str(fund.pubkey), 500 * USDC)
    await _final(owned, 500 * USDC)
    assert (await owned.own("ask", *slot))[1].endswith("the slot is empty")
    code, said = await owned.own("deposit", *slot, "--amount", "499.5")
    assert (code, "499.500000 USDC are in the insurance slot" in said) == (0, True), said
    assert await owned.holds() == 499_500_000
    for wrong in ("0", "-1", "0.0000001", "much"):
        assert (await owned.own("deposit", *slot, f"--amount={wrong}"))[0] in (1, 2)
    code, said = await owned.own("cancel", *slot)
    assert (code, "nothing is asked for" in said) == (1, True), said
    code, said = await owned.own("ask", "--slot", "treasury", "--key", owned.place)
    assert (code, "the owner of the treasury slot is" in said) == (1, True), said

    code, said = await owned.own("ask", *slot)
    assert (code, "everything can be claimed from" in said) == (0, True), said
    assert "escrow own claim --slot insurance" in said
    assert (await owned.own("ask", *slot, "--amount", "5"))[0] == 1
    # Whoever asks, the engine hears of it at the next look, although its books have no owner for the slot.
    door_server.accounts = [[INSURANCE, "", 0, 1, 0, 0, 0, 0]]
    numbers = ("seq", "balances_total", "deposits", "withdrawals", "reserved", "vault_expected", "claimed")
    state = dict.fromkeys((*numbers, "exits", "loss_limits", "astray"), 0)
    state |= {"exit_delay": 2, "limit_delay": 2}
    door_server.answers[f"{DOOR}/state"] = {
        **state,
        "conserved": True,
        "positions_zero_sum": True,
        "settlement_held": "",
    }
    door_server.answers[f"{DOOR}/settlement/exits"] = []
    door = EngineDoor(door_server.url, "token")
    try:
        await ExitActivities(door, owned.escrow, ledger).look()
    finally:
        await door.close()
    (told,) = door_server.commands
    assert (told["type"], told["account"], told["amount"]) == ("RequestExit", INSURANCE, MONEY_MAX)

    code, said = await owned.own("cancel", *slot)
    assert (code, "everything is not asked for any more" in said) == (0, True), said
    assert (await owned.own("claim", *slot))[0] == 1
    code, said = await owned.own("ask", *slot, "--amount", "99.5")
    assert (code, "up to 99.500000 USDC can be claimed from" in said) == (0, True), said
    async with asyncio.timeout(20):
        while (claimed := await owned.own("claim", *slot))[0]:
            assert "run this again then" in claimed[1]
            await asyncio.sleep(0.2)
    wallet = owned.escrow.wallet_of(fund.pubkey)
    assert claimed == (0, f"it is paid to {wallet}; 400.000000 USDC are left in the insurance slot")
    assert await owned.escrow.view.tokens([wallet]) == [100 * USDC]
    assert await owned.holds() == 400 * USDC


async def _final(owned: Owned, micro_usdc: int) -> None:
    """Wait until the key's tokens are finalized."""
    wallet = owned.escrow.wallet_of(owned.fund.pubkey)
    async with asyncio.timeout(20):
        while await owned.escrow.view.tokens([wallet]) != [micro_usdc]:
            await asyncio.sleep(0.02)
