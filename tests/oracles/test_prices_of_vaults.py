"""What vaults hold, priced by Pyth: recorded replies of Hermes and a Solana node, each source failing in turn."""

import json

import pytest
from aiohttp import web

from core.quantities import SECOND
from core.tickets import price_from
from oracles.chainlink import MAINNET, XAU_USD
from oracles.refusal import Refused
from settings import Settings
from trading import MARKETS, PYTH_GOLD, trading
from venues.prices import LAST_AGE_MAX, LegPrice, NoPrice, Standing

UPDATE, SECOND_OF_UPDATE = "ton:HERMES_BTC_ETH_UPDATE", 1_724_826_310
BTC = LegPrice(price_from("59240.02645461"), SECOND_OF_UPDATE * SECOND, "pyth hermes", Standing.ORACLE)
SOL = price_from("215.68137069")


class Pyth:
    """Hermes and a Solana node on one site, which say what was recorded, or break as told."""

    def __init__(self, site, pyth) -> None:
        self.site = site
        [update] = [one for one in pyth("hermes-accumulator-updates")["items"] if one["id"] == UPDATE]
        self.update = update["data"]
        accounts = pyth("solana-price-accounts")["accounts"]
        [self.account] = [one for one in accounts if one["id"] == "tests/fixtures/sol_pyth_price_feed.json"]
        self.refuses_for_s = 0
        self.now = (SECOND_OF_UPDATE + 1) * SECOND
        self.asked: list[web.Request] = []
        site.routes |= {"/v2/updates/price/latest": self._hermes, "/": self._node}

    async def _hermes(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.refuses_for_s:
            return web.Response(status=429, headers={"Retry-After": str(self.refuses_for_s)})
        return web.Response(text=json.dumps({"binary": {"encoding": "hex", "data": [self.update]}}))

    async def _node(self, request: web.Request) -> web.StreamResponse:
        addresses, _ = (await request.json())["params"]
        there = {"owner": self.account["owner"], "data": [self.account["data_base64"], "base64"]}
        value = [there if address == self.account["pubkey"] else None for address in addresses]
        return web.json_response(
            {"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": 1}, "value": value}}
        )


@pytest.fixture
def world(site, pyth):
    return Pyth(site, pyth)


@pytest.fixture
def guardians_file(tmp_path, hand_overs):
    file = tmp_path / "guardians.txt"
    file.write_text("\n".join(one.hex() for one in hand_overs))
    return file


def nobody():
    raise AssertionError("no order for gold on chain is placed here")


def prices(world, directory, **given):
    def now():
        return world.now

    return trading(Settings(perpdex_data=directory, **given), nobody, now, elapsed=now)


async def test_hermes_prices_what_its_venue_does_not(world, tmp_path, guardians_file):
    terms = {"exec_pyth_url": world.site.url, "pyth_api_key": "of ours", "pyth_guardians": guardians_file}
    async with prices(world, tmp_path, **terms) as at:
        found = await at.prices.get_index_prices(["mock_gold::BTC", "mock_gold::XAU"])
        assert found["mock_gold::BTC"] == BTC
        # The recorded update has no gold.
        assert found["mock_gold::XAU"] == NoPrice(("Pyth (127.0.0.1): said nothing of it",))
        assert world.asked[0].headers["Authorization"] == "Bearer of ours"
        assert PYTH_GOLD in world.asked[0].query.getall("ids[]")
        assert len(world.asked[0].query.getall("ids[]")) == len(MARKETS) + 1
        # It is not asked again before it said.
        world.refuses_for_s, asked_at = 30, world.now
        for after_s, asked in ((2, 2), (29, 2), (1, 3)):
            world.now += after_s * SECOND
            again = (await at.prices.get_index_prices(["mock_gold::BTC"]))["mock_gold::BTC"]
            assert (again.price, again.standing, len(world.asked)) == (BTC.price, Standing.LAST_GOOD, asked)
        world.now = asked_at + LAST_AGE_MAX
        last = (await at.prices.get_index_prices(["mock_gold::BTC"]))["mock_gold::BTC"]
        assert last.standing is Standing.LAST_GOOD
        world.now += 1
        none = (await at.prices.get_index_prices(["mock_gold::BTC"]))["mock_gold::BTC"]
        assert none == NoPrice(
            (
                "Pyth (127.0.0.1): rate_limited: Hermes was asked too often (HTTP 429).",
                "pyth hermes: was good 600 s ago",
            )
        )


