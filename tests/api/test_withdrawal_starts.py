"""How many withdrawals become workflows: rates that count new ones only, of one owner and of all."""

import pytest

from api.bucket import Rate
from api.errors import ApiError
from api.withdrawal_starts import WithdrawalStarts
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.state import Exchange

ACCOUNTS = (16, 17, 18)


@pytest.fixture
def state() -> Exchange:
    """Two accounts of the first owner and one of the second, with 100 USDC each."""
    state = Exchange()
    for account, owner in zip(ACCOUNTS, ("1" * 32, "1" * 32, "1" * 31 + "2"), strict=True):
        for command in (
            c.RegisterAgent(owner, f"agent{account}"),
            c.BindSlot(account, 0, account - 14),
            c.CreditDeposit(account, 100_000_000, f"d{account}"),
        ):
            play(state, command)
    return state


def play(state: Exchange, command: c.Command) -> None:
    events = decide(state, command, SECOND)
    assert isinstance(events, list), events
    for event in events:
        apply(state, event)


def test_new_ones_are_counted_by_owner_and_over_all(state: Exchange) -> None:
    starts = WithdrawalStarts(0, 0, Rate(per_second=1, burst=3), Rate(per_second=1, burst=2))

    def tried(account: int, key: str, now: int = 0) -> str:
        try:
            starts.admit(state, starts.reservation(account, 1_000_000, key, ""), SECOND, now)
        except ApiError as error:
            return error.code
        return ""

    assert tried(16, "a") == tried(17, "b") == ""
    assert tried(17, "c") == "rate_limited", "its owner has had two"
    assert tried(16, "a") == "", "begun already"
    assert tried(18, "d") == ""
    assert tried(18, "e") == "rate_limited", "of all there were three"
    assert tried(18, "e", SECOND) == ""
    play(state, c.ReserveWithdrawal(17, 1_000_000, "f"))
    assert tried(17, "f", SECOND) == "", "the engine has it: only its workflow may be missing"


def test_what_is_refused_uses_up_nothing(state: Exchange) -> None:
    starts = WithdrawalStarts(5_000_000, 0, Rate(per_second=1, burst=1), Rate(per_second=1, burst=1))
    for amount, code in ((4_999_999, "withdrawal_too_small"), (100_000_001, "withdrawal_too_large")):
        for number in range(3):
            with pytest.raises(ApiError) as refused:
                starts.admit(state, starts.reservation(16, amount, f"k{number}", ""), SECOND, 0)
            assert refused.value.code == code
    starts.admit(state, starts.reservation(16, 100_000_000, "k", ""), SECOND, 0)
