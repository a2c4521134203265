"""What things cost in gas, on a real node, held against the table in the reference."""

import re
from pathlib import Path

import pytest

from chain.evm.abi import load
from chain.evm.batch import Leg
from chain.evm.router import Executed

pytestmark = pytest.mark.anvil
USD, OZ = 10**6, 10**8
TABLE = Path(__file__).parents[3] / "docs" / "reference" / "evm-contracts.md"


async def gas_of(anvil, *legs):
    fate = await anvil.router_client(confirmations=1).carry_out(anvil.batch(*legs), [], anvil.store)
    assert isinstance(fate, Executed)
    return (await anvil.node.receipt(fate.hash)).gas_used, fate.legs


def documented():
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|", TABLE.read_text(), re.M)
    return {name: int(gas.replace(",", "")) for name, gas in rows}


async def test_the_table_is_what_it_costs(anvil):
    """To within a thousandth: ids and addresses have other zero bytes, which are cheaper, each time."""
    found = {}
    for count in (1, 10, 50):
        anvil.vaults.clear()
        await anvil.open_vaults(count)
        each = range(count)
        for name, order in {
            "open a position": (OZ, 2_000 * USD, 0),
            "add to it": (OZ, 2_000 * USD, 0),
            "close half and take cash": (-OZ, 0, 10 * USD),
        }.items():
            gas, _ = await gas_of(anvil, *(anvil.leg(vault, *order) for vault in each))
            found[f"{count} vaults {name}" if count > 1 else f"one vault: {name}"] = gas
    found["10 legs that fail"], _ = await gas_of(anvil, *(anvil.leg(0, OZ, 1) for _ in range(10)))
    leave = await anvil.send(anvil.vaults[0], load("VaultAccount").call("exit", anvil.gold))
    found["an owner leaves without the router"] = int(leave["gasUsed"], 16)
    told = {name: gas for name, gas in documented().items() if name in found}
    assert told == pytest.approx(found, rel=1e-3), "\n".join(f"| {n} | {g:,} |" for n, g in found.items())


@pytest.mark.parametrize("count", [1, 7, 37])
async def test_what_the_client_gives_is_enough(anvil, kit, count):
    """Also when each leg but the last uses up all that it may, up to as many as a batch has at most."""
    hostile = kit.hostile("HostileAdapter")
    thief = await anvil.deploy(hostile, anvil.token)
    await anvil.send(thief, hostile.call("setPlan", ("0x" + "00" * 20, b"", 0, 0, 2, 0)))
    await anvil.send(
        anvil.router, load("Router").call("setAdapter", b"thief".ljust(32, b"\0"), thief, 400_000, 0)
    )
    burning = [Leg("thief", anvil.vaults[0], 0, b"\xff" * 96)] * (count - 1)
    gas, legs = await gas_of(anvil, *burning, anvil.leg(1, OZ, 2_000 * USD))
    assert gas > 400_000 * (count - 1)
    assert [type(leg).__name__ for leg in legs] == ["LegRefused"] * (count - 1) + ["LegDone"]
