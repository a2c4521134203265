"""`perpdex reconcile` and `perpdex settlement`: compare chain, engine and ledger, and decide whether batches are cut."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer
from sqlalchemy.exc import SQLAlchemyError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.engine_door import UNREACHABLE, EngineDoor
from activities.reconciliation import PENDING, REASONS, compare
from activities.schedules import RESUME_SIGNAL, SETTLEMENT_SCHEDULE, signal_settlement
from activities.sides import LedgerBehind, MovedOn, Reading, Sides
from chain.layout import LayoutMismatch
from chain.rpc import ChainUnavailable
from cli.accepting import accepting, found_withdrawal, must_have_left
from cli.door import Door, NotDone, token_of
from cli.tables import plain, print_table
from endings import NotReachable, sentence, told
from ledger.database import open_pool
from ledger.queries import Queries
from matcher import commands as c
from places import database_url
from settings import Settings
from wiring import engine_door, escrow_client, temporal_client

settlement = typer.Typer(no_args_is_help=True, help="Hold settlement back, or let it go on.")
READS: Final = 5
BETWEEN_READS_S: Final = 2.0
TRIES: Final = 20
DIFFERENT, INCOMPLETE, NOTHING = 1, 3, 2
UNREADABLE: Final = (ChainUnavailable, LayoutMismatch, LedgerBehind, NotReachable, SQLAlchemyError, OSError)
Why = Annotated[str, typer.Option(help="the reason, for the audit trail")]
As = Annotated[str, typer.Option("--as", help="whose credential: keys/operators/NAME.token")]


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to. `why` is a code of `activities.reconciliation.REASONS`, and so is `pending`, for what was not booked
    in all that time; `missing` says what was not compared."""

    why: str
    reading: Reading
    missing: tuple[str, ...]
    pending: str

    @property
    def code(self) -> int:
        if self.why:
            return DIFFERENT
        return INCOMPLETE if self.missing else 0


def reconcile(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table")] = False,
) -> None:
    """Compare chain, engine and ledger now, account by account; with the exchange down, chain and ledger.

    Exit code 0: all agree; 1: they differ; 3: what could be compared agrees; 2: nothing could be compared.
    """
    outcome = _compared()
    print(json.dumps(_told(outcome), indent=2)) if as_json else _table(outcome)
    if outcome.code:
        raise typer.Exit(outcome.code)


@settlement.command()
def hold(why: Why, name: As = "operator") -> None:
    """Cut no further batch. What is cut is finished; trading goes on."""
    _command(c.HoldSettlement(True, why=why), name)
    print("settlement is held")


@settlement.command()
def resume(
    why: Why,
    name: As = "operator",
    force: Annotated[bool, typer.Option(help="although the sides differ: say in the reason why")] = False,
) -> None:
    """Compare again, and when all agree cut batches again. Repeating it changes nothing."""
    outcome = _compared()
    if outcome.code and not force:
        _table(outcome)
        print("settlement stays held: they do not all agree", file=sys.stderr)
        raise typer.Exit(1)
    _command(c.HoldSettlement(False, why=why), name)
    with told():
        asyncio.run(_wake(Settings(), why))
    print("settlement goes on")


