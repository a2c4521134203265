"""What an operator may write for a market's terms, and that everything else is refused in a sentence."""

import re

import pytest

from cli.terms import jump_alarm, margin_terms, mark_terms, micro_usdc, tier_of
from core.margin_terms import MarginTerms, Tier
from core.open_interest import JumpAlarm
from core.quantities import SECOND

MARGIN = {
    "tiers": [{"above": "0.000000", "initial_ppm": 40_000}, {"above": "2.500000", "initial_ppm": 50_000}],
    "open_interest_lower": "7.000000",
    "open_interest_upper": "9.500000",
    "maintenance_share_ppm": 600_000,
}
ALARM = {"share_ppm": 5_000, "window_ms": 90_000, "only_reduces": True}
MARK = {"basis_max_ppm": 1, "drift_ppm": 1}


def test_terms_are_read_in_their_units():
    terms = margin_terms(MARGIN, ["0:20", "1000.5:3"], "5:6.000001", 400_000)
    assert terms.tiers == (Tier(0, 50_000), Tier(1_000_500_000, 333_334)), "rounded up"
    assert (terms.open_interest_lower, terms.open_interest_upper) == (5_000_000, 6_000_001)
    assert terms.maintenance_share == 400_000
    assert jump_alarm(None, "20000:5", True) == JumpAlarm(20_000, 300 * SECOND, True)
    assert jump_alarm(None, "20000:5", None) == JumpAlarm(20_000, 300 * SECOND, False)


def test_what_is_not_named_is_kept():
    tiers, bounds = (Tier(0, 40_000), Tier(2_500_000, 50_000)), (7_000_000, 9_500_000)
    kept = MarginTerms(tiers, *bounds, 600_000)
    assert margin_terms(MARGIN, None, "", None) == kept
    assert margin_terms(MARGIN, ["0:20"], "", None) == MarginTerms((Tier(0, 50_000),), *bounds, 600_000)
    assert margin_terms(MARGIN, None, "0:0", None) == MarginTerms(tiers, 0, 0, 600_000)
    assert margin_terms(MARGIN, None, "", 500_000) == MarginTerms(tiers, *bounds, 500_000)
    assert jump_alarm(ALARM, "20000:5", None) == JumpAlarm(20_000, 300 * SECOND, True)
    assert jump_alarm(ALARM, "", False) == JumpAlarm(5_000, 90 * SECOND, False)
    assert jump_alarm(ALARM, "none", None) is None


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (tier_of, "20", "'20' is not USDC:LEVERAGE"),
        (tier_of, "0:0", "'0:0': a leverage is from 1 to 1,000,000"),
        (tier_of, "0:-5", "'0:-5': a leverage is from 1 to 1,000,000"),
        (tier_of, "0:2.5", "'2.5' is no whole number"),
        (tier_of, "abc:5", "'abc' is no amount in USDC: not a decimal number"),
        (micro_usdc, "1.0000009", "'1.0000009' is no amount in USDC: not a multiple of 0.000001"),
        (lambda text: margin_terms(MARGIN, None, text, None), "5", "'5' is not USDC:USDC"),
        (lambda text: jump_alarm(ALARM, text, None), "5", "'5' is not PPM:MINUTES"),
        (lambda text: jump_alarm(ALARM, text, None), "5:x", "'x' is no whole number"),
        (lambda text: jump_alarm(ALARM, text, None), ":", "'' is no whole number"),
        (lambda text: jump_alarm(None, text, True), "", "The market has no alarm: name one with --alarm."),
        (lambda text: jump_alarm(None, text, None), "none", "no alarm that could be taken away"),
        (lambda text: jump_alarm(ALARM, text, False), "none", "nothing for --alarm-reduces to do"),
        (lambda text: mark_terms(MARK, [text]), "x=1", "x is none of basis_max_ppm, drift_ppm"),
        (lambda text: mark_terms(MARK, [text]), "drift_ppm=abc", "'abc' is no whole number"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(read, text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read(text)
