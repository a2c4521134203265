"""Hyperliquid's own SDK, as it is published, against the local venue: what it sends is taken and what it gets it understands."""

import asyncio
import queue

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid

from core.tickets import price_from
from venues.local.hyperliquid import LocalHyperliquid
from venues.local.hyperliquid_actions import Deposit, Funding, Price

KEY = "0x" + "01" * 32
OTHER = "0x" + "02" * 32
ADDRESS = Account.from_key(KEY).address
GTC = {"limit": {"tif": "Gtc"}}
CLOID = Cloid.from_str("0x00000000000000000000000000000001")


@pytest.fixture
async def venue():
    venue = LocalHyperliquid()
    await venue.start()
    for key in (KEY, OTHER):
        await venue.do(Deposit(Account.from_key(key).address, 100_000_000_000))
    yield venue
    await venue.stop()


@pytest.fixture
async def sdk(venue):
    made = await asyncio.to_thread(Exchange, Account.from_key(KEY), venue.url, timeout=10)
    yield made
    made.session.close()
    made.info.session.close()


def call(function, *args, **kwargs):
    """The SDK blocks, and the venue it talks to is in this very loop."""
    return asyncio.to_thread(function, *args, **kwargs)


def status(answer):
    (one,) = answer["response"]["data"]["statuses"]
    return one


async def test_an_order_rests_is_found_modified_and_cancelled(sdk):
    answer = await call(sdk.order, "PAXG", True, 0.5, 3900.0, GTC, cloid=CLOID)
    oid = status(answer)["resting"]["oid"]
    (waiting,) = await call(sdk.info.open_orders, ADDRESS)
    assert (waiting["coin"], waiting["limitPx"], waiting["sz"], waiting["side"]) == (
        "PAXG",
        "3900.0",
        "0.5",
        "B",
    )
    found = await call(sdk.info.query_order_by_cloid, ADDRESS, CLOID)
    assert (found["order"]["status"], found["order"]["order"]["oid"]) == ("open", oid)
    modified = await call(sdk.modify_order, oid, "PAXG", True, 0.4, 3901.0, GTC, cloid=CLOID)
    newer = status(modified)["resting"]["oid"]
    assert (await call(sdk.info.query_order_by_oid, ADDRESS, oid))["order"]["status"] == "canceled"
    (waiting,) = await call(sdk.info.frontend_open_orders, ADDRESS)
    assert (waiting["oid"], waiting["limitPx"], waiting["origSz"], waiting["tif"]) == (
        newer,
        "3901.0",
        "0.4",
        "Gtc",
    )
    assert status(await call(sdk.cancel_by_cloid, "PAXG", CLOID)) == "success"
    assert "never placed" in status(await call(sdk.cancel, "PAXG", newer))["error"]
    assert await call(sdk.info.open_orders, ADDRESS) == []


async def test_a_market_order_opens_and_closes_a_position(sdk):
    opened = status(await call(sdk.market_open, "PAXG", True, 0.5))["filled"]
    assert opened["totalSz"] == "0.5"
    state = await call(sdk.info.user_state, ADDRESS)
    (held,) = state["assetPositions"]
    assert (held["position"]["coin"], held["position"]["szi"]) == ("PAXG", "0.5")
    assert held["position"]["entryPx"] == opened["avgPx"]
    assert float(state["marginSummary"]["accountValue"]) < 100_000
    closed = status(await call(sdk.market_close, "PAXG"))["filled"]
    fills = await call(sdk.info.user_fills, ADDRESS)
    assert [fill["oid"] for fill in fills] == [closed["oid"], opened["oid"]]
    assert [fill["dir"] for fill in fills] == ["Close Long", "Open Long"]
    assert (await call(sdk.info.user_state, ADDRESS))["assetPositions"] == []
    left = 100_000 + sum(float(fill["closedPnl"]) - float(fill["fee"]) for fill in fills)
    after = (await call(sdk.info.user_state, ADDRESS))["marginSummary"]["accountValue"]
    assert float(after) == pytest.approx(left, abs=1e-6)


async def test_two_accounts_trade_with_each_other(sdk, venue):
    other = await call(Exchange, Account.from_key(OTHER), venue.url, timeout=10)
    best = price_from("4000")
    resting = await call(other.order, "PAXG", False, 1.0, 4000.0, {"limit": {"tif": "Alo"}})
    taken = status(await call(sdk.order, "PAXG", True, 1.0, 4001.0, {"limit": {"tif": "Ioc"}}))
    assert price_from(taken["filled"]["avgPx"]) == best
    (sold,) = await call(other.info.user_fills, other.wallet.address)
    (bought,) = await call(sdk.info.user_fills, ADDRESS)
    assert (sold["crossed"], bought["crossed"]) == (False, True)
    assert sold["oid"] == status(resting)["resting"]["oid"]
    assert (sold["tid"], sold["time"], sold["sz"]) == (bought["tid"], bought["time"], bought["sz"])
    other.session.close()
    other.info.session.close()


