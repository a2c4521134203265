"""The audit notices what it is there for: money that records do not explain."""

from core.accounts import CLEARING, INSURANCE, TREASURY
from core.events import AgentRegistered, DepositCredited, SlotBound
from matcher.apply import apply
from matcher.state import Exchange
from stress.audit import Audit, equities, present

EVENTS = (
    AgentRegistered(1, 16, "a", "x"),
    AgentRegistered(1, 17, "b", "x"),
    SlotBound(1, 16, 1, 0),
    DepositCredited(1, 16, 500, "one"),
    DepositCredited(1, INSURANCE, 70, "two"),
)


def test_balances_that_the_records_do_not_explain_are_found():
    state, audit, deaf = Exchange(), Audit(), Audit()
    for number, event in enumerate(EVENTS, 1):
        apply(state, event)
        audit.hear(number, event)
        if not isinstance(event, DepositCredited) or event.account == 16:
            deaf.hear(number, event)
    assert audit.differing(state) == []
    assert dict(audit.insurance) == {"deposit": 70}
    assert INSURANCE in deaf.differing(state)
    assert deaf.unexplained(state) == [INSURANCE]
    assert audit.unexplained(state) == []
    state.accounts[17].balance += 1
    assert audit.differing(state) == [17]
    assert audit.unexplained(state) == [17]


def test_the_first_time_that_money_does_not_add_up_is_kept():
    state, audit = Exchange(), Audit()
    for event in EVENTS:
        apply(state, event)
    audit.check(state, "at step 1")
    assert audit.broken == {}
    state.accounts[TREASURY].balance += 1
    audit.check(state, "at step 2")
    audit.check(state, "at step 3")
    assert audit.broken == {
        "conservation": "not so at step 2",
        "equities add up to what is in": "not so at step 2",
    }
    assert sum(equities(state).values()) == present(state) + 1
    assert CLEARING not in equities(state)
