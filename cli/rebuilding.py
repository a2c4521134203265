"""`perpdex ledger rebuild`: have the projections made again from the journal, and keep what no journal has."""

from pathlib import Path
from typing import Annotated

import typer

from cli.stopped import refuse, stopped_ledger
from core.events import AgentRegistered
from core.subaccount_events import SubAccountOpened
from endings import told
from ledger.projector import ProjectorBusy
from ledger.rebuild import KEPT, NamedAccount, accounts_of_vaults, clear, projected
from matcher.segments import segments, whereabouts
from matcher.tail import lies_there
from settings import Settings


def rebuild(
    cut_short: Annotated[
        bool,
        typer.Option(
            "--journal-cut-short",
            help="the journal has not all that was projected: set settlement's memory of it aside, too",
        ),
    ] = False,
) -> None:
    """Empty the tables that the journal makes again, and keep all others: vaults, orders at venues, settlement's memory.

    The projector fills them when it starts. Not while the exchange runs: exit code 1, and nothing was changed.
    """
    with told():
        settings = Settings()
        journal = settings.perpdex_data / "journal"
        with stopped_ledger(settings) as url:
            _must_be_whole(journal)
            _rebuild(url, journal, cut_short)


def _rebuild(url: str, journal: Path, cut_short: bool) -> None:
    fits = _fits(url, journal)
    if not fits and not cut_short:
        refuse(
            "the journal has not the last record that was projected: it was cut short, or is another one. A copy with that record is "
            "better. To go on without it, say --journal-cut-short; nothing was changed"
        )
    lost = [] if fits else _lost(accounts_of_vaults(url), journal)
    # Before anything is changed: a second run would find nothing missing.
    for one in lost:
        print(
            f"account {one.account} ({one.owner}; {one.named}) is not in this journal: whoever registers next may get its number, "
            "and with it what that has in vaults. Let nobody register before its owner has"
        )
    try:
        aside = clear(url, settlement_too=not fits)
    except ProjectorBusy as error:
        refuse(f"not while the exchange runs: {error}; nothing was changed")
    print(f"emptied: the projector fills it from the journal when it starts. Kept: {', '.join(_kept(aside))}")
    if aside:
        print(
            f"settlement's memory of the other journal is in the schema {aside}; its signed bytes may still land"
        )


def _must_be_whole(journal: Path) -> None:
    files = segments(journal)
    if not files or files[0][0] != 1:
        gone = whereabouts(journal)
        refuse(
            f"the journal in {journal} does not begin with record 1, and projections are made from all{gone and ': '}{gone}. "
            "Bring those back first; nothing was changed"
        )


def _fits(url: str, journal: Path) -> bool:
    last = projected(url)
    if last.sequence == 0:
        return True
    event = lies_there(journal, last.sequence)
    return event is not None and event.at == last.at


def _lost(named: list[NamedAccount], journal: Path) -> list[NamedAccount]:
    """Those whose registration is not in the journal."""
    return [one for one in named if not _registered(one, journal)]


def _registered(one: NamedAccount, journal: Path) -> bool:
    match lies_there(journal, one.sequence):
        case AgentRegistered(account=account, owner=owner):
            return (account, owner) == (one.account, one.owner)
        case SubAccountOpened(account=account):
            return account == one.account
        case _:
            return False


def _kept(aside: str) -> list[str]:
    with_settlement = "batches, submissions, reconciliations" if not aside else ""
    vaults = sum(name.startswith(("vault", "venue", "nav")) for name in KEPT)
    return [one for one in (f"{vaults} tables of vaults", with_settlement) if one]