@settlement.command()
def accept(
    why: Why,
    withdrawn: Annotated[
        list[str] | None,
        typer.Option(
            help="ACCOUNT:MICRO_USDC:SIGNATURE of a co-signed withdrawal that was none of ours, repeated"
        ),
    ] = None,
    name: As = "operator",
) -> None:
    """Have the books take over what the chain holds, after a theft: what is owed stays owed, and the next batch asks for it again.

    Only while settlement is held, no batch is open on chain, and the last one is final.
    """
    outcome = _compared()
    _table(outcome)
    try:
        found = [found_withdrawal(one) for one in withdrawn or ()]
        asyncio.run(_must_have_left(outcome.reading, found))
        command = accepting(outcome.why, outcome.reading, found, why)
    except (NotDone, *UNREADABLE) as error:
        print(f"nothing was taken over: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    _command(command, name)
    print(
        f"taken over: {len(command.slots)} slots; {command.left_over} micro-USDC are left over for the next batch to give, and the "
        f"insurance fund bears {command.lost}. Compare again, then let settlement go on"
    )


async def _must_have_left(reading: Reading, found: list[c.ForeignWithdrawal]) -> None:
    if not found or reading.books is None:
        return
    escrow = await escrow_client(Settings())
    try:
        await must_have_left(escrow, reading.books.accounts, found)
    finally:
        await escrow.client.close()


async def _wake(settings: Settings, why: str) -> None:
    client = await temporal_client(settings)
    try:
        # Where it does not run it is started, for the journal's hold is lifted by now: a worker takes it up when there is one.
        await signal_settlement(client, settings.task_queue, RESUME_SIGNAL)
        await client.get_schedule_handle(SETTLEMENT_SCHEDULE).unpause(note=why)
    except RPCError as error:
        raise NotReachable(
            f"The settlement workflow was not told ({error.message}): run this again."
        ) from None


def _command(command: c.Command, name: str) -> None:
    settings = Settings()
    try:
        with Door(settings.api_url, token_of(settings, name)) as door:
            door.command(command)
    except NotDone as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _compared() -> Outcome:
    try:
        return asyncio.run(_compare(Settings()))
    except (*UNREADABLE, ApplicationError) as error:
        print(f"nothing could be compared: {sentence(error) or error}", file=sys.stderr)
        raise typer.Exit(NOTHING) from None


async def _compare(settings: Settings) -> Outcome:
    """Read until all agree, or the same accounts have differed in `READS` reads."""
    pool, door = open_pool(database_url(settings)), engine_door(settings)
    escrow = await escrow_client(settings)
    try:
        answering, missing = await _answers(door)
        sides = Sides(escrow.view, Queries(pool), answering)
        standing: set[int] | None = None
        for left in reversed(range(READS)):
            reading = await _read(sides)
            why = _why(reading)
            named = {one.account for one in reading.compared.differences}
            standing = named if standing is None else standing & named
            agrees = not why and not reading.compared.moving
            if agrees or (why == "accounts_differ" and not standing) or not left:
                break
            await asyncio.sleep(BETWEEN_READS_S)
        if any(one.settled is None for one in reading.ledger.accounts.values()):
            missing += ("ledger: it lost the batches before, so it does not say what the chain holds",)
        return Outcome(*(("", reading, missing, why) if why in PENDING else (why, reading, missing, "")))
    finally:
        await door.close()
        await escrow.client.close()
        await pool.dispose()


async def _answers(door: EngineDoor) -> tuple[EngineDoor | None, tuple[str, ...]]:
    try:
        await door.state()
    except ApplicationError as error:
        reason = "it does not answer" if error.type == UNREACHABLE else error.message
        return None, (f"engine: {reason}",)
    return door, ()


async def _read(sides: Sides) -> Reading:
    for _ in range(TRIES):
        try:
            return await sides.read()
        except MovedOn:
            await asyncio.sleep(0.1)
    raise LedgerBehind("the chain has a batch that the ledger does not know")


def _why(reading: Reading) -> str:
    """The first reason of the totals, then that of the accounts."""
    why = (
        compare(reading.batch, reading.chain, reading.engine).why
        if reading.engine is not None
        else _own(reading)
    )
    return "accounts_differ" if why in ("", *PENDING) and reading.compared.differences else why


def _own(reading: Reading) -> str:
    """What the chain's own totals say, without an engine to hold against them."""
    chain = reading.chain
    held = chain.pages_total + chain.clearing
    if held != chain.deposits - chain.withdrawals:
        return "pages_differ"
    return "vault_short" if chain.vault < held else ""


def _told(outcome: Outcome) -> dict[str, Any]:
    reading = outcome.reading
    engine = reading.engine
    return {
        "agrees": not outcome.why,
        "why": outcome.why,
        "sentence": _sentence(outcome),
        "slot": reading.slot,
        "seq": reading.seq,
        "batch": reading.batch,
        "chain": reading.chain._asdict(),
        "engine": None
        if engine is None
        else {"deposits": engine.deposits, "withdrawals": engine.withdrawals, "reserved": engine.reserved},
        "settlement_held": engine.settlement_held if engine is not None else None,
        "accounts": reading.compared.accounts,
        "differences": [asdict(one) for one in reading.compared.differences],
        "on_its_way": [asdict(one) for one in reading.compared.on_its_way],
        "waiting": reading.waiting._asdict(),
        "foreign_batches": list(reading.foreign_batches),
        "not_compared": list(outcome.missing),
        "pending": REASONS[outcome.pending] if outcome.pending else None,
    }


def _sentence(outcome: Outcome) -> str:
    """What they say, and what has come in or was claimed and stands in no book yet."""
    waiting = outcome.reading.waiting
    unbooked = [
        f"{count} {what} ({amount} micro-USDC)"
        for count, what, amount in (
            (waiting.deposits, "deposits", waiting.deposited),
            (waiting.claims, "claims", waiting.claimed),
        )
        if count
    ]
    said = REASONS[outcome.why]
    return f"{said}; final on chain and not booked yet: {', '.join(unbooked)}" if unbooked else said


def _table(outcome: Outcome) -> None:
    told = _told(outcome)
    print(
        f"{told['sentence']}: {told['accounts']} accounts at slot {told['slot']}, record {told['seq']}, batch {told['batch']}"
    )
    totals: list[list[object]] = [["chain", *told["chain"].values()]]
    if told["engine"] is not None:
        engine = told["engine"]
        moved = (engine["deposits"], f"{engine['withdrawals']} (reserved {engine['reserved']})")
        totals.append(["engine", "", "", "", *moved])
    print_table(["micro-USDC", *told["chain"]], totals)
    if told["differences"]:
        _listed(["why", "account", "owner", "page", "slot", "chain", "engine", "ledger"], told["differences"])
    if told["on_its_way"]:
        print("on its way, and therefore no difference:")
        _listed(["account", "deposits", "withdrawals", "unlanded", "claims", "unapplied"], told["on_its_way"])
    if told["foreign_batches"]:
        print(f"sealed on chain and none of ours: batches {told['foreign_batches']}")
    if told["pending"]:
        print(f"to wait for, or to look into when it stays: {told['pending']}")
    for line in told["not_compared"]:
        print(f"not compared: {line}")
    if told["settlement_held"]:
        print(f"settlement is held: {plain(told['settlement_held'])}")


def _listed(columns: list[str], rows: list[dict[str, Any]]) -> None:
    print_table(columns, [["-" if row[name] is None else row[name] for name in columns] for row in rows])
