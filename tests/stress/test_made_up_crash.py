"""A small crowd lives through a made-up crash: everything that a report asserts holds, and holds again."""

from collections import Counter
from itertools import pairwise

from core.accounts import INSURANCE
from core.events import RequestClosed
from matcher.recovery import replay

CHECKED = {
    "conservation",
    "positions add up to zero",
    "equities add up to what is in",
    "postings of the records come to every balance",
    "trades, fees and transfers explain every equity",
    "fees, takeovers, inventory and funding explain the insurance fund",
    "insurance fund and deleveragings explain every loss",
    "no account is below zero",
    "the books know what batches left undone",
    "the journal read back gives the same state",
    "the riskiest account came first",
    "liquidations follow from the records before them",
}


def test_every_invariant_holds_and_the_same_seed_gives_the_same_state(scenario, lived):
    first, again, other = lived(scenario()), lived(scenario()), lived(scenario(seed=8))
    for report in (first, other):
        assert {check.what for check in report.checks} == CHECKED
        assert report.broken() == []
    assert first.state_hash == again.state_hash
    assert all(one == other for one, other in zip(first.samples, again.samples, strict=True))
    assert first.state_hash != other.state_hash


def test_the_crowd_trades_on_both_sides_settles_and_withdraws(scenario, lived):
    report = lived(scenario())
    assert report.events["Filled"] > 300
    assert report.events["SettlementCut"] > 3
    assert report.events["WithdrawalFinished"] > 5
    assert report.events["FundingSettled"] == 2
    assert max(sample.holders for sample in report.samples) > 200
    # What is refused is what a crowd at its limits is refused, nothing that a driver in error would cause.
    assert set(report.refused) <= {"insufficient_margin", "position_cap", "withdrawal_too_large"}


def sales(directory):
    """How many auctions of what the insurance fund holds found a bidder at each instant, as the journal tells it."""
    found = Counter()

    def visit(_, event):
        if isinstance(event, RequestClosed) and event.account == INSURANCE and event.filled:
            found[event.at] += 1

    replay(directory, 0, visit)
    return found


def test_a_fund_takes_accounts_over_until_it_must_keep_what_it_has(scenario, lived, tmp_path):
    rich, starved = (lived(scenario(hours=2, insurance=fund, floor=1)) for fund in (10**13, 1))
    assert (rich.broken(), starved.broken()) == ([], [])
    assert rich.losses.fees > 0
    assert (rich.samples[-1].takeovers > 0, rich.losses.deleveraged) == (True, 0)
    # What it took over is sold at a beat as long as somebody buys, not a slice a beat.
    assert max(sales(tmp_path / "journal-0").values()) > 1
    assert starved.samples[-1].deleveragings > rich.samples[-1].deleveragings
    assert starved.losses.gave > 0


def test_makers_leave_in_the_worst_beats_and_come_back(scenario, lived):
    samples = lived(scenario(hours=2)).samples
    most = samples[0].quoting
    falls = [abs(now.index[0] - before.index[0]) for before, now in pairwise(samples)]
    worst = sorted(range(len(falls)), key=lambda beat: -falls[beat])[:3]
    # A sample is taken as its beat begins, after makers have decided about it.
    assert all(samples[beat].quoting < most for beat in worst)
    assert min(sample.quoting for sample in samples) == 0
    assert samples[-1].quoting == most
