"""`perpdex market`, `withdrawals`, `insurance`, `review` and `audit`: what operators decide, through the API's operator door.

Every decision needs a reason and stays in the journal under the name of the credential it was made with.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.door import Door, NotDone, lots, token_of
from cli.market_text import instant, line, terms
from cli.terms import (
    Deleveraging,
    funding_terms,
    jump_alarm,
    liquidation_terms,
    margin_terms,
    mark_terms,
    micro_usdc,
    tier_of,
)
from core.market import MarketStatus
from core.quantities import MILLION, SECOND, USDC_UNIT, decimal_from_units
from matcher import commands as c
from settings import Settings

market = typer.Typer(no_args_is_help=True, help="Look at markets and decide about them.")
insurance = typer.Typer(no_args_is_help=True, help="Look at the insurance fund and decide about it.")
withdrawals = typer.Typer(no_args_is_help=True, help="Hold withdrawals back, or let them go on.")

Symbol = Annotated[str, typer.Argument(help="the market's symbol, such as BTC-PERP")]
Why = Annotated[str, typer.Option(help="the reason, for the audit trail and for agents to read")]
As = Annotated[str, typer.Option("--as", help="whose credential: keys/operators/NAME.token")]
ME = "operator"


@market.command()
def status(symbol: Annotated[str, typer.Argument(help="one market only")] = "") -> None:
    """Status, open interest and limits; of one market all of them."""
    with _door(ME) as door:
        for found in [door.market(symbol)] if symbol else door.markets():
            print(line(found))
            if symbol:
                print(*terms(found), sep="\n")


@market.command()
def resume(symbol: Symbol, why: Why, name: As = ME) -> None:
    """Open a market."""
    _set_status(symbol, MarketStatus.OPEN, why, name)


@market.command()
def reduce_only(symbol: Symbol, why: Why, name: As = ME) -> None:
    """Take only what reduces a position."""
    _set_status(symbol, MarketStatus.REDUCE_ONLY, why, name)


@market.command()
def pause(symbol: Symbol, why: Why, name: As = ME) -> None:
    """Stop a market: its requests end and its quotes are pulled. Withdrawals stay possible."""
    _set_status(symbol, MarketStatus.PAUSED, why, name)


@market.command()
def limits(
    symbol: Symbol,
    why: Why,
    position_cap: Annotated[str, typer.Option(help="of one owner, in units of the underlying")] = "",
    open_interest_cap: Annotated[str, typer.Option(help="in units of the underlying")] = "",
    oracle_band_ppm: Annotated[int | None, typer.Option(help="parts per million of the price")] = None,
    taker_fee_ppm: Annotated[int | None, typer.Option(help="parts per million of the notional")] = None,
    price_band_ppm: Annotated[
        int | None, typer.Option(help="parts per million around the index within which anybody may trade")
    ] = None,
    thin_reduces: Annotated[
        bool | None, typer.Option(help="only reduce while fewer than two views of the price are known")
    ] = None,
    tier: Annotated[
        list[str] | None, typer.Option(help="USDC:LEVERAGE, repeated for all tiers, the first from 0")
    ] = None,
    bounds: Annotated[
        str, typer.Option(help="USDC:USDC of open interest between which requirements rise; 0:0: never")
    ] = "",
    maintenance_share: Annotated[
        int | None, typer.Option(help="maintenance, in parts per million of the initial fraction")
    ] = None,
    alarm: Annotated[
        str, typer.Option(help="PPM:MINUTES of a rise of open interest, of the cap; `none` takes it away")
    ] = "",
    alarm_reduces: Annotated[
        bool | None, typer.Option(help="whether the market only reduces after an alarm")
    ] = None,
    index_max_age: Annotated[
        int | None, typer.Option(help="seconds for which its last index may be believed")
    ] = None,
    fill_max_age: Annotated[
        int | None, typer.Option(help="seconds of silence after which nobody trades at its last index")
    ] = None,
    mark: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of `mark_terms` in the market's answer, repeated")
    ] = None,
    liquidation: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of `liquidation` in the market's answer, repeated")
    ] = None,
    funding: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of `funding_terms` in the market's answer, repeated")
    ] = None,
    deleveraging: Annotated[
        Deleveraging | None, typer.Option(help="whose positions pay for debts first")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="other margin terms even when accounts fall below maintenance by them")
    ] = False,
    name: As = ME,
) -> None:
    """Change limits, also while positions are open: what is held beyond them stays and can only shrink. What is not named is kept."""
    with _door(name) as door:
        found = door.market(symbol)
        margined = bool(tier or bounds or maintenance_share is not None)
        alarmed = bool(alarm or alarm_reduces is not None)
        if force and not margined:
            raise ValueError(
                "--force is for --tier, --bounds and --maintenance-share: nothing else needs it."
            )
        margin = margin_terms(found["margin_terms"], tier, bounds, maintenance_share) if margined else None
        watched = jump_alarm(found["alarm"], alarm, alarm_reduces) if alarmed else None
        command = c.SetLimits(
            found["id"],
            max_leverage=tier_of(tier[0])[1] if tier else None,
            taker_fee=taker_fee_ppm,
            oracle_band=oracle_band_ppm,
            price_band=price_band_ppm,
            thin_only_reduces=thin_reduces,
            position_cap=lots(position_cap, found) if position_cap else None,
            open_interest_cap=lots(open_interest_cap, found) if open_interest_cap else None,
            margin=margin,
            alarm=watched,
            no_alarm=alarmed and watched is None,
            index_max_age=index_max_age * SECOND if index_max_age is not None else None,
            fill_max_age=fill_max_age * SECOND if fill_max_age is not None else None,
            mark=mark_terms(found["mark_terms"], mark) if mark else None,
            liquidation=liquidation_terms(found["liquidation"], liquidation) if liquidation else None,
            funding=funding_terms(found["funding_terms"], funding) if funding else None,
            greedy_deleveraging=deleveraging is Deleveraging.BY_RANK if deleveraging else None,
            force=force,
            why=why,
        )
        if command == c.SetLimits(found["id"], why=why):
            raise ValueError("Nothing is named that would be changed.")
        if not door.command(command):
            print("The limits were these already.")
        shown = door.market(symbol)
        print(line(shown), *terms(shown), sep="\n")


@market.command()
def delist(
    symbol: Symbol,
    why: Why,
    force: Annotated[
        bool, typer.Option(help="at once, at the average of the hour that is over, whatever is believed now")
    ] = False,
    name: As = ME,
) -> None:
    """Announce a market's end: it only reduces, and after a day's notice settles at the average of the hour before.

    `resume` takes that back until then. Repeating it changes nothing.
    """
    with _door(name) as door:
        for event in door.command(c.DelistMarket(door.market(symbol)["id"], force, why=why)):
            if event["type"] == "DelistingAnnounced":
                print(
                    f"{symbol} settles at {instant(event['settles_at'])}, at the average of the hour before"
                )
            if event["type"] == "MarketSettled":
                print(
                    f"record of {symbol}'s end: fund paid {event['fund']}, uncovered {event['uncovered']} micro-USDC"
                )
        print(line(door.market(symbol)))


@withdrawals.command(name="status")
def gate(name: As = ME) -> None:
    """Whether withdrawals go, and which accounts are below zero and keep them back."""
    with _door(name) as door:
        found = door.gate()
        print(f"withdrawals are {found['withdrawals']}; {len(found['below_zero'])} accounts are below zero")
        for one in found["below_zero"]:
            print(_debtor(one))


@withdrawals.command()
def hold(why: Why, name: As = ME) -> None:
    """Reserve no withdrawal from here on. What is reserved is paid; the owner's own exit on chain stays open."""
    with _door(name) as door:
        door.command(c.HoldWithdrawals(True, why=why))
        print("withdrawals are held")


