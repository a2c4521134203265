"""Recorded Solana accounts, parsed and over a real JSON-RPC answer; accounts of others are refused."""

import base64
import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from oracles.polling import SourceFailed
from oracles.price import Price
from oracles.pyth_account import (
    DISCRIMINATOR,
    LEGACY_ORACLE,
    LEGACY_SOURCE,
    RECEIVER,
    SOURCE,
    PriceAccountAt,
    PythAccounts,
    UpdateAt,
    parse_price_account,
    parse_price_update,
    sponsored_address,
)
from oracles.refusal import Reason, Refused

FEEDS = {market.symbol: market.feed for market in DEFAULT_MARKETS}
SOL = FEEDS["SOL-PERP"]
SOL_ADDRESS = Pubkey.from_string("7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE")


def bytes_of(account) -> bytes:
    return base64.b64decode(account["data_base64"])


@pytest.fixture
def updates(pyth):
    return [one for one in pyth("solana-price-accounts")["accounts"] if one["layout"] == "PriceUpdateV2"]


@pytest.fixture
def legacy(pyth) -> dict:
    return pyth("legacy-price-account-AAPL")


def refused(parse, *arguments) -> Reason:
    with pytest.raises(Refused) as error:
        parse(*arguments)
    return error.value.reason


def test_recorded_updates_have_the_values_others_decoded(updates):
    assert updates
    for one in updates:
        parsed, expected = parse_price_update(bytes_of(one)), one["decoded_here"]
        assert parsed.posted_slot == expected["posted_slot"]
        assert parsed.message.feed == expected["feed_id"] == SOL
        assert [parsed.message.price, parsed.message.confidence] == [expected["price"], expected["conf"]]
        assert [parsed.message.exponent, parsed.message.ema_price] == [-8, expected["ema_price"]]
        assert parsed.message.publish_time == expected["publish_time"]


def test_the_sponsored_address_is_the_recorded_ones():
    assert sponsored_address(SOL) == SOL_ADDRESS
    assert sponsored_address(SOL, shard=1) != SOL_ADDRESS


def test_spoiled_updates_are_refused(updates):
    good = bytes_of(updates[0])
    assert refused(parse_price_update, b"") is Reason.WRONG_ACCOUNT
    assert refused(parse_price_update, bytes(8) + good[8:]) is Reason.WRONG_ACCOUNT
    assert refused(parse_price_update, good[:20]) is Reason.TRUNCATED
    assert refused(parse_price_update, good[:120]) is Reason.TRUNCATED
    partial = good[:40] + b"\0\5" + good[41:]
    assert refused(parse_price_update, partial) is Reason.NOT_FULLY_VERIFIED


def test_the_recorded_price_account_trades_while_it_is_young(legacy):
    data, expected = bytes_of(legacy), legacy["expected"]["aggregate"]
    price = parse_price_account("AAPL", data, expected["pub_slot"] + 50)
    assert [price.value, price.exponent, price.confidence] == [23_623_373, -5, expected["raw_conf"]]
    assert price.source == LEGACY_SOURCE
    assert price.published_at > 1_600_000_000 * SECOND
    assert refused(parse_price_account, "AAPL", data, expected["pub_slot"] + 51) is Reason.NOT_TRADING


def test_spoiled_price_accounts_are_refused(legacy):
    data, slot = bytes_of(legacy), legacy["expected"]["aggregate"]["pub_slot"]
    for spoiled, reason in (
        (b"", Reason.TRUNCATED),
        (data[:100], Reason.TRUNCATED),
        (b"\0" + data[1:], Reason.WRONG_ACCOUNT),
        (data[:8] + b"\2" + data[9:], Reason.WRONG_ACCOUNT),
        (data[:20] + b"\xff\xff\xff\x7f" + data[24:], Reason.OUT_OF_RANGE),
        (data[:12] + (20).to_bytes(4, "little") + data[16:], Reason.TRUNCATED),
        (data[:12] + (100).to_bytes(4, "little") + data[16:], Reason.WRONG_ACCOUNT),
        (data[:16] + b"\xff" + data[17:], Reason.WRONG_ACCOUNT),
    ):
        assert refused(parse_price_account, "AAPL", spoiled, slot) is reason


