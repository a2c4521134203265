"""What accounts cost under the rents that clusters have: the old rule, SIMD-0194's, and rates that are lowered later."""

import json
from pathlib import Path

import pytest
from solders.rent import Rent

IDL = Path(__file__).parents[2] / "contracts" / "solana" / "escrow" / "idl.json"
ERRORS = {error["name"]: error["code"] for error in json.loads(IDL.read_text())["errors"]}
ESCROW, VAULT, PAGE = 4_880, 165, 10_184
FEE = 5_000
OLD, NEW, LOWERED = Rent(3_480, 2.0, 50), Rent(6_960, 1.0, 50), Rent(5_080, 1.0, 50)


def lamports(escrow, address) -> int:
    account = escrow.svm.get_account(address)
    return account.lamports if account else 0


@pytest.mark.parametrize(("rent", "rate"), [(OLD, 6_960), (NEW, 6_960), (LOWERED, 5_080)])
def test_every_account_costs_what_the_cluster_asks_and_a_page_comes_back(bare, rent, rate):
    bare.svm.set_rent(rent)
    cost = {size: (size + 128) * rate for size in (ESCROW, VAULT, PAGE)}
    assert all(bare.svm.minimum_balance_for_rent_exemption(size) == cost[size] for size in cost)
    admin, operator = bare.admin.pubkey(), bare.operator.pubkey()
    before = lamports(bare, admin)
    assert bare.initialize() is None, bare.logs
    made = [lamports(bare, at) for at in (bare.address, bare.vault, bare.page(0))]
    assert made == [cost[ESCROW], cost[VAULT], cost[PAGE]]
    assert before - lamports(bare, admin) == sum(made) + FEE

    before = lamports(bare, operator)
    assert bare.by(bare.operator, "create_page", 1, index=1) is None, bare.logs
    assert lamports(bare, bare.page(1)) == cost[PAGE]
    assert before - lamports(bare, operator) == cost[PAGE] + FEE
    assert bare.by(bare.operator, "close_page", index=1, payer=operator) is None, bare.logs
    assert before - lamports(bare, operator) == 2 * FEE


def test_a_page_of_dearer_days_gives_all_of_it_back(bare):
    bare.svm.set_rent(NEW)
    operator = bare.operator.pubkey()
    before = lamports(bare, operator)
    assert bare.initialize() is None
    assert bare.by(bare.operator, "create_page", 1, index=1) is None
    bare.svm.set_rent(LOWERED)
    assert bare.by(bare.operator, "close_page", index=1, payer=operator) is None
    assert before - lamports(bare, operator) == 2 * FEE


@pytest.mark.parametrize("threshold", [0.0, 1.5, 4.0, float("nan")])
def test_an_unknown_rule_creates_nothing_and_keeps_nobody_in(escrow, threshold):
    escrow.svm.set_rent(Rent(3_480, threshold, 50))
    assert escrow.by(escrow.operator, "create_page", 1, index=1) == ERRORS["RentUnknown"]
    assert lamports(escrow, escrow.page(1)) == 0
    assert escrow.owns(0, "request_withdrawal", 2, 1_000) is None
    escrow.wait(3_600)
    assert escrow.owns(0, "claim_withdrawal", 2) is None
    assert escrow.balances()[2] == 0
