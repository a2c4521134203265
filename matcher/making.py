"""Who made a market in an hour of funding: by owner, by how long it stood and by how much. Changes nothing."""

from collections.abc import Mapping, Set

from core.funding_events import HourEnded
from core.funding_hour import explained, stood_long
from matcher.funding import Hour
from matcher.state import Exchange


def standing_long(hour: Hour) -> dict[int, int]:
    """Owners that stood in at least half of the hour's samples, by their first account, and the lots that they quoted on average.

    Samples in which one did not stand count as none, and the average rounds down.
    """
    return {
        account: lots // hour.samples
        for account, (times, lots) in hour.stood.items()
        if stood_long(times, hour.samples)
    }


def skew(state: Exchange, market: int, hour: Hour, moved: Mapping[int, int]) -> int:
    """Net lots of all who hold what no making explains; `moved` has the sizes that count of accounts that have traded since.

    Longs equal shorts, so it is what making explains, turned around: its cost grows with the makers of the hour only.
    """
    accounts = state.accounts
    quoted = {accounts[id].owner: lots for id, lots in standing_long(hour).items()}
    filled: dict[str, int] = {}
    for id, lots in hour.made.items():
        owner = accounts[id].owner
        filled[owner] = filled.get(owner, 0) + lots
    total = 0
    for owner in quoted.keys() | filled.keys():
        net = sum(
            moved[one.id] if one.id in moved else size_of(state, one.id, market)
            for one in state.owners[owner]
        )
        total += explained(net, quoted.get(owner, 0), filled.get(owner, 0))
    return -total


def makers_of(state: Exchange, hour: Hour, ended: HourEnded) -> Set[int]:
    """Accounts that keep only a share of what they receive for the hour: all of each owner that stood in at least half of its
    samples, or whose quotes were filled in it."""
    if not ended.by_owner:
        return hour.stood.keys() | hour.made.keys()
    owners = {state.accounts[id].owner for id in standing_long(hour).keys() | hour.made.keys()}
    return {one.id for owner in owners for one in state.owners[owner]}


def size_of(state: Exchange, account: int, market: int) -> int:
    """Lots that an account holds in a market, signed."""
    held = state.accounts[account].positions.get(market)
    return held.size if held is not None else 0