@withdrawals.command()
def release(why: Why, name: As = ME) -> None:
    """Reserve withdrawals again."""
    with _door(name) as door:
        door.command(c.HoldWithdrawals(False, why=why))
        print("withdrawals go on")


@withdrawals.command()
def share(
    account: Annotated[int, typer.Argument(min=1, help="the number of an account below zero")],
    why: Why,
    name: As = ME,
) -> None:
    """Have accounts without positions share what nobody else could pay of an account's debt: the last resort."""
    with _door(name) as door:
        shared = [event for event in door.command(c.ShareDebt(account, why=why)) if "shares" in event]
        paid = sum(event["debt"] - event["left"] for event in shared)
        print(f"{paid} micro-USDC of the debt of account {account} are paid")


@insurance.command("status")
def insurance_status() -> None:
    """What the fund has, must keep, and holds."""
    with _door(ME) as door:
        print(_fund(door.insurance()))


@insurance.command()
def floor(
    usdc: Annotated[
        str, typer.Argument(help="in USDC; below it accounts are deleveraged instead of taken over")
    ],
    why: Why,
    name: As = ME,
) -> None:
    """Set what the fund keeps besides what its positions require."""
    with _door(name) as door:
        door.command(c.SetInsuranceFloor(micro_usdc(usdc), why=why))
        print(_fund(door.insurance()))


