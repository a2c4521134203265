"""The official SDK against the local Polymarket, unmodified; and the signatures that others published."""

import json
import time
from pathlib import Path

import httpx
import pytest
from eth_account import Account
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    ApiCreds,
    AssetType,
    BalanceAllowanceParams,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderPayload,
    OrderType,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.signer import Signer

from core.market import Side
from core.tickets import price_from, size_from
from venues.blocking import in_thread
from venues.local.hyperliquid_actions import Price
from venues.local.polymarket import LocalPolymarket
from venues.local.polymarket_books import MARKETS, Funded
from venues.local.polymarket_signatures import NotSigned, consenting, order_hash, request_code, signer
from venues.polymarket_signing import Terms, Wallet

KEY, STRANGER = "0x" + "61" * 32, "0x" + "62" * 32
ADDRESS = Account.from_key(KEY).address
RAIN, SNOW = MARKETS
TOKEN = RAIN.tokens[0]


@pytest.fixture
async def venue():
    made = LocalPolymarket()
    await made.start()
    made.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 10_000_000_000, TOKEN, size_from("200")))
    yield made
    await made.stop()


@pytest.fixture
async def sdk(venue):
    """Calls of the SDK, which blocks."""
    client = ClobClient(venue.url, 137, KEY)
    client.set_api_creds(await in_thread(client.create_or_derive_api_key))

    async def call(name, *arguments, **named):
        return await in_thread(lambda: getattr(client, name)(*arguments, **named))

    call.client = client
    return call


@pytest.fixture
def vectors(recorded):
    return {one["id"]: one for one in recorded("vectors/polymarket-signing.json")["vectors"]}


LEFT_OUT = {"order_v1_ctf": "orders of version 1, which the venue takes no more"}


def test_every_published_vector_is_run_here_or_left_out_on_purpose(vectors):
    here = Path(__file__).read_text()
    run = {name for name in vectors if f'vectors["{name}"]' in here}
    assert run.isdisjoint(LEFT_OUT)
    assert run | set(LEFT_OUT) == set(vectors)


async def test_credentials_are_the_same_for_the_same_key(venue, sdk):
    assert await sdk("derive_api_key") == sdk.client.creds
    with pytest.raises(PolyApiException, match="Could not derive"):
        await in_thread(ClobClient(venue.url, 137, STRANGER).derive_api_key)


async def test_a_limit_order_waits_is_shown_and_cancelled(sdk):
    order = OrderArgsV2(TOKEN, 0.45, 50, "BUY")
    answer = await sdk("create_and_post_order", order)
    assert (answer["success"], answer["status"]) == (True, "live")
    (row,) = await sdk("get_open_orders", OpenOrderParams())
    assert (row["id"], row["price"], row["original_size"]) == (answer["orderID"], "0.45", "50")
    assert await sdk("get_order", answer["orderID"]) == row
    cancelled = await sdk("cancel_order", OrderPayload(answer["orderID"]))
    assert cancelled == {"canceled": [answer["orderID"]], "not_canceled": {}}
    again = await sdk("cancel_order", OrderPayload(answer["orderID"]))
    assert list(again["not_canceled"]) == [answer["orderID"]]


