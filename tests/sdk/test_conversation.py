"""What is sent again, and what refusals mean: that of a copy says nothing of the copies before it."""

import asyncio

import msgspec
import pytest
from solders.keypair import Keypair

from perpdex_sdk import Agent, AnswerUnknown, NotSent, Refused
from perpdex_sdk import messages as m
from perpdex_sdk.conversation import Conversation
from perpdex_sdk.trading import Trading

ORDER = ("BTC-PERP", "buy", "0.01", "60010.0")


class Wire:
    """The socket: keeps what is sent."""

    def __init__(self):
        self.sent = asyncio.Queue()

    def send(self, payload):
        self.sent.put_nowait(msgspec.json.decode(payload))
        return True


class Trader(Trading):
    def __init__(self):
        self.wire = Wire()
        super().__init__(Conversation(self.wire, "trader"))

    async def connect(self):
        await self.dial()
        self.hear(m.Ready(account=16, head=0, now=1))

    async def dial(self):
        self._talk.begin({"token": "t"})
        assert (await self.said())["op"] == "auth"

    def hear(self, message):
        self._talk.hear(message)

    async def said(self):
        return await asyncio.wait_for(self.wire.sent.get(), 10)

    async def refuse(self, said, code, *, retryable=True):
        """Refuse a message; what is said next, if it is that message again."""
        self.hear(m.Error(said["id"], code, "no", retryable))
        assert await self.said() == said

    def filled(self, said):
        terms = {"request": 7, "key": said["id"], "market": "BTC-PERP", "side": "buy", "size": "0.01"}
        paid = {"filled": "0.01", "value": "600", "average_price": "60000", "fee": "0", "fills": (3,)}
        self.hear(m.RequestClosed(1, 1, 1, **terms, **paid, outcome="filled"))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr("perpdex_sdk.conversation.PAUSE", 0.0)


@pytest.fixture
async def trader():
    trader = Trader()
    await trader.connect()
    return trader


@pytest.mark.parametrize("code", ["overloaded", "rate_limited"])
async def test_a_key_that_may_have_been_sent_before_is_asked_again_until_its_answer_is_known(trader, code):
    asked = asyncio.create_task(trader.request(*ORDER, key="mine"))
    said = await trader.said()
    for _ in range(3):
        await trader.refuse(said, code)
    trader.filled(said)
    assert (await asked).fills == (3,)


async def test_what_was_sent_once_is_refused_at_once(trader):
    asked = asyncio.create_task(trader.request(*ORDER))
    trader.hear(m.Error((await trader.said())["id"], "overloaded", "Too much.", True))
    with pytest.raises(Refused, match="overloaded: Too much"):
        await asked
    assert trader.wire.sent.empty()


async def test_what_was_sent_again_after_a_break_ends_with_what_holds_for_all_its_copies(trader):
    asked = asyncio.create_task(trader.request(*ORDER))
    first = await trader.said()
    await trader.connect()
    again = await trader.said()
    assert again == first
    await trader.refuse(again, "overloaded")
    trader.hear(m.Error(again["id"], "expired_command", "Too late.", False))
    with pytest.raises(Refused, match="expired_command"):
        await asked


async def test_an_acceptance_that_was_sent_again_is_not_refused_by_a_busy_exchange(trader):
    opened = trader.ask(*ORDER, auto=False)
    asked = await trader.said()
    quote = m.Quote(request=7, quote=9, price="60000", size="0.01", min_fill="0.01", expires=5)
    accepting = asyncio.create_task(opened.accept(quote))
    said = await trader.said()
    assert said["op"] == "accept"
    await trader.connect()
    assert [await trader.said(), await trader.said()] == [asked, said]
    await trader.refuse(said, "rate_limited")
    trader.hear(m.Ack(said["id"]))
    await accepting


async def test_what_nobody_waits_for_any_more_is_not_sent_again(trader, monkeypatch):
    monkeypatch.setattr("perpdex_sdk.conversation.PAUSE", 0.01)
    monkeypatch.setattr("perpdex_sdk.conversation.PATIENCE", 0.0)
    opened = trader.ask(*ORDER, key="mine")
    trader.hear(m.Error((await trader.said())["id"], "overloaded", "no", True))
    with pytest.raises(AnswerUnknown):
        await trader.answer_to(opened)
    await asyncio.sleep(0.05)
    assert trader.wire.sent.empty()


async def test_a_connection_that_is_refused_for_good_is_told_at_once_with_code_and_sentence():
    trader = Trader()
    begun = asyncio.create_task(trader._talk.begun())
    await trader.dial()
    trader.hear(m.Error("auth", "too_many_connections", "As many as are allowed.", True))
    await asyncio.sleep(0)
    assert not begun.done(), "that may change"
    await trader.dial()
    trader.hear(m.Error("auth", "resume_invalid", "The stream's head is 3.", False))
    with pytest.raises(Refused, match=r"resume_invalid: The stream's head is 3\.") as refused:
        await begun
    assert refused.value.code == "resume_invalid"


async def test_who_waits_while_connections_are_refused_is_told_why(trader, monkeypatch):
    monkeypatch.setattr("perpdex_sdk.conversation.PATIENCE", 0.02)
    waiting = asyncio.create_task(trader.cancel_all())
    await trader.said()
    await trader.dial()
    trader.hear(m.Error("auth", "rate_limited", "Too much from this account.", True))
    with pytest.raises(NotSent, match="rate_limited: Too much from this account"):
        await trader.quotes("BTC-PERP", [], [("2", "1")])
    with pytest.raises(AnswerUnknown, match="rate_limited: Too much from this account") as unknown:
        await waiting
    assert isinstance(unknown.value.__cause__, Refused)
    await trader.connect()
    with pytest.raises(AnswerUnknown, match=r"in time$"):
        await trader.cancel_all()


async def test_an_exchange_that_takes_no_connection_says_why_when_patience_ends(exchange, monkeypatch):
    monkeypatch.setattr("api.socket.CONNECTIONS_PER_ACCOUNT", 0)
    monkeypatch.setattr("perpdex_sdk.conversation.PATIENCE", 0.5)
    with pytest.raises(Refused, match="too_many_connections: The account"):
        await Agent.connect(exchange.server.http_url, Keypair(), "one too many")
