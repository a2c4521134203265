"""`perpdex escrow`: create the escrow on any cluster, look at it, check that everything belongs together, compute fees."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from solders.pubkey import Pubkey

from chain.budget import full_batch, rent
from chain.building import UNITS
from chain.escrow import EscrowClient
from chain.layout import ESCROW_BYTES, PAGE_BYTES, TOKEN_ACCOUNT_BYTES, LayoutMismatch
from chain.limits import DAY_S, DEFAULT_LIMITS, MICRO, Limits
from chain.rpc import FINALIZED, ChainUnavailable
from chain.send import Expired, Landed, send_until
from chain.signers.interface import Signer
from chain.signers.opening import open_signer
from chain.transactions import LAMPORTS_PER_SIGNATURE, Budget
from cli.cluster_checks import OPERATOR_LAMPORTS_MIN, Checks, Finding, Level
from cli.custody_tables import Rows, fee_rows, limits_rows, print_table, settings_rows, totals_rows
from endings import told
from settings import Settings
from wiring import escrow_client, operator_signer, rpc_url

escrow = typer.Typer(
    no_args_is_help=True, help="The escrow on chain: create, show, check, and what it costs."
)
WRONG, UNKNOWN = 1, 2
LAND_S: Final = 180.0
"""Longer than a blockhash lives: by then the transaction has landed or never will."""
_D: Final = DEFAULT_LIMITS
Key = Annotated[str, typer.Option(help="public key in base58")]
Share = Annotated[int, typer.Option(min=0, max=1_000_000, help="millionths of what is held, in that time")]
Usdc = Annotated[
    int, typer.Option(min=0, max=10**12, help="USDC that co-signed withdrawals may always take in that time")
]
Seconds = Annotated[int, typer.Option(min=1, max=90 * DAY_S, help="in seconds")]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is put on chain, but for the admin, who signs."""

    operator: Pubkey
    guardian: Pubkey
    treasury: Pubkey
    insurance: Pubkey
    limits: Limits


@escrow.command()
def check() -> None:
    """Look whether settings, node, program, mint, escrow and keys belong together: exit code 0, 1 when something is wrong, 2 when the
    node does not tell. Nothing is changed."""
    if _told(_run(_check(Settings()))):
        raise typer.Exit(WRONG)


@escrow.command()
def show() -> None:
    """Print keys, limits, totals and a pending proposal as they are finalized on chain."""
    _run(_show(Settings()))


@escrow.command()
def budget(
    accounts: Annotated[int, typer.Option(min=1, help="agents with a slot")],
    interval: Annotated[int, typer.Option(min=1, help="seconds between two batches")] = 10,
    price: Annotated[int, typer.Option(min=0, help="micro-lamports per compute unit, as PRIORITY_FEE")] = 0,
) -> None:
    """Compute what the operator pays, from the transactions this release builds. Asks no node."""
    batch = full_batch(accounts, price)
    print_table(["what the operator pays", "lamports", "SOL"], fee_rows(batch, interval, price))


