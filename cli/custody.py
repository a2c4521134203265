"""`perpdex escrow`: create the escrow on any cluster, look at it, check that everything belongs together, compute fees."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey

from chain.budget import full_batch, operator_lamports_min
from chain.building import UNITS
from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.layout import ESCROW_BYTES, PAGE_BYTES, TOKEN_ACCOUNT_BYTES
from chain.limits import DAY_S, DEFAULT_LIMITS, MICRO, Limits
from chain.transactions import LAMPORTS_PER_SIGNATURE, Budget
from cli.cluster_checks import Checks, Finding, Level
from cli.custody_tables import Rows, fee_rows, limits_rows, settings_rows, totals_rows, utc
from cli.on_chain import WRONG, Price, client_of, land, public_key, run, signer_at, state_of
from cli.tables import print_table
from settings import Settings

escrow = typer.Typer(
    no_args_is_help=True, help="The escrow on chain: create, show, check, and what it costs."
)
_D: Final = DEFAULT_LIMITS
RENT_PER_BYTE: Final = 6_960
"""Lamports a byte from the network's beginning until it lowers them (SIMD-0437)."""
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
    if _told(run(_check(Settings()))):
        raise typer.Exit(WRONG)


@escrow.command()
def show() -> None:
    """Print keys, limits, totals and a pending proposal as they are finalized on chain."""
    run(_show(Settings()))


@escrow.command()
def budget(
    accounts: Annotated[int, typer.Option(min=1, help="agents with a slot")],
    interval: Annotated[int, typer.Option(min=1, help="seconds between two batches")] = 10,
    price: Annotated[int, typer.Option(min=0, help="micro-lamports per compute unit, as PRIORITY_FEE")] = 0,
    rent_per_byte: Annotated[
        int, typer.Option(min=1, help="lamports a byte: a node's minimum balance for 0 bytes, divided by 128")
    ] = RENT_PER_BYTE,
) -> None:
    """Compute what the operator pays, from the transactions this release builds. Asks no node: rent is at the rate that is named."""
    batch = full_batch(accounts, price)
    print_table(
        ["what the operator pays", "lamports", "SOL"], fee_rows(batch, interval, price, rent_per_byte)
    )


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
    price: Price = 0,
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
        public_key("--operator", operator),
        public_key("--guardian", guardian),
        public_key("--treasury", treasury),
        public_key("--insurance", insurance),
        limits,
    )
    if plan.guardian == plan.operator:
        raise typer.BadParameter("the guardian must be another key than the operator: it stops a stolen one")
    run(_initialize(Settings(), plan, admin, price, yes))


async def _check(settings: Settings) -> list[Finding]:
    async with signer_at(settings, "") as operator, client_of(settings) as client:
        checks = Checks(settings, client)
        found = await checks.ground()
        found += await checks.escrow(operator.pubkey)
        needed = operator_lamports_min(await ClusterView(client.client).rent(PAGE_BYTES))
        return [*found, await checks.funds(operator.pubkey, needed, "the operator")]


async def _initialize(settings: Settings, plan: Plan, place: str, price: int, yes: bool) -> None:
    async with signer_at(settings, place) as admin:
        key = str(admin.pubkey)
        if settings.escrow_admin not in ("", key):
            raise typer.BadParameter(f"ESCROW_ADMIN is {settings.escrow_admin}, and {key} signs")
        named = settings.model_copy(update={"escrow_admin": key})
        async with client_of(named) as client:
            checks = Checks(named, client)
            view = ClusterView(client.client)
            rents = [await view.rent(size) for size in (ESCROW_BYTES, TOKEN_ACCOUNT_BYTES, PAGE_BYTES)]
            needed = sum(rents) + LAMPORTS_PER_SIGNATURE + Budget(UNITS["initialize"], price).lamports
            await checks.must_give_time(plan.limits)
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
            build = partial(
                client.build_initialize,
                admin,
                operator=plan.operator,
                guardian=plan.guardian,
                treasury=plan.treasury,
                insurance=plan.insurance,
                limits=plan.limits,
            )
            await land(client, build, "create the escrow", price)
        print(f"created; set on every machine: ESCROW_ADMIN={key}")


async def _show(settings: Settings) -> None:
    async with client_of(settings) as client:
        state = await state_of(client)
        at = client.addresses
        rows: Rows = [
            ("escrow", at.escrow),
            ("program", at.program_id),
            ("creator", state.creator),
            *settings_rows(state.settings),
        ]
        rows += [("mint", state.mint), ("vault", state.vault), *totals_rows(state)]
        if state.proposal is not None:
            rows.append((f"proposal {state.proposal.number}", f"from {utc(state.proposal.ready_at)} on"))
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
