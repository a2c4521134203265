"""Whether every invariant held at the end of a run, each looked at by itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from core.accounts import INSURANCE
from core.market import MarketStatus
from matcher.image import state_hash
from matcher.state import Exchange
from stress.audit import Audit, equities
from stress.explained import read_back
from stress.report import Check, Sample, Scenario
from stress.slots import Slots
from stress.tape import Tape

CHECKED_EVERY: Final = 10
"""Steps between two looks at conservation."""


def checks(
    scenario: Scenario,
    tape: Tape,
    state: Exchange,
    audit: Audit,
    samples: Sequence[Sample],
    slots: Slots,
    directory: Path,
) -> Iterator[Check]:
    """Every check of a run that has ended in `state`, its journal in `directory`."""
    audit.check(state, "at the end")
    for what in ("conservation", "positions add up to zero", "equities add up to what is in"):
        found = audit.broken.get(what, f"looked at every {CHECKED_EVERY} steps")
        yield Check(what, what not in audit.broken, found)
    differing = audit.differing(state)
    yield Check(
        "postings of the records come to every balance",
        not differing,
        f"{len(differing)} accounts differ",
    )
    unexplained = audit.unexplained(state)
    yield Check(
        "trades, fees and transfers explain every equity",
        not unexplained,
        f"{len(unexplained)} accounts differ",
    )
    split = audit.losses.split(state)
    fund = equities(state)[INSURANCE]
    yield Check(
        "fees, takeovers, inventory and funding explain the insurance fund",
        split.fund == fund,
        f"{split.fund} micro-USDC of {fund}",
    )
    unexplained_losses = audit.losses.unexplained
    yield Check(
        "insurance fund and deleveragings explain every loss",
        not unexplained_losses,
        "; ".join(unexplained_losses[:3]) or f"{split.deficits} + {split.gave} micro-USDC",
    )
    lowest, account = min((equity, id) for id, equity in equities(state).items())
    most = max(sample.below_zero for sample in samples)
    yield Check(
        "no account is below zero",
        lowest >= 0 and not most,
        f"account {account} ends with least, {lowest} micro-USDC; at most {most} of agents at a beat",
    )
    undone = [id for id, account in state.accounts.items() if account.unapplied != slots.unapplied[id]]
    yield Check("the books know what batches left undone", not undone, f"{len(undone)} accounts differ")
    if scenario.leaving:
        last = tape.markets[-1]
        settled = state.statuses[last.id] == MarketStatus.SETTLED
        yield Check("what was announced has ended", settled, last.symbol)
    read = read_back(directory)
    yield Check(
        "the journal read back gives the same state",
        state_hash(read.state) == state_hash(state),
        f"{read.state.seq} records of {state.seq}",
    )
    yield Check(
        "the riskiest account came first",
        not read.out_of_turn,
        "; ".join(read.out_of_turn[:3]) or f"{read.turns} starts, takeovers and deleveragings",
    )
    yield Check(
        "liquidations follow from the records before them",
        not read.differing,
        "; ".join(read.differing[:3]) or f"{read.explained} of {read.liquidations} derived again",
    )