async def test_leverage_margin_and_what_is_refused(sdk):
    assert (await call(sdk.update_leverage, 2, "PAXG"))["status"] == "ok"
    assert (await call(sdk.update_leverage, 11, "PAXG"))["response"] == "Invalid leverage value"
    words = {
        "margin": await call(sdk.order, "PAXG", True, 60.0, 3990.0, GTC),
        "minimum": await call(sdk.order, "PAXG", True, 0.002, 3990.0, GTC),
        "tick": await call(sdk.order, "PAXG", True, 1.0, 3990.05, GTC),
        "size": await call(sdk.order, "PAXG", True, 1.0001, 3990.0, GTC),
        "far": await call(sdk.order, "PAXG", True, 1.0, 100.0, GTC),
        "alo": await call(sdk.order, "PAXG", True, 1.0, 4100.0, {"limit": {"tif": "Alo"}}),
        "ioc": await call(sdk.order, "PAXG", True, 1.0, 3900.0, {"limit": {"tif": "Ioc"}}),
        "reduce": await call(sdk.order, "PAXG", True, 1.0, 4100.0, GTC, reduce_only=True),
    }
    starts = {
        "margin": "Insufficient margin",
        "minimum": "Order must have minimum value of $10.",
        "tick": "Price must be divisible by tick size.",
        "size": "Order has invalid size.",
        "far": "Order price too far from oracle",
        "alo": "Post only order would have immediately matched, bbo was ",
        "ioc": "Order could not immediately match against any resting orders.",
        "reduce": "Reduce only order would increase position.",
    }
    for name, answer in words.items():
        assert status(answer)["error"].startswith(starts[name]), name
    assert await call(sdk.info.user_fills, ADDRESS) == []
    assert status(await call(sdk.order, "PAXG", True, 40.0, 3990.0, GTC))["resting"]


async def test_only_the_accounts_key_and_its_agents_may_act(sdk, venue):
    stranger = await call(Exchange, Account.from_key("0x" + "03" * 32), venue.url, timeout=10)
    refused = await call(stranger.order, "PAXG", True, 1.0, 3900.0, GTC)
    assert refused == {
        "status": "err",
        "response": f"User or API Wallet {stranger.wallet.address.lower()} does not exist.",
    }
    answer, key = await call(sdk.approve_agent, "desk")
    assert answer["status"] == "ok"
    agent = await call(Exchange, Account.from_key(key), venue.url, account_address=ADDRESS, timeout=10)
    oid = status(await call(agent.order, "PAXG", True, 1.0, 3900.0, GTC))["resting"]["oid"]
    assert (await call(sdk.info.query_order_by_oid, ADDRESS, oid))["order"]["status"] == "open"
    for made in (stranger, agent):
        made.session.close()
        made.info.session.close()


async def test_money_is_sent_by_its_owner(sdk):
    to = "0x" + "ab" * 20
    assert (await call(sdk.usd_transfer, 12.5, to))["status"] == "ok"
    assert (await call(sdk.info.user_state, to))["withdrawable"] == "12.5"
    assert (await call(sdk.usd_transfer, 100_000.0, to))["response"] == "Insufficient balance for withdrawal"


async def test_a_request_is_good_once_and_only_as_it_was_signed(sdk):
    sent = []
    real = sdk.session.post

    def spy(url, json=None, timeout=None):
        sent.append((url, json))
        return real(url, json=json, timeout=timeout)

    sdk.session.post = spy
    await call(sdk.order, "PAXG", True, 1.0, 3900.0, GTC)
    url, body = sent[0]
    again = (await call(real, url, json=body)).json()
    assert again["status"] == "err"
    assert "duplicate nonce" in again["response"]
    changed = {**body, "nonce": body["nonce"] + 1}
    assert "does not exist" in (await call(real, url, json=changed)).json()["response"]
    old = {**body, "nonce": body["nonce"] - 3 * 86_400_000}
    assert (await call(real, url, json=old)).json()["status"] == "err"
    sdk.set_expires_after(1)
    expired = await call(sdk.order, "PAXG", True, 1.0, 3900.0, GTC)
    assert "expired" in expired["response"]
    assert len(await call(sdk.info.open_orders, ADDRESS)) == 1


async def test_funding_is_paid_and_told(sdk, venue):
    await call(sdk.market_open, "PAXG", False, 1.0)
    await venue.do(Funding("PAXG", price_from("0.0001")))
    (paid,) = await call(sdk.info.user_funding_history, ADDRESS, 0)
    assert (paid["delta"]["usdc"], paid["delta"]["szi"], paid["delta"]["fundingRate"]) == (
        "0.4",
        "-1.0",
        "0.0001",
    )
    (rate,) = await call(sdk.info.funding_history, "PAXG", 0)
    assert rate["fundingRate"] == "0.0001"


async def test_the_sdk_hears_books_trades_fills_and_orders(sdk, venue):
    info = await call(Info, venue.url, False, timeout=10)
    heard = queue.Queue()
    wanted = [
        {"type": "allMids"},
        {"type": "l2Book", "coin": "PAXG"},
        {"type": "trades", "coin": "PAXG"},
        {"type": "userFills", "user": ADDRESS},
        {"type": "orderUpdates", "user": ADDRESS},
    ]
    for one in wanted:
        info.subscribe(one, heard.put)

    async def until(channel, test):
        async with asyncio.timeout(10):
            while True:
                message = await call(heard.get, True, 10)
                if message["channel"] == channel and test(message["data"]):
                    return message["data"]

    await until("userFills", lambda data: data.get("isSnapshot"))
    filled = status(await call(sdk.market_open, "PAXG", True, 0.5))["filled"]
    data = await until("userFills", lambda data: not data.get("isSnapshot"))
    assert [fill["oid"] for fill in data["fills"]] == [filled["oid"]]
    resting = status(await call(sdk.order, "PAXG", True, 1.0, 3999.9, GTC))["resting"]
    updates = await until("orderUpdates", lambda data: data[-1]["status"] == "open")
    assert updates[-1]["order"]["oid"] == resting["oid"]
    await venue.do(Price("PAXG", price_from("4050")))
    await until("allMids", lambda data: data["mids"]["PAXG"].startswith("40"))
    await call(info.disconnect_websocket)
    info.session.close()
