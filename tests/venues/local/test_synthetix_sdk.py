"""Synthetix's own SDK, as it is published, against the local venue: what it sends is taken and what it gets it understands."""

import asyncio

import pytest
import requests
from eth_account import Account
from synthetix import Synthetix
from synthetix.rest.api import ClientError

from core.tickets import price_from
from venues.local.hyperliquid_actions import Funding, Price
from venues.local.synthetix import LocalSynthetix, Opened

KEY = "0x" + "03" * 32
ADDRESS = Account.from_key(KEY).address
CLIENT = "0x" + "5" * 32


@pytest.fixture
async def venue():
    made = LocalSynthetix()
    await made.start()
    made.do(Opened(ADDRESS, 100_000_000_000))
    yield made
    await made.stop()


@pytest.fixture
async def sdk(venue):
    made = await call(
        Synthetix,
        KEY,
        rest_url=f"{venue.url}/v1",
        ws_url=f"{venue.url.replace('http', 'ws')}/v1/ws",
        timeout=10,
    )
    yield made
    made._api.session.close()
    made._ws_api.session.close()


def call(function, *args, **kwargs):
    """The SDK blocks, and the venue it talks to is in this very loop."""
    return asyncio.to_thread(function, *args, **kwargs)


def status(answer):
    (one,) = answer["statuses"]
    return one


async def test_it_finds_its_account_and_the_markets(sdk, venue):
    assert str(sdk.subaccount_id) in venue.owners
    markets = {market["symbol"]: market for market in await call(sdk.get_markets)}
    assert markets["XAU-USDT"]["priceIncrement"] == "0.01"
    prices = (await call(sdk.get_market_prices))["XAU-USDT"]
    book = await call(sdk.get_orderbook, "XAU-USDT")
    assert price_from(book["bids"][0][0].removesuffix(".0")) == price_from(prices["bestBid"])
    summary = (await call(sdk.get_sub_account, sdk.subaccount_id))["crossMarginSummary"]
    assert summary["accountValue"] == "100000.0"


async def test_an_order_rests_is_seen_and_cancelled(sdk):
    answer = await call(sdk.place_order, "XAU-USDT", "buy", "0.5", "3900.5", client_order_id=CLIENT)
    resting = status(answer)["resting"]
    assert resting["order"]["clientId"] == CLIENT
    (waiting,) = await call(sdk.get_open_orders)
    assert (waiting["order"]["venueId"], waiting["price"]) == (resting["order"]["venueId"], "3900.5")
    assert status(await call(sdk.cancel_order_by_cloid, CLIENT))["canceled"]["order"] == resting["order"]
    assert status(await call(sdk.cancel_order_by_cloid, CLIENT))["errorCode"] == "ORDER_NOT_FOUND"
    other = await call(sdk.place_order, "XAU-USDT", "buy", "0.5", "3900.5")
    number = int(status(other)["resting"]["order"]["venueId"])
    assert "canceled" in status(await call(sdk.cancel_orders, [number]))
    assert await call(sdk.get_open_orders) == []
    history = await call(sdk.get_order_history)
    assert [one["status"] for one in history] == ["cancelled", "cancelled"]


async def test_a_market_order_fills_and_is_in_every_list(sdk, venue):
    filled = status(await call(sdk.market_order, "XAU-USDT", "sell", "0.5"))["filled"]
    assert filled["totalSize"] == "0.5"
    (held,) = await call(sdk.get_positions)
    assert (held["side"], held["quantity"], held["symbol"]) == ("short", "0.5", "XAU-USDT")
    (trade,) = (await call(sdk.get_trades))["trades"]
    assert (trade["order"]["venueId"], trade["side"], trade["maker"]) == (
        filled["order"]["venueId"],
        "sell",
        False,
    )
    venue.do(Funding("XAU-USDT", price_from("0.0001")))
    (paid,) = (await call(sdk.get_funding_payments))["fundingHistory"]
    assert paid["payment"] == "0.2"
    venue.do(Price("XAU-USDT", price_from("3900")))
    assert (await call(sdk.get_positions))[0]["unrealizedPnl"].startswith("49.")


@pytest.mark.parametrize(
    ("code", "terms"),
    [
        ("INSUFFICIENT_MARGIN", ("buy", "600", "3990")),
        ("MIN_NOTIONAL_NOT_MET", ("buy", "0.001", "3990")),
        ("INVALID_PRICE", ("buy", "1", "3990.001")),
        ("INVALID_QUANTITY", ("buy", "1.0001", "3990")),
        ("PRICE_OUT_OF_BOUNDS", ("buy", "1", "100")),
    ],
)
async def test_what_is_refused_has_the_venues_code(sdk, code, terms):
    refused = status(await call(sdk.place_order, "XAU-USDT", *terms))
    assert refused["errorCode"] == code
    assert await call(sdk.get_trades) == {"trades": [], "hasMore": False, "total": 0}


async def test_the_same_client_id_is_good_once(sdk):
    await call(sdk.place_order, "XAU-USDT", "buy", "1", "3900", client_order_id=CLIENT)
    again = await call(sdk.place_order, "XAU-USDT", "buy", "1", "3900", client_order_id=CLIENT)
    assert status(again)["errorCode"] == "IDEMPOTENCY_CONFLICT"
    assert len(await call(sdk.get_open_orders)) == 1


async def test_a_request_is_good_once_and_only_as_it_was_signed(sdk, venue):
    order = {"symbol": "XAU-USDT", "side": "buy", "orderType": "limitGtc", "price": "3900", "quantity": "1"}
    request = sdk._signer.sign_place_orders(sdk.subaccount_id, [order])

    def post(body):
        return requests.post(f"{venue.url}/v1/trade", json=body, timeout=10)

    assert (await call(post, request)).status_code == 200
    again = await call(post, request)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "INVALID_NONCE")
    request["params"]["orders"][0]["quantity"] = "2"
    changed = await call(post, {**request, "nonce": request["nonce"] + 1})
    assert changed.status_code == 401
    late = sdk._signer.sign_place_orders(sdk.subaccount_id, [order], expires_after_ms=-10_000)
    assert (await call(post, late)).json()["error"]["code"] == "REQUEST_EXPIRED"
    assert len(await call(sdk.get_open_orders)) == 1


async def test_nobody_elses_account(venue):
    stranger = await call(
        Synthetix,
        "0x" + "04" * 32,
        int(next(iter(venue.owners))),
        f"{venue.url}/v1",
        f"{venue.url}/v1/ws",
        timeout=10,
    )
    with pytest.raises(ClientError, match="401"):
        await call(stranger.get_positions)
    stranger._api.session.close()
    stranger._ws_api.session.close()