@given(st.binary(max_size=300))
def test_noise_is_refused_not_an_accident(noise):
    for data in (noise, DISCRIMINATOR + noise):
        try:
            parse_price_update(data)
        except Refused:
            continue
        assert len(data) >= 133


def node(site, slot: int, accounts) -> None:
    """Answer `getMultipleAccounts` as a node does."""

    async def handle(request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["method"] == "getMultipleAccounts"
        value = [
            account
            and {
                "data": [base64.b64encode(account[1]).decode(), "base64"],
                "executable": False,
                "lamports": 1,
                "owner": str(account[0]),
                "rentEpoch": 0,
                "space": len(account[1]),
            }
            for account in (accounts.get(address) for address in asked["params"][0])
        ]
        result = {"context": {"slot": slot, "apiVersion": "2.0.0"}, "value": value}
        return web.Response(
            text=json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}),
            content_type="application/json",
        )

    site.routes["/"] = handle


async def test_all_places_are_read_at_once_each_with_its_price_or_reason(site, http, updates, legacy):
    good, aapl = bytes_of(updates[0]), bytes_of(legacy)
    keys = {name: Pubkey.new_unique() for name in ("aapl", "stranger", "other", "gone")}
    accounts = {
        str(SOL_ADDRESS): (RECEIVER, good),
        str(keys["aapl"]): (LEGACY_ORACLE, aapl),
        str(keys["stranger"]): (Pubkey.new_unique(), good),
        str(keys["other"]): (RECEIVER, good),
    }
    node(site, legacy["expected"]["aggregate"]["pub_slot"], accounts)
    feeds, older = {"SOL-PERP": SOL, "BTC-PERP": FEEDS["BTC-PERP"]}, {"BTC-PERP": str(keys["aapl"])}
    named = await PythAccounts.of(http, site.url, feeds, older).latest()
    assert named.pop("BTC-PERP").value == 23_623_373
    expected = updates[0]["decoded_here"]
    assert named == {
        "SOL-PERP": Price(
            "SOL-PERP",
            expected["price"],
            -8,
            expected["conf"],
            expected["publish_time"] * SECOND,
            SOURCE,
        )
    }
    read = await PythAccounts(
        http,
        site.url,
        {
            "AAPL": PriceAccountAt(keys["aapl"]),
            "STRANGER": UpdateAt(keys["stranger"], SOL),
            "OTHER": UpdateAt(keys["other"], FEEDS["BTC-PERP"]),
            "GONE": UpdateAt(keys["gone"], SOL),
            "OLD": PriceAccountAt(SOL_ADDRESS),
        },
    ).latest()
    assert read.pop("AAPL").value == 23_623_373
    assert {symbol: refusal.reason for symbol, refusal in read.items()} == {
        "STRANGER": Reason.WRONG_OWNER,
        "OTHER": Reason.WRONG_FEED,
        "GONE": Reason.WRONG_ACCOUNT,
        "OLD": Reason.WRONG_OWNER,
    }


async def test_the_recorded_stale_price_account_is_no_price(site, http, pyth):
    stale = next(
        one for one in pyth("solana-price-accounts")["accounts"] if one["layout"].startswith("legacy")
    )
    address, owner = Pubkey.from_string(stale["pubkey"]), Pubkey.from_string(stale["owner"])
    node(site, 299_058_500, {stale["pubkey"]: (owner, bytes_of(stale))})
    read = await PythAccounts(http, site.url, {"SOL-PERP": PriceAccountAt(address, owner)}).latest()
    assert read["SOL-PERP"].reason is Reason.NOT_TRADING


@pytest.mark.parametrize(
    "body",
    [
        *("", "{}", "\xff", '{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"behind"}}'),
        '{"result":{"context":{"slot":1},"value":[null]}}',
        '{"x":' + "[" * 100_000,
    ],
)
async def test_a_node_that_makes_no_sense_is_unavailable(site, http, body):
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body.encode("latin-1"), content_type="application/json")

    site.routes["/"] = handle
    for url, code in ((site.url, "accounts_unavailable"), ("http://127.0.0.1:1", "unreachable")):
        with pytest.raises(SourceFailed) as error:
            await PythAccounts.of(http, url, FEEDS, {}).latest()
        assert error.value.code == code