async def test_an_answer_that_nobody_trusted_signed_is_no_price(world, tmp_path):
    async with prices(world, tmp_path, exec_pyth_url=world.site.url) as at:
        found = (await at.prices.get_index_prices(["mock_gold::BTC"]))["mock_gold::BTC"]
        assert isinstance(found, NoPrice)
        assert "unknown_" in found.tried[0]


async def test_accounts_price_what_hermes_does_not_say(world, tmp_path, guardians_file):
    world.now = (1_735_984_087 + 10) * SECOND
    terms = {"exec_pyth_url": world.site.url, "pyth_guardians": guardians_file}
    async with prices(world, tmp_path, **terms, pyth_rpc_url=f"{world.site.url}/") as at:
        found = await at.prices.get_index_prices(["mock_gold::SOL", "mock_gold::BTC"])
        sol, btc = found["mock_gold::SOL"], found["mock_gold::BTC"]
        assert (sol.price, sol.source, sol.standing) == (SOL, "pyth account", Standing.ORACLE)
        # Hermes repeats one of months before, and the node has no account of it.
        assert isinstance(btc, NoPrice)
        assert btc.tried[0] == f"pyth hermes: {1_735_984_097 - SECOND_OF_UPDATE} s old"
        assert btc.tried[1].startswith("Pyth accounts (127.0.0.1): wrong_account: there is no account")


async def test_chainlink_stands_in_for_pyth_and_the_last_good_price_for_both(
    world, tmp_path, guardians_file, chainlink_node
):
    """Chainlink's round is of half an hour before: it is its newest, and good for as long as any other once the node is gone."""
    second = SECOND_OF_UPDATE - 1_800
    for name, price in (("BTC-PERP", 59_300), ("ETH-PERP", 2_600), ("SOL-PERP", 150), ("", 2_500)):
        feed = MAINNET.get(name, XAU_USD)
        chainlink_node.say(feed.address, feed.description, (1, price * 10**8, second, second, 1))
    chainlink_node.head["timestamp"] = SECOND_OF_UPDATE
    world.site.routes["/"] = chainlink_node.handle
    terms = {"exec_pyth_url": world.site.url, "pyth_guardians": guardians_file}
    async with prices(world, tmp_path, **terms, chainlink_rpc_url=f"{world.site.url}/") as at:

        async def told(symbol="BTC"):
            return (await at.prices.get_index_prices([f"mock_gold::{symbol}"]))[f"mock_gold::{symbol}"]

        def round_of(price, standing):
            return LegPrice(price_from(price), second * SECOND, "chainlink", standing)

        assert await told() == BTC
        assert await told("XAU") == round_of("2500", Standing.ORACLE)
        world.refuses_for_s = 30
        world.now += 10 * SECOND
        assert await told() == round_of("59300", Standing.ORACLE)
        chainlink_node.broken["eth_getBlockByNumber"] = 503
        asked_at, world.now = world.now, world.now + LAST_AGE_MAX
        assert await told() == round_of("59300", Standing.LAST_GOOD)
        world.now = asked_at + LAST_AGE_MAX + 1
        none = await told()
        assert none.tried[0].startswith("Pyth (127.0.0.1): rate_limited")
        assert none.tried[1:] == (
            "Chainlink (127.0.0.1): failing: The node answered HTTP 503.",
            "chainlink: was good 600 s ago",
        )


async def test_signers_that_cannot_be_believed_end_the_start(world, tmp_path):
    file = tmp_path / "guardians.txt"
    file.write_text("# nobody\n")
    with pytest.raises(Refused, match="holds no hand-over"):
        async with prices(world, tmp_path, exec_pyth_url=world.site.url, pyth_guardians=file):
            pass