@pytest.mark.parametrize(
    ("token", "side", "amount", "dollars", "shares"),
    [(SNOW.tokens[0], "BUY", 100, "9894.312", "476.19"), (TOKEN, "SELL", 50, "10024.95", "150")],
)
async def test_orders_at_the_market_trade_and_move_money(sdk, token, side, amount, dollars, shares):
    answer = await sdk(
        "create_and_post_market_order", MarketOrderArgsV2(token, amount, side, order_type=OrderType.FAK)
    )
    assert answer["status"] == "matched"
    trades = await sdk("get_trades", TradeParams(maker_address=ADDRESS))
    assert {trade["taker_order_id"] for trade in trades} == {answer["orderID"]}
    assert {trade["status"] for trade in trades} == {"CONFIRMED"}
    cash = await sdk("get_balance_allowance", BalanceAllowanceParams(AssetType.COLLATERAL))
    held = await sdk("get_balance_allowance", BalanceAllowanceParams(AssetType.CONDITIONAL, token))
    assert int(held["balance"]) == size_from(shares) // 100
    # What a whole hundredth of a share does not use up is not spent.
    assert abs(int(cash["balance"]) - price_from(dollars) // 100) <= 5_000


@pytest.mark.parametrize(
    ("order", "kind", "words"),
    [
        (OrderArgsV2(TOKEN, 0.5, 1, "BUY"), OrderType.GTC, "lower than the minimum"),
        (OrderArgsV2(TOKEN, 0.5, 100_000, "BUY"), OrderType.GTC, "not enough balance"),
        (OrderArgsV2(TOKEN, 0.5, 201, "SELL"), OrderType.GTC, "not enough balance"),
        (OrderArgsV2(TOKEN, 0.45, 50, "BUY", 10), OrderType.GTD, "invalid expiration"),
        (OrderArgsV2(TOKEN, 0.2, 50, "BUY"), OrderType.FAK, "no orders found to match"),
        (OrderArgsV2(TOKEN, 0.51, 19_000, "BUY"), OrderType.FOK, "fully filled"),
        (OrderArgsV2(TOKEN, 0.501, 50.55, "SELL"), OrderType.FAK, "max accuracy of 2 decimals"),
    ],
)
async def test_refusals_have_the_venues_words(venue, sdk, order, kind, words):
    with pytest.raises(PolyApiException, match=words):
        await sdk("create_and_post_order", order, order_type=kind)
    assert venue.books.placed == {}


async def test_post_only_and_the_same_order_again(sdk):
    crossing = await sdk("create_order", OrderArgsV2(TOKEN, 0.6, 50, "BUY"))
    with pytest.raises(PolyApiException, match="crosses book"):
        await sdk("post_order", crossing, OrderType.GTC, True)
    waiting = await sdk("create_order", OrderArgsV2(TOKEN, 0.4, 50, "BUY"))
    assert (await sdk("post_order", waiting, OrderType.GTC, True))["status"] == "live"
    with pytest.raises(PolyApiException, match="Duplicated"):
        await sdk("post_order", waiting, OrderType.GTC, True)


async def test_a_waiting_order_trades_as_a_maker_when_the_market_comes(venue, sdk):
    answer = await sdk("create_and_post_order", OrderArgsV2(TOKEN, 0.45, 50, "BUY"))
    venue.do(Price(TOKEN, price_from("0.4")))
    (trade,) = await sdk("get_trades", TradeParams(maker_address=ADDRESS))
    (maker,) = trade["maker_orders"]
    assert (trade["trader_side"], trade["side"], maker["order_id"]) == ("MAKER", "SELL", answer["orderID"])


async def test_markets_whose_outcomes_exclude_one_another_have_another_contract_and_fees(venue, sdk):
    token = SNOW.tokens[0]
    answer = await sdk("create_and_post_order", OrderArgsV2(token, 0.21, 100, "BUY"))
    assert answer["status"] == "matched"
    # 0.072 x 0.21 x 0.79 on each of a hundred shares, and what they cost.
    cash = await sdk("get_balance_allowance", BalanceAllowanceParams(AssetType.COLLATERAL))
    assert int(cash["balance"]) == 10_000_000_000 - 21_000_000 - 1_194_480


@pytest.mark.parametrize("change", ["body", "key", "secret", "owner", "stranger"])
async def test_who_is_not_who_they_say_is_not_heard(venue, sdk, change):
    client = sdk.client
    order = await sdk("create_order", OrderArgsV2(TOKEN, 0.45, 50, "BUY"))
    given = client.creds
    if change == "key":
        client.creds = ApiCreds("made-up", given.api_secret, given.api_passphrase)
    elif change == "secret":
        client.creds = ApiCreds(given.api_key, "A" * 43 + "=", given.api_passphrase)
    elif change == "owner":
        order.maker = Account.from_key(STRANGER).address
    elif change == "body":
        order.makerAmount = "1000000"
    else:
        client = ClobClient(venue.url, 137, STRANGER)
        client.set_api_creds(await in_thread(client.create_api_key))
    with pytest.raises(PolyApiException, match=r"invalid signature|Unauthorized|payload"):
        await in_thread(lambda: client.post_order(order))
    assert venue.books.placed == {}


async def test_prices_and_books_are_told_as_by_the_venue(sdk, recorded):
    book = await sdk("get_order_book", TOKEN)
    real = recorded("polymarket/http-book.json")
    assert real.keys() <= book.keys()
    assert real["bids"][0].keys() == book["bids"][0].keys()
    # The best ones are the last ones.
    assert [float(level["price"]) for level in book["bids"]] == sorted(
        float(x["price"]) for x in book["bids"]
    )
    assert float(book["asks"][-1]["price"]) == min(float(x["price"]) for x in book["asks"])
    assert (await sdk("get_midpoint", TOKEN), await sdk("get_tick_size", TOKEN)) == ({"mid": "0.5"}, "0.001")
    with pytest.raises(PolyApiException, match="No orderbook exists"):
        await sdk("get_order_book", "1")


async def test_trades_have_the_recorded_shape(sdk, recorded):
    await sdk("create_and_post_order", OrderArgsV2(TOKEN, 0.51, 50, "BUY"))
    real = recorded("polymarket/ws-trades.json")
    (trade,) = await sdk("get_trades")
    assert trade.keys() == real.keys()
    assert trade["maker_orders"][0].keys() == real["maker_orders"][0].keys()


async def test_books_orders_and_credentials_survive_a_kill(tmp_path):
    journal = tmp_path / "books"
    venue = LocalPolymarket(journal=journal)
    await venue.start()
    venue.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 10_000_000_000))
    client = ClobClient(venue.url, 137, KEY)
    client.set_api_creds(await in_thread(client.create_or_derive_api_key))
    for price in (0.51, 0.45):
        await in_thread(
            lambda price=price: client.create_and_post_order(OrderArgsV2(TOKEN, price, 50, "BUY"))
        )
    await venue.stop()
    again = LocalPolymarket(journal=journal)
    await again.start()
    client.host = again.url
    assert await in_thread(client.derive_api_key) == client.creds
    assert len(await in_thread(client.get_open_orders)) == 1
    assert len(await in_thread(client.get_trades)) == 1
    async with httpx.AsyncClient() as http:
        rows = (await http.get(f"{again.url}/positions", params={"user": ADDRESS})).json()
    assert [(row["asset"], row["size"]) for row in rows] == [(TOKEN, 50)]
    await again.stop()


