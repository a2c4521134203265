"""`positions.json` of an earlier system: read to the last digit, or not at all."""

import pytest

from cli.positions_file import NotAFile, read_positions


def test_the_file_is_read_as_it_is_written():
    text = """
        {"vault-1": {"cash": 1000000, "positions": {"hyper::ETH": 1.5, "synthetix::XAU": -0.8, "mock_gold::XAU": 2.0}},
         "vault-2": {"cash": 0.1, "positions": {"ETH": 1e-8, "BTC": -2E2, "SOL": 0.10000000}},
         "vault-3": {}, "vault-4": {"cash": 12345.678900000001, "positions": {"ETH": 0.30000000000000004, "BTC": 12345678.12345678}}}
    """
    assert read_positions(text, "hyper") == {
        "vault-1": ("1000000", {"hyper::ETH": "1.5", "synthetix::XAU": "-0.8", "mock_gold::XAU": "2.0"}),
        "vault-2": ("0.1", {"hyper::ETH": "0.00000001", "hyper::BTC": "-200", "hyper::SOL": "0.10000000"}),
        "vault-3": ("0", {}),
        # What a float left behind is no part of the number; what was exact stays so.
        "vault-4": (
            "12345.6789000000",
            {"hyper::ETH": "0.300000000000000", "hyper::BTC": "12345678.12345678"},
        ),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[]", "no vaults"),
        ("{}", "no vaults"),
        ('{"v": 5}', "v: a vault has cash and positions"),
        ('{"v": {"ETH": 1}}', "v: a vault has cash and positions"),
        ('{"v": {}, "v": {}}', "twice"),
        ('{"v": {"positions": [1]}}', "v: positions are sizes"),
        ('{"v": {"positions": {"ETH": 1, "hyper::ETH": 2}}}', "v: hyper::ETH is there twice"),
        ('{"v": {"positions": {"ETH": 0.000000001}}}', "v: not a multiple"),
        ('{"v": {"positions": {"ETH": 0.1234567891234567}}}', "v: not a multiple"),
        ('{"v": {"positions": {"ETH": "1"}}}', "v: '1' is no number"),
        ('{"v": {"positions": {"ETH": NaN}}}', "is no number"),
        ('{"v": {"positions": {"ETH": 1e400}}}', "is no number"),
        ('{"v": {"positions": {"a::b::c": 1}}}', "v: "),
        ('{"v": {"cash": 0.0000001}}', "v: not a multiple"),
        ('{"v": {"cash": true}}', "v: True is no number"),
    ],
)
def test_what_is_no_such_file_is_said_with_its_place(text, why):
    with pytest.raises(NotAFile, match=why):
        read_positions(text, "hyper")
