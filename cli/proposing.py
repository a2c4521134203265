"""`perpdex escrow propose`: announce other keys, limits or delays. They take effect by `perpdex escrow execute` after the timelock.

One proposal is pending at a time, and it holds all settings: what a command does not name stays as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from chain.limits import MICRO, Limits
from chain.limits import Settings as Wanted
from cli.cluster_checks import Checks
from cli.custody import Seconds, Share, Usdc
from cli.governing import Admin, must_be, tell_pending
from cli.on_chain import Price, Refused, client_of, land, public_key, run, signer_at, state_of
from settings import Settings

propose = typer.Typer(no_args_is_help=True, help="Announce other keys, limits or delays of the escrow.")
Key = Annotated[str, typer.Argument(help="public key in base58")]
OptionalKey = Annotated[str, typer.Option(help="public key in base58")]
Change = Callable[[Wanted], Wanted]


@propose.command()
def operator(key: Key, admin: Admin, price: Price = 0) -> None:
    """Another operator."""
    _propose(lambda now: replace(now, operator=public_key("the operator", key)), admin, price)


@propose.command()
def guardian(key: Key, admin: Admin, price: Price = 0) -> None:
    """Another guardian."""
    _propose(lambda now: replace(now, guardian=public_key("the guardian", key)), admin, price)


@propose.command("admin")
def another_admin(key: Key, admin: Admin, price: Price = 0) -> None:
    """Another admin. From then on only its key proposes and cancels; the escrow's address stays."""
    _propose(lambda now: replace(now, admin=public_key("the admin", key)), admin, price)


@propose.command()
def keys(
    admin: Admin,
    operator: OptionalKey = "",
    guardian: OptionalKey = "",
    new_admin: OptionalKey = "",
    price: Price = 0,
) -> None:
    """Several keys at once, for when more than one is stolen: a second proposal would wait for the first."""
    given = {"operator": operator, "guardian": guardian, "admin": new_admin}
    named: dict[str, Any] = {name: public_key(f"the {name}", key) for name, key in given.items() if key}
    _propose(lambda now: replace(now, **named), admin, price)


@propose.command()
def limits(
    admin: Admin,
    hour_floor: Usdc | None = None,
    day_floor: Usdc | None = None,
    hour_share: Share | None = None,
    day_share: Share | None = None,
    price: Price = 0,
) -> None:
    """Other limits of co-signed withdrawals."""
    floors = {"hour_floor": hour_floor, "day_floor": day_floor}
    shares = {"hour_share": hour_share, "day_share": day_share}
    micro = {name: usdc * MICRO for name, usdc in floors.items() if usdc is not None}
    _propose(_limited({**shares, **micro}), admin, price)


@propose.command()
def delays(
    admin: Admin,
    exit_delay: Seconds | None = None,
    timelock: Seconds | None = None,
    loss_window: Seconds | None = None,
    limit_delay: Seconds | None = None,
    price: Price = 0,
) -> None:
    """Other delays. On a public cluster those are refused that leave nobody time."""
    given = {
        "exit_delay": exit_delay,
        "timelock": timelock,
        "loss_window": loss_window,
        "limit_delay": limit_delay,
    }
    _propose(_limited(given), admin, price)


def _limited(given: dict[str, int | None]) -> Change:
    named = {name: value for name, value in given.items() if value is not None}

    def change(now: Wanted) -> Wanted:
        changed: Limits = replace(now.limits, **named)
        return replace(now, limits=changed)

    return change


def _propose(change: Change, place: str, price: int) -> None:
    async def announce(settings: Settings) -> None:
        async with client_of(settings) as client, signer_at(settings, place) as admin:
            state = await state_of(client)
            must_be("admin", state.admin, admin)
            wanted = change(state.settings)
            if wanted == state.settings:
                raise Refused("that is in force already")
            if wanted.guardian == wanted.operator and state.guardian != state.operator:
                raise Refused("the guardian must be another key than the operator: it stops a stolen one")
            if state.proposal is not None:
                lapsed = state.proposal.lapsed(await client.view.clock())
                raise Refused(
                    f"proposal {state.proposal.number} {'has lapsed' if lapsed else 'is pending'}: cancel it first"
                )
            if wanted.limits != state.settings.limits:
                await Checks(settings, client).must_give_time(wanted.limits)
            await land(
                client,
                partial(client.governance.build_propose, admin, wanted),
                "take the proposal",
                price,
            )
            await tell_pending(client, await state_of(client))

    run(announce(Settings()))
