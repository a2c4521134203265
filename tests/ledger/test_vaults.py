"""Vaults in the ledger: who manages them, and whose rules they had when."""

import pytest

from core.vault_risk import Rules, VaultRisk, common_template, rules_from
from ledger.database import open_pool
from ledger.vaults import Vault, Vaults

SET_UP = frozenset({"hyper", "mock_gold"})
COMMON = common_template(SET_UP, rules_from({"perVenue": {"hyper": {"maxLeverage": 5}}}))


@pytest.fixture
async def vaults(postgres_url):
    pool = open_pool(postgres_url)
    yield Vaults(pool, SET_UP, COMMON)
    await pool.dispose()


def made(id="alpha", manager=16):
    return Vault(id, manager, "hyper", False, 200_000, 0, 5, VaultRisk(SET_UP, COMMON))


async def test_a_vault_is_made_once_and_found_by_its_name(vaults):
    assert await vaults.get("alpha") is None
    assert await vaults.make(made(), "ada")
    assert not await vaults.make(made(manager=17), "ada")
    assert await vaults.get("alpha") == made()
    await vaults.make(made("beta", 17), "ada")
    assert [one.id for one in await vaults.all("", 9)] == ["alpha", "beta"]
    assert [one.id for one in await vaults.all("alpha", 9)] == ["beta"]
    assert [one.id for one in await vaults.all("", 9, account=16)] == ["alpha"]


async def test_a_pause_says_who_and_why_and_is_recorded_once(vaults):
    await vaults.make(made(), "ada")
    assert await vaults.pause("alpha", True, "account/16", "a holiday", 6)
    assert not await vaults.pause("alpha", True, "account/16", "a holiday", 7)
    assert (await vaults.get("alpha")).paused
    assert await vaults.pause("alpha", False, "ada", "over", 8)
    assert not (await vaults.get("alpha")).paused
    assert [(one.what, one.who, one.why, one.at) for one in await vaults.changes("alpha", 9)] == [
        ("resumed", "ada", "over", 8),
        ("paused", "account/16", "a holiday", 6),
        ("made", "ada", "", 5),
    ]
    assert not await vaults.pause("nobody", True, "ada", "", 9)


async def test_each_version_of_the_rules_is_kept_and_the_newest_of_each_role_counts(vaults):
    await vaults.make(made(), "ada")
    await vaults.make(made("beta"), "ada")
    wide, narrow = ({"perVenue": {"hyper": {"maxLeverage": most}}} for most in (10, 7))
    refused = await vaults.set_risk("alpha", "manager", rules_from(narrow), "account/16", "more", 6)
    assert refused == ["most leverage of hyper"]
    await vaults.set_risk("alpha", "operator", rules_from(wide), "ada", "she may", 7)
    await vaults.set_risk("alpha", "manager", rules_from(narrow), "account/16", "more", 8)
    found = await vaults.get("alpha")
    assert found.template.limits("hyper").max_leverage == 7
    assert (await vaults.get("beta")).template == COMMON
    # The operator takes it back, and what the manager said stays narrower than that, not wider.
    await vaults.set_risk("alpha", "operator", Rules(), "ada", "no more", 9)
    assert (await vaults.get("alpha")).template.limits("hyper").max_leverage == 5
    versions = await vaults.risk_versions("alpha", 9, 9)
    assert [(one.version, one.role, one.who, one.why, one.at) for one in versions] == [
        (3, "operator", "ada", "no more", 9),
        (2, "manager", "account/16", "more", 8),
        (1, "operator", "ada", "she may", 7),
    ]
    assert versions[1].rules == narrow
    assert await vaults.risk_versions("alpha", 3, 1) == versions[1:2]


async def test_nobody_allows_a_venue_that_is_not_set_up(vaults):
    await vaults.make(made(), "ada")
    strange = rules_from({"allowedVenues": "hyper,synthetix"})
    assert await vaults.set_risk("alpha", "operator", strange, "ada", "", 6) == [
        "venues that are not set up here: synthetix"
    ]
    assert await vaults.set_risk("nobody", "operator", strange, "ada", "", 6) is None
    assert await vaults.risk_versions("alpha", 9, 9) == []
