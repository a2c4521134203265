"""The comparison of chain, engine and ledger on a running network: silent whatever moves, and by hand with the exchange down."""

import asyncio
import json
import sys
from typing import Any

import pytest
from solders.keypair import Keypair
from temporalio.exceptions import ApplicationError

from activities.schedules import DEPOSITS_ID
from activities.sides import MovedOn, Sides
from chain.keys import KeypairSigner
from core.batches import BatchStatus
from matcher.commands import FinishWithdrawal, RegisterAgent, ReserveWithdrawal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
USDC = 1_000_000
READINGS = 60


async def perpdex(network: Any, *arguments: str) -> tuple[int, str, str]:
    """The command as a person runs it: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli.main", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=network.worker._environment | network.settings,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, out.decode(), errors.decode()


async def depositor(network: Any, until: Any) -> tuple[KeypairSigner, int, Any]:
    """An owner with tokens, its account, and its slot, which the worker opened."""
    owner = KeypairSigner(Keypair())
    registered = await network.door.command(RegisterAgent(str(owner.pubkey), "saver"))
    account = registered.event("AgentRegistered")["account"]
    await network.give(owner.pubkey, 1_000 * USDC)

    async def placed() -> bool:
        return await network.escrow.view.slot_of(account) is not None

    await until(placed)
    return owner, account, await network.escrow.view.slot_of(account)


async def test_no_single_reading_sees_a_difference_while_money_moves(network, until):
    """Agents trade, a batch lands every second, deposits arrive, withdrawals are reserved and given back: all of it is explained."""
    owner, account, place = await depositor(network, until)
    done, moved = asyncio.Event(), 0

    async def move() -> None:
        nonlocal moved
        while not done.is_set():
            await network.land(
                network.escrow.build_deposit(owner, place.page, place.slot.index, USDC + moved)
            )
            moved += 1
            try:
                found = await network.door.command(ReserveWithdrawal(account, USDC // 2, f"w{moved}"))
            except ApplicationError as refused:
                # The first deposit is not credited yet.
                if refused.type != "withdrawal_too_large":
                    raise
                continue
            number = found.event("WithdrawalReserved")["withdrawal"]
            await asyncio.sleep(0.02)
            await network.door.command(FinishWithdrawal(number, False, ""))

    moving = asyncio.create_task(move())
    first, _ = await network.newest()

    async def credited() -> bool:
        books = await network.door.books()
        return any(one.account == account and one.balance for one in books.accounts)

    try:
        await until(credited)
        sides, seen, readings, on_its_way, unlanded = (
            Sides(network.escrow.view, network.queries, network.door),
            0,
            0,
            0,
            0,
        )
        while seen < READINGS:
            readings += 1
            try:
                reading = await sides.read()
            except MovedOn:
                continue
            seen += 1
            assert reading.compared.differences == []
            assert reading.compared.accounts >= 9
            on_its_way += bool(reading.compared.on_its_way)
            unlanded += any(one.unlanded for one in reading.compared.on_its_way)
            await asyncio.sleep(0.05)
    finally:
        done.set()
        await moving
    newest, _ = await network.newest()
    print(
        f"{seen} readings of {readings}, {on_its_way} with money on its way, {unlanded} with a batch half landed;"
        f" {moved} deposits and reservations, batches {first} to {newest}"
    )
    assert min(moved, newest - first, on_its_way) > 0
    assert not (await network.state()).halted


async def test_an_operator_holds_settlement_and_only_an_operator_lets_it_go_on(network, until):
    code, out, errors = await perpdex(network, "settlement", "hold", "--why", "a look at the books")
    assert (code, out) == (0, "settlement is held\n"), errors

    async def halted() -> bool:
        state = await network.state()
        assert state.halted in ("", "a look at the books")
        return bool(state.halted)

    await until(halted)
    newest, _ = await network.newest()
    await network.settlement().signal("resume")
    await asyncio.sleep(2)
    await until(halted)
    assert (await network.newest())[0] == newest
    code, out, errors = await perpdex(network, "settlement", "resume", "--why", "all is well")
    assert (code, out) == (0, "settlement goes on\n"), errors
    await network.settled()
    actions = await network.queries.operator_actions(0, 2)
    assert [(one.action, one.who, one.why, one.details) for one in actions] == [
        ("settlement", "operator", "all is well", {"held": False}),
        ("settlement", "operator", "a look at the books", {"held": True}),
    ]


async def test_with_the_exchange_down_chain_and_ledger_are_compared(network, until):
    code, out, errors = await perpdex(network, "reconcile", "--json")
    assert code == 0, out + errors
    told = json.loads(out)
    assert (told["agrees"], told["not_compared"], told["differences"]) == (True, [], [])
    await network.quiet()
    network.api.kill()
    try:
        await _chain_and_ledger_alone(network)
    finally:
        # What fails here must not make the next tests fail.
        network.api.start()
        await network.serves()
        await network.loud()


async def _chain_and_ledger_alone(network: Any) -> None:
    assert (await network.newest())[1] == BatchStatus.FINAL
    code, out, errors = await perpdex(network, "reconcile", "--json")
    assert code == 3, out + errors
    told = json.loads(out)
    assert (told["agrees"], told["engine"], told["differences"]) == (True, None, [])
    assert told["not_compared"] == ["engine: it does not answer"]
    assert told["accounts"] >= 9
    code, out, errors = await perpdex(network, "reconcile")
    assert code == 3
    assert "not compared: engine: it does not answer" in out
    account = str(min(id for id in (await network.queries.books(None)).accounts if id >= 16))
    code, out, errors = await perpdex(network, "statement", account)
    assert code == 0, errors
    statement = json.loads(out)
    books = (await network.queries.books(None)).accounts[int(account)]
    assert statement["closing"] == f"{books.balance / USDC:.6f}"
    assert statement["settled"]["on_chain"] is not None


async def test_with_no_chain_nothing_can_be_compared(network, until):
    network.settings["SOLANA_RPC_URL"], kept = "http://127.0.0.1:9", network.settings["SOLANA_RPC_URL"]
    code, _, errors = await perpdex(network, "reconcile")
    network.settings["SOLANA_RPC_URL"] = kept
    assert code == 2
    assert errors.startswith("nothing could be compared: ")


async def test_what_came_in_and_is_not_booked_is_told_and_batches_go_on(network, until):
    owner, account, place = await depositor(network, until)

    async def bound() -> bool:
        return any(one.account == account for one in (await network.door.books()).accounts)

    await until(bound)
    await network.end_for_good(DEPOSITS_ID)
    paid = 0

    async def waiting() -> bool:
        nonlocal paid
        books = await network.door.books()
        if next(one.balance for one in books.accounts if one.account == account) == paid:
            # The watch under way goes on until it hears of its end: more comes until there is one that it does not book.
            await network.land(network.escrow.build_deposit(owner, place.page, place.slot.index, USDC))
            paid += USDC
        seen = (await network.state()).reconciliation
        return seen is not None and seen.pending == "deposits_pending"

    await network.settling(waiting)
    code, out, errors = await perpdex(network, "reconcile", "--json")
    assert code == 0, out + errors
    told = json.loads(out)
    assert (told["agrees"], told["pending"]) == (True, "finalized deposits are not credited yet")
    assert told["waiting"]["deposited"] == told["waiting"]["deposits"] * USDC > 0
    await network.settled()