async def test_an_order_ends_a_minute_before_it_says(monkeypatch):
    now = time.time_ns()
    venue = LocalPolymarket(clock=lambda: now)
    await venue.start()
    venue.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 10_000_000_000))
    client = ClobClient(venue.url, 137, KEY)
    client.set_api_creds(await in_thread(client.create_or_derive_api_key))
    order = OrderArgsV2(TOKEN, 0.45, 50, "BUY", now // 10**9 + 100)
    posted = await in_thread(lambda: client.create_and_post_order(order, order_type=OrderType.GTD))
    now += 39 * 10**9
    venue.do(Price(TOKEN, price_from("0.5")))
    assert (await in_thread(lambda: client.get_order(posted["orderID"])))["status"] == "LIVE"
    now += 2 * 10**9
    venue.do(Price(TOKEN, price_from("0.4")))
    assert (await in_thread(lambda: client.get_order(posted["orderID"])))["status"] == "CANCELED"
    await venue.stop()


def test_published_consent_and_request_codes(vectors):
    given = vectors["clob_auth"]
    address = Account.from_key(given["private_key"]).address
    terms = given["inputs"]
    asked = (address, str(terms["timestamp"]), terms["nonce"], terms["chain_id"])
    assert consenting(*asked, given["expected"]["signature"]) == address.lower()
    given = vectors["l2_hmac"]
    asked = [given["inputs"][name] for name in ("secret", "timestamp", "method", "path", "body")]
    assert request_code(*asked) == given["expected"]["signature"]


def test_a_published_order_of_a_contract_wallet(vectors):
    given = vectors["order_v2_poly1271"]
    order = {**given["inputs"]["order"], "side": "BUY", "signature": given["expected"]["signature"]}
    assert signer(order, 80_002, False) == Account.from_key(given["private_key"]).address.lower()
    for change in ({"salt": 1}, {"signature": "0x" + "11" * 65}, {"maker": "0x0"}):
        with pytest.raises(NotSigned):
            signer({**order, **change}, 80_002, False)
    with pytest.raises(NotSigned):
        signer(order, 80_002, True)


def test_the_driver_signs_a_published_order_to_the_byte(vectors):
    given = vectors["order_v2_poly1271"]
    order = given["inputs"]["order"]
    wallet = Wallet(Signer(given["private_key"], 80_002), order["maker"], order["signatureType"], 80_002)
    amounts = order["makerAmount"], order["takerAmount"], order["timestamp"], 0, order["salt"]
    body, name = wallet.signed(Terms(str(order["tokenId"]), Side.BUY, *amounts), False, False)
    assert body["order"]["signature"] == given["expected"]["signature"]
    assert name == order_hash({**order, "side": "BUY"}, 80_002, False)


async def test_ids_of_orders_are_those_of_the_sdk(sdk):
    order = await sdk("create_order", OrderArgsV2(TOKEN, 0.45, 50, "BUY"))
    answer = await sdk("post_order", order)
    wire = {**vars(order), "side": "BUY", "signatureType": int(order.signatureType)}
    assert answer["orderID"] == order_hash(json.loads(json.dumps(wire)), 137, False)