@escrow.command()
def initialize(
    operator: Key,
    guardian: Key,
    treasury: Key,
    insurance: Key,
    hour_floor: Usdc,
    day_floor: Usdc,
    hour_share: Share = _D.hour_share,
    day_share: Share = _D.day_share,
    exit_delay: Seconds = _D.exit_delay,
    timelock: Seconds = _D.timelock,
    loss_window: Seconds = _D.loss_window,
    limit_delay: Seconds = _D.limit_delay,
    admin: Annotated[
        str, typer.Option(help="where the key is that signs and gives the address: file:, awskms:, vault:")
    ] = "",
    price: Annotated[int, typer.Option(min=0, help="micro-lamports per compute unit")] = 0,
    yes: Annotated[
        bool, typer.Option("--yes", help="send it; without this, only say what would be sent")
    ] = False,
) -> None:
    """Create escrow, vault and first page. Floors have no default: one above the vault bounds nothing."""
    limits = Limits(
        hour_floor * MICRO,
        day_floor * MICRO,
        hour_share,
        day_share,
        exit_delay,
        timelock,
        loss_window,
        limit_delay,
    )
    plan = Plan(
        _key("operator", operator),
        _key("guardian", guardian),
        _key("treasury", treasury),
        _key("insurance", insurance),
        limits,
    )
    if plan.guardian == plan.operator:
        raise typer.BadParameter("the guardian must be another key than the operator: it stops a stolen one")
    _run(_initialize(Settings(), plan, admin, price, yes))


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result; what could not be asked or read is a sentence and an exit code."""
    with told():
        try:
            return asyncio.run(work)
        except ChainUnavailable as error:
            print(f"The chain at {rpc_url(Settings())} does not tell: {error}", file=sys.stderr)
            raise typer.Exit(UNKNOWN) from None
        except LayoutMismatch as error:
            print(f"What lies at the escrow's address cannot be read: {error}", file=sys.stderr)
            raise typer.Exit(WRONG) from None


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[EscrowClient]:
    try:
        client = await escrow_client(settings)
    except ValueError as error:
        print(
            f"ESCROW_ADMIN, ESCROW_PROGRAM and ESCROW_MINT are public keys in base58: {error}",
            file=sys.stderr,
        )
        raise typer.Exit(WRONG) from None
    try:
        yield client
    finally:
        await client.client.close()


@asynccontextmanager
async def _signer(settings: Settings, place: str) -> AsyncIterator[Signer]:
    """The key at `place`, or the operator's. None is made: a key that nobody knows must not become an escrow's."""
    if place:
        async with open_signer(place) as signer:
            yield signer
        return
    if not settings.operator_key and not (settings.perpdex_data / "keys" / "operator.json").exists():
        print("there is no operator's key here: set OPERATOR_KEY, or PERPDEX_DATA", file=sys.stderr)
        raise typer.Exit(WRONG)
    async with operator_signer(settings) as signer:
        yield signer


async def _check(settings: Settings) -> list[Finding]:
    async with _signer(settings, "") as operator, _client(settings) as client:
        checks = Checks(settings, client)
        found = await checks.ground()
        found += await checks.escrow(operator.pubkey)
        return [*found, await checks.funds(operator.pubkey, OPERATOR_LAMPORTS_MIN, "the operator")]


async def _initialize(settings: Settings, plan: Plan, place: str, price: int, yes: bool) -> None:
    async with _signer(settings, place) as admin:
        key = str(admin.pubkey)
        if settings.escrow_admin not in ("", key):
            raise typer.BadParameter(f"ESCROW_ADMIN is {settings.escrow_admin}, and {key} signs")
        named = settings.model_copy(update={"escrow_admin": key})
        async with _client(named) as client:
            checks = Checks(named, client)
            rents = [rent(size) for size in (ESCROW_BYTES, TOKEN_ACCOUNT_BYTES, PAGE_BYTES)]
            needed = sum(rents) + LAMPORTS_PER_SIGNATURE + Budget(UNITS["initialize"], price).lamports
            found = [*await checks.ground(), await checks.funds(admin.pubkey, needed, "the admin")]
            if _told(found):
                raise typer.Exit(WRONG)
            if await client.view.escrow_state() is not None:
                print(
                    f"there is an escrow at {client.addresses.escrow} already: look at `perpdex escrow show`"
                )
                raise typer.Exit(WRONG)
            _print_plan(client, plan, key)
            if not yes:
                print("nothing was sent: repeat with --yes")
                return
            await _create(client, admin, plan, price)
        print(f"created; set on every machine: ESCROW_ADMIN={key}")


async def _create(client: EscrowClient, admin: Signer, plan: Plan, price: int) -> None:
    signed = await client.build_initialize(
        admin,
        operator=plan.operator,
        guardian=plan.guardian,
        treasury=plan.treasury,
        insurance=plan.insurance,
        limits=plan.limits,
        price=price,
    )
    try:
        async with asyncio.timeout(LAND_S):
            fate = await send_until(client.client, signed, FINALIZED)
    except TimeoutError:
        print(f"not decided after {LAND_S:.0f} s: ask for {signed.signature}", file=sys.stderr)
        raise typer.Exit(UNKNOWN) from None
    if isinstance(fate, Landed):
        return
    why = "it expired: run this again" if isinstance(fate, Expired) else fate.code
    print(f"the chain did not create the escrow: {why}", file=sys.stderr)
    raise typer.Exit(WRONG)


async def _show(settings: Settings) -> None:
    async with _client(settings) as client:
        state = await client.view.escrow_state(FINALIZED)
        if state is None:
            print(f"there is no escrow at {client.addresses.escrow}", file=sys.stderr)
            raise typer.Exit(WRONG)
        at = client.addresses
        rows: Rows = [
            ("escrow", at.escrow),
            ("program", at.program_id),
            ("creator", state.creator),
            *settings_rows(state.settings),
        ]
        rows += [("mint", state.mint), ("vault", state.vault), *totals_rows(state)]
        if state.proposal is not None:
            rows.append((f"proposal {state.proposal.number}", f"from second {state.proposal.ready_at} on"))
            rows += [(f"  {name}", value) for name, value in settings_rows(state.proposal.settings)]
        print_table(["", "finalized"], rows)


def _print_plan(client: EscrowClient, plan: Plan, admin: str) -> None:
    keys = [
        ("admin", admin),
        *((name, getattr(plan, name)) for name in ("operator", "guardian", "treasury", "insurance")),
    ]
    print_table(["at", client.addresses.escrow], [*keys, *limits_rows(plan.limits)])


def _told(found: Sequence[Finding]) -> bool:
    """Print all; whether one of them is wrong."""
    for finding in found:
        print(
            f"{finding.level:<6}{finding.text}",
            file=sys.stderr if finding.level is Level.WRONG else sys.stdout,
        )
    return any(finding.level is Level.WRONG for finding in found)


def _key(name: str, text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise typer.BadParameter(f"--{name} is no public key in base58: {error}") from None
