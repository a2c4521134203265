"""A vault in one line of the screen."""

import pytest

from cli.screen import vault_line
from cli.tally import VaultSaid

AT = 1_700_000_065_000_000  # 22:14:25 UTC


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (VaultSaid("demo", None, None, [], {}, {}), "demo: no value yet; holds nothing; orders none"),
        (
            VaultSaid("demo", None, AT, [], {}, {"agents": {"sent": 1}}),
            "demo: NAV unknown USDC as of 22:14:25 UTC; holds nothing; orders agents 1 sent",
        ),
        (
            VaultSaid(
                "demo",
                "49998.123456",
                AT,
                ["mock_gold::XAU"],
                {"agents": {"BTC-PERP": "-0.01", "ETH-PERP": "2"}, "mock_gold": {"XAU": "0.75"}},
                {"agents": {"filled": 3}, "mock_gold": {"filled": 2, "refused": 1}},
            ),
            "demo: NAV 49998.123456 USDC as of 22:14:25 UTC, mock_gold::XAU at a demo price; "
            "holds agents BTC-PERP -0.01 ETH-PERP 2, mock_gold XAU 0.75; orders agents 3 filled, mock_gold 2 filled 1 refused",
        ),
    ],
)
def test_it_has_value_instant_positions_and_orders(said, line):
    assert vault_line(said) == line
