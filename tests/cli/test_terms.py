"""What an operator may write for a market's terms, and that everything else is refused in a sentence."""

import re

import pytest

from cli.terms import jump_alarm, margin_terms, mark_terms, micro_usdc, tier_of
from core.margin_terms import Tier
from core.quantities import SECOND

MARK = {"basis_max_ppm": 1, "drift_ppm": 1}


def test_terms_are_read_in_their_units():
    terms = margin_terms(["0:20", "1000.5:3"], "5:6.000001")
    assert terms.tiers == (Tier(0, 50_000), Tier(1_000_500_000, 333_334)), "rounded up"
    assert (terms.open_interest_lower, terms.open_interest_upper) == (5_000_000, 6_000_001)
    alarm = jump_alarm("20000:5", True)
    assert (alarm.share, alarm.window, alarm.only_reduces) == (20_000, 300 * SECOND, True)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (tier_of, "20", "'20' is not USDC:LEVERAGE"),
        (tier_of, "0:0", "'0:0': a leverage is from 1 to 1,000,000"),
        (tier_of, "0:-5", "'0:-5': a leverage is from 1 to 1,000,000"),
        (tier_of, "0:2.5", "'2.5' is no whole number"),
        (tier_of, "abc:5", "'abc' is no amount in USDC: not a decimal number"),
        (micro_usdc, "1.0000009", "'1.0000009' is no amount in USDC: not a multiple of 0.000001"),
        (lambda text: margin_terms(["0:20"], text), "5", "'5' is not USDC:USDC"),
        (lambda text: jump_alarm(text, False), "5", "'5' is not PPM:MINUTES"),
        (lambda text: jump_alarm(text, False), "5:x", "'x' is no whole number"),
        (lambda text: jump_alarm(text, False), ":", "'' is no whole number"),
        (lambda text: mark_terms(MARK, [text]), "x=1", "x is none of basis_max_ppm, drift_ppm"),
        (lambda text: mark_terms(MARK, [text]), "drift_ppm=abc", "'abc' is no whole number"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(read, text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read(text)
