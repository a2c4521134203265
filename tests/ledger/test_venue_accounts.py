"""A vault's account at a venue: written down when it is first used, one vault's only, and changed by an operator only."""

import asyncio

import pytest

from core.risk_template import RiskTemplate
from core.tickets import price_from
from ledger.database import open_pool
from ledger.vaults import Vaults
from ledger.venue_accounts import give_up_account
from ledger.venue_fills import VenueFills
from ledger.venue_orders import Standing, StoredOrder, VenueOrders


def order(vault, at, status=Standing.FILLED):
    return StoredOrder(
        f"{vault}/{at}", vault, "hyper", "ETH", f"{at}", f"0x{at}", "", "ada", 1, 7, "limit",
        price_from("2000"), "gtc", 0, 2, status, 0, "", "", at, at, 9,
    )  # fmt: skip


@pytest.fixture
async def pool(postgres_url):
    opened = open_pool(postgres_url)
    yield opened
    await opened.dispose()


async def test_an_account_is_one_vault_s(pool):
    fills = VenueFills(pool)
    assert await fills.begin("gold", "hyper", "0xa", "7", "8", 1) == "0xa"
    assert await fills.begin("iron", "hyper", "0xa", "9", "9", 2) is None
    assert await fills.account("iron", "hyper") is None
    assert await fills.begin("gold", "hyper", "0xb", "", "", 3) == "0xa"
    # The same name at another venue is another account.
    assert await fills.begin("iron", "polymarket", "0xa", "", "", 4) == "0xa"
    assert await fills.begin("iron", "hyper", "0xb", "", "", 5) == "0xb"


async def test_of_many_vaults_that_begin_with_one_account_one_has_it(pool):
    fills = VenueFills(pool)
    begun = [fills.begin(f"v{number}", "hyper", "0xa", "", "", 1) for number in range(5)]
    assert sorted(map(str, await asyncio.gather(*begun))) == ["0xa", *["None"] * 4]


async def test_what_was_begun_before_takes_the_account_that_is_next_used(pool):
    fills = VenueFills(pool)
    for vault in ("gold", "iron"):
        assert await fills.begin(vault, "hyper", "", "7", "8", 1) == ""
    assert await fills.begin("gold", "hyper", "0xa", "9", "9", 2) == "0xa"
    assert await fills.cursors("gold", "hyper") == ("7", "8")
    # And two that had one without anybody noticing have it no longer.
    assert await fills.begin("iron", "hyper", "0xa", "9", "9", 3) is None
    assert await fills.account("iron", "hyper") == ""


async def test_an_operator_moves_a_vault_to_another_account(pool):
    fills, orders = VenueFills(pool), VenueOrders(pool)
    await fills.begin("gold", "hyper", "0xa", "7", "8", 1)
    await orders.accept(order("gold", 5, Standing.OPEN))

    async def given_up():
        async with pool.begin() as connection:
            return await give_up_account(connection, "gold", "hyper", "ada", "a new key", 20)

    assert "has not ended" in await given_up()
    await orders.advance("gold/5", Standing.CANCELLED, 6, "1")
    assert await given_up() is None
    assert await given_up() == "it has no account there"
    # Somebody says which is the next one: none is made for a vault that had one.
    assert (await fills.account("gold", "hyper"), await fills.account_had("gold", "hyper")) == (None, "")
    assert await fills.account_had("iron", "hyper") is None
    assert await fills.begin("iron", "hyper", "0xa", "1", "1", 21) == "0xa"
    # What the new one did before is none of the vault's, though orders were sent from the old one.
    assert await fills.begin("gold", "hyper", "0xb", "70", "80", 22) == "0xb"
    assert await fills.cursors("gold", "hyper") == ("70", "80")
    vaults = Vaults(pool, frozenset(), RiskTemplate(frozenset(), None, {}))
    assert [one[:4] for one in await vaults.changes("gold", 9)] == [
        ("account given up at hyper", "ada", "a new key (it was 0xa)", 20)
    ]
