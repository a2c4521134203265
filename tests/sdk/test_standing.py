"""What an agent arranged, over connections whose exchange refuses it: nothing is quoted without the protection it asked for."""

import asyncio
import logging

import msgspec
import pytest

from perpdex_sdk import NotSent, Refused, standing
from perpdex_sdk import messages as m
from perpdex_sdk.conversation import Conversation
from perpdex_sdk.trading import Trading

BTC, ETH = "BTC-PERP", "ETH-PERP"
LEVELS = ([("1", "1")], [("2", "1")])


class Wire:
    """The socket: keeps what is sent."""

    def __init__(self):
        self.sent = asyncio.Queue()

    def send(self, payload):
        self.sent.put_nowait(msgspec.json.decode(payload))
        return True


class Maker(Trading):
    def __init__(self):
        self.wire = Wire()
        super().__init__(Conversation(self.wire, "maker"))

    async def connect(self):
        self._talk.begin({})
        assert (await self.said())["op"] == "auth"
        self._talk.hear(m.Ready(account=16, head=0, now=1))

    async def said(self):
        return await asyncio.wait_for(self.wire.sent.get(), 10)

    def accept(self, said):
        self._talk.hear(m.Ack(said["id"]))

    def refuse(self, said, code, *, retryable):
        self._talk.hear(m.Error(said["id"], code, "no", retryable))

    async def protected(self, size):
        """Start `protect`; the task, and what was said."""
        task = asyncio.create_task(self.protect(BTC, 1_000, size, 5_000))
        return task, await self.said()

    async def assert_quotes(self, market, bids=LEVELS[0], asks=LEVELS[1]):
        task = asyncio.create_task(self.quotes(market, bids, asks))
        said = await self.said()
        assert (said["op"], said["market"], len(said["bids"])) == ("quotes", market, len(bids))
        self.accept(said)
        await task


@pytest.fixture
async def maker(monkeypatch):
    """A protected maker whose connection is new: what it says again comes next."""
    monkeypatch.setattr(standing, "PAUSE", 0.001)
    maker = Maker()
    await maker.connect()
    task, said = await maker.protected("0.4")
    maker.accept(said)
    await task
    await maker.assert_quotes(BTC)
    await maker.connect()
    yield maker
    maker._talk.end("the agent was closed")
    await asyncio.sleep(0)


async def test_protection_refused_for_now_is_said_again_and_quotes_wait_for_it(maker):
    for _ in range(3):
        with pytest.raises(NotSent, match="not accepted again"):
            await maker.quotes(BTC, *LEVELS)
        said = await maker.said()
        assert (said["op"], said["size"]) == ("protect", "0.4")
        maker.refuse(said, "rate_limited", retryable=True)
    maker.accept(await maker.said())
    await asyncio.sleep(0)
    await maker.assert_quotes(BTC)


async def test_protection_refused_for_good_is_told_to_who_quotes_until_it_is_arranged_anew(maker, caplog):
    maker.refuse(await maker.said(), "bad_value", retryable=False)
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Refused, match="bad_value"):
            await maker.quotes(BTC, *LEVELS)
        with pytest.raises(Refused, match="bad_value"):
            await maker.answer(m.Rfq(1, BTC, "1", 1), bid="1")
    await maker.assert_quotes(BTC, [], [])
    assert [r.levelno for r in caplog.records if "no longer holds" in r.message] == [logging.ERROR]
    await maker.assert_quotes(ETH)
    task, said = await maker.protected("0.3")
    maker.accept(said)
    await task
    await maker.assert_quotes(BTC)


async def test_what_is_being_replaced_is_not_said_again_unless_it_stays(maker):
    await maker.said()
    task, _ = await maker.protected("0.3")
    await maker.connect()
    again = await maker.said()
    assert again["size"] == "0.3"
    with pytest.raises(NotSent):
        await maker.quotes(BTC, *LEVELS)
    maker.refuse(again, "bad_value", retryable=False)
    with pytest.raises(Refused):
        await task
    old = await maker.said()
    assert old["size"] == "0.4"
    maker.accept(old)
    await asyncio.sleep(0)
    await maker.assert_quotes(BTC)
    assert maker.wire.sent.empty()
