"""`perpdex escrow close-page` as a person runs it: each precondition, and then the rent is back."""

import asyncio
import functools
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from activities.engine_door import DOOR
from chain.cluster import ClusterView
from chain.layout import PAGE_BYTES
from chain.rpc import FINALIZED
from chain.send import Refused
from owner_transactions import OwnerTransactions

ACCOUNT = 16
PRESENT = 19_387_520
ALL = (
    "seq",
    "balances_total",
    "deposits",
    "withdrawals",
    "reserved",
    "vault_expected",
    "claimed",
    "exits",
    "loss_limits",
)


async def test_the_last_page_is_closed_once_everybody_has_done_with_it(
    hasty: Any, hasty_admin: Keypair, command: Any, door_server: Any, tmp_path: Path
) -> None:
    key = tmp_path / "operator.json"
    key.touch(mode=0o600)
    key.write_text(hasty_admin.to_json())
    settings = {
        "ESCROW_ADMIN": str(hasty.operator.pubkey),
        "OPERATOR_KEY": f"file:{key}",
        "API_URL": door_server.url,
        "OPERATOR_TOKEN": "t" * 32,
    }
    close = functools.partial(command, "escrow", "close-page", **settings)
    books, escrow, node = door_server._books(""), hasty.escrow, hasty.node

    def engine(held: str, done_with: list[int], astray: int = 0) -> None:
        door_server.answers[f"{DOOR}/state"] = {
            **dict.fromkeys((*ALL, "astray", "exit_delay"), 0),
            "conserved": True,
            "positions_zero_sum": True,
            "settlement_held": held,
        }
        door_server.answers[f"{DOOR}/settlement/accounts"] = {
            **books,
            "done_with": done_with,
            "claimed_astray": astray,
        }

    async def refused(why: str) -> None:
        code, said = await close()
        assert (code, why in said) == (1, True), said

    engine("", [])
    await refused("settlement goes on")
    engine("closing a page", [])
    await refused("page 0 has the treasury")
    await hasty.land(escrow.build_create_page(hasty.operator, 1), FINALIZED)
    owner = await hasty.agent(ACCOUNT, 0, page=1)
    await hasty.land(OwnerTransactions(escrow).build_close_account(owner, 1, 0), FINALIZED)
    await refused("account 16 has a place in page 1")
    other = await hasty.agent(17, 100)
    await hasty.land(escrow.build_deposit(other, 0, 2, 100))
    await hasty.land(escrow.build_open_batch(hasty.operator, 1, bytes(32), 1), FINALIZED)
    await refused("batch 1 is open")
    await hasty.land(escrow.build_settle_page(hasty.operator, 1, 0, [(0, 7), (2, -7)]))
    await hasty.land(escrow.build_seal_batch(hasty.operator, 1), FINALIZED)
    await refused("has not done with account 16")
    engine("closing a page", [ACCOUNT], astray=3)
    await refused("the node shows less than the engine has booked")
    # Of the rest of what was claimed nobody has been told yet.
    await hasty.land(OwnerTransactions(escrow).build_request_withdrawal(other, 0, 2, 5))
    while isinstance(
        await hasty.fate(OwnerTransactions(escrow).build_claim_withdrawal(other, 0, 2), FINALIZED), Refused
    ):
        await asyncio.sleep(0.1)
    await refused("all that owners claimed: 2 micro-USDC are missing")

    # It is a stray's: known, and nobody's here.
    engine("closing a page", [ACCOUNT], astray=5)
    # Somebody paid more than a page costs now, as for one of dearer days.
    node.call("requestAirdrop", str(escrow.addresses.page(1)), PRESENT)
    whole = await ClusterView(escrow.client).rent(PAGE_BYTES) + PRESENT

    def there() -> int:
        page = str(escrow.addresses.page(1))
        return int(node.call("getBalance", page, {"commitment": "finalized"})["value"])

    while there() < whole:
        await asyncio.sleep(0.05)
    before = node.call("getBalance", str(hasty.operator.pubkey), {"commitment": "finalized"})["value"]
    code, said = await close()
    assert (code, f"page 1 is closed: {whole} lamports" in said) == (0, True), said
    after = node.call("getBalance", str(hasty.operator.pubkey), {"commitment": "finalized"})["value"]
    assert after - before == whole - 5_000
    assert (await escrow.view.escrow_state(FINALIZED)).pages == 1