@insurance.command()
def sell(symbol: Symbol, why: Why, name: As = ME) -> None:
    """Auction a slice of what the fund holds in a market."""
    with _door(name) as door:
        led_to = {
            event["type"] for event in door.command(c.SellInventory(door.market(symbol)["id"], why=why))
        }
        if not led_to:
            print(
                f"nothing to sell in {symbol}: the fund holds nothing there, sells already, or is being liquidated"
            )
        else:
            print(
                "sold"
                if "Filled" in led_to
                else "nobody bought"
                if "RequestClosed" in led_to
                else "makers are asked"
            )
        print(_fund(door.insurance()))


def review(
    account: Annotated[int, typer.Argument(min=1, help="the account's number")], why: Why, name: As = ME
) -> None:
    """Have the engine look at an account anew: it is liquidated if it is below its maintenance requirement."""
    with _door(name) as door:
        door.command(c.ReviewAccount(account, why=why))
        print(f"account {account} is looked at")


def audit(
    limit: Annotated[int, typer.Option(min=1, max=500, help="how many")] = 50,
    before: Annotated[
        int | None, typer.Option(min=1, help="only older ones than this sequence number")
    ] = None,
    name: As = ME,
) -> None:
    """Who decided what, when and why, newest first; says at the end how to ask for older ones."""
    with _door(name) as door:
        actions = door.audit(limit, before)
        for one in actions:
            at = datetime.fromtimestamp(one["at"] / MILLION, UTC).isoformat(timespec="seconds")
            details = " ".join(f"{key}={value}" for key, value in one["details"].items())
            print(f"{at}  {one['who']}  {one['action']}  {_about(one)}: {one['why']}  [{details}]")
    if len(actions) == limit:
        print(f"older ones: --before {actions[-1]['seq']}", file=sys.stderr)


def _set_status(symbol: str, status: MarketStatus, why: str, name: str) -> None:
    with _door(name) as door:
        door.command(c.SetMarketStatus(door.market(symbol)["id"], status, why=why))
        print(line(door.market(symbol)))


@contextmanager
def _door(name: str) -> Iterator[Door]:
    """The operator door; what it refuses is one sentence and an exit code."""
    settings = Settings()
    try:
        with Door(settings.api_url, token_of(settings, name)) as door:
            yield door
    except (NotDone, ValueError, ArithmeticError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


def _about(one: dict[str, Any]) -> str:
    """What an entry of the audit trail is about."""
    if one["action"] in ("review", "debt_sharing"):
        return f"account {one['details']['account']}"
    if one["action"] == "batch_retried":
        return f"batch {one['details']['batch']}"
    return one["market"] or ("the insurance fund" if one["action"] == "insurance_floor" else "all markets")


def _fund(found: dict[str, Any]) -> str:
    held = ", ".join(f"{one['size']} {one['market']}" for one in found["positions"]) or "nothing"
    return (
        f"insurance fund: equity {found['equity']} USDC, floor {found['floor']}, holds {held},"
        f" which requires {found['maintenance']}"
        + (", being liquidated" if found["being_liquidated"] else "")
    )


def _debtor(found: dict[str, Any]) -> str:
    amounts = {
        name: decimal_from_units(found[name], USDC_UNIT) for name in ("equity", "balance", "unpaid_funding")
    }
    whose = f"owner {found['owner']}" if found["owner"] else "the exchange's own"
    held = f"{found['positions']} positions" if found["positions"] else "no position that could be liquidated"
    return (
        f"account {found['account']} ({whose}): equity {amounts['equity']} USDC, balance {amounts['balance']}, "
        f"unpaid funding {amounts['unpaid_funding']}; {held}"
        + (", being liquidated" if found["being_liquidated"] else "")
    )
