"""What a run with the demonstration vault is set to, and where there can be none."""

import time

import pytest

from cli.demo_vault import RULES, TRADES, VaultOpening, impossible, with_vault
from cli.processes import StackFailed
from core.vault_risk import rules_from
from settings import Settings


def test_gold_has_a_made_up_price_where_nobody_else_has_one():
    found = with_vault(Settings())
    assert (found.exec_demo_gold, found.nav_interval_s) == ("played", 60)


@pytest.mark.parametrize(
    ("chosen", "gold", "every"),
    [
        ({"exec_demo_gold": "4100.5"}, "4100.5", 60),
        ({"chainlink_rpc_url": "https://ethereum.example"}, "", 60),
        ({"exec_pyth_url": "https://hermes.example"}, "", 60),
        ({"pyth_rpc_url": "https://solana.example"}, "", 60),
        ({"nav_interval_s": 3_600}, "played", 3_600),
    ],
)
def test_what_somebody_chose_stays(chosen, gold, every):
    found = with_vault(Settings(**chosen))
    assert (found.exec_demo_gold, found.nav_interval_s) == (gold, every)


@pytest.mark.parametrize(
    ("venues", "why"),
    [
        ("agents,mock_gold", ""),
        ("hyper, mock_gold ,agents", ""),
        ("agents,hyper", "EXEC_ALLOWED_VENUES has no mock_gold"),
        ("", "EXEC_ALLOWED_VENUES has no agents and no mock_gold"),
    ],
)
def test_both_venues_must_be_set_up(venues, why):
    assert impossible(Settings(exec_allowed_venues=venues)) == why


def test_its_rules_allow_what_its_strategy_trades():
    rules = rules_from(RULES)
    for trade in TRADES:
        venue, _, symbol = trade.rsplit(":", 2)[0].partition("::")
        assert venue in rules.venues
        assert symbol in rules.symbols


def test_what_keeps_it_from_being_opened_is_a_sentence_with_the_way_without(tmp_path):
    (tmp_path / "logs").mkdir()
    key = tmp_path / "agents" / "strategy.json"
    key.parent.mkdir()
    key.write_text("[]")
    key.chmod(0o644)
    said = []
    opening = VaultOpening(Settings(perpdex_data=tmp_path), said.append)
    with pytest.raises(
        StackFailed, match=r"cannot be opened \(.*strategy\.json is open to others.*--no-vault"
    ):
        _wait_for(opening)
    assert said == ["opening the vault demo: its account gets a slot on chain and deposits test USDC"]


def _wait_for(opening):
    deadline = time.monotonic() + 30
    while not opening.done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
