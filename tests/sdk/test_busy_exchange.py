"""An exchange that is busy for a moment: the SDK asks again, and gives up in the end."""

import asyncio
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import pytest
from solders.keypair import Keypair

from perpdex_sdk import rest
from perpdex_sdk.errors import MessageRefused, Refused, Unreachable

BUSY = {"error": {"code": "overloaded", "message": "Too much to do now.", "retryable": True}}
LIMITED = {"error": {"code": "rate_limited", "message": "Too much from here.", "retryable": True}}
USED = {"error": {"code": "challenge_invalid", "message": "Used before.", "retryable": False}}
OWNER = Keypair()
SESSION = {"account": 16, "token": "t", "expires_at": 1, "websocket": "ws://127.0.0.1:1/ws"}


def challenge(number, owner=OWNER, escrow="there", title=None):
    """As the exchange words it whose money is in `escrow`."""
    title = title or "Sign in to the agent exchange. This signs no transaction and moves no funds."
    return f"{title}\nowner: {owner.pubkey()}\nexpires: 1\nexchange: it\nescrow: {escrow}\nnonce: {number}\nproof: p"


@asynccontextmanager
async def serving(answer):
    """A server that answers each call with what `answer(path, body)` gives: a status and a body, or None to hang up."""

    async def call(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(h.split(":")[1]) for h in head.lower().split("\r\n") if "content-length" in h), 0)
        body = msgspec.json.decode(await reader.readexactly(length) or b"null")
        answered = answer(head.split()[1], body)
        if answered is None:
            writer.close()
            return
        status, said = answered
        payload = msgspec.json.encode(said)
        writer.write(
            b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (status, len(payload))
        )
        writer.write(payload)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(call, "127.0.0.1", 0)
    async with server:
        client = rest.Rest(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield client
        await client.close()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(rest, "PAUSE", 0.001)


async def test_a_busy_moment_is_waited_for_and_each_registration_has_a_challenge_of_its_own():
    calls, used = count(), set()

    def answer(path, body):
        number = next(calls)
        if path.endswith("/challenge"):
            return (200, {"challenge": challenge(number)}) if number % 2 else (503, BUSY)
        if body["challenge"] in used:
            return 400, USED
        used.add(body["challenge"])
        return (200, SESSION) if len(used) == 3 else (503, BUSY)

    async with serving(answer) as client:
        assert (await client.sign_in(OWNER, "busy", "there")).account == 16
    assert len(used) == 3


async def test_an_exchange_that_stays_busy_is_told_so_after_the_last_try():
    calls = count()

    def answer(path, body):
        next(calls)
        return 503, BUSY

    async with serving(answer) as client:
        with pytest.raises(Refused, match="overloaded"):
            await client.insurance()
    assert next(calls) == rest.TRIES


async def test_any_other_refusal_is_told_at_once():
    calls = count()

    def answer(path, body):
        next(calls)
        return 400, USED

    async with serving(answer) as client:
        with pytest.raises(Refused, match="challenge_invalid"):
            await client.insurance()
    assert next(calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        challenge(1, escrow="elsewhere"),
        challenge(1, owner=Keypair()),
        challenge(1, title="Pay it all to me."),
        "",
        "\n\n\n\nescrow: there",
    ],
)
async def test_no_text_but_the_own_exchanges_is_signed(other):
    asked = []

    def answer(path, body):
        asked.append(path)
        return 200, {"challenge": other}

    async with serving(answer) as client:
        with pytest.raises(MessageRefused):
            await client.sign_in(OWNER, "careful", "there")
    assert asked == ["/api/v1/auth/challenge"]


async def test_a_call_whose_answer_was_lost_is_not_refused_by_what_looks_at_no_repeat():
    calls, opened = count(), {"account": 16, "parent": 17, "market": "M", "name": "a", "repeated": True}

    def answer(path, body):
        return [None, (429, LIMITED), (503, BUSY), (429, LIMITED), (200, opened)][next(calls)]

    async with serving(answer) as client:
        assert (await client.open_sub_account("M")).repeated
    assert next(calls) == 5


async def test_a_call_whose_answer_was_lost_stays_unknown_when_its_repeats_are_not_looked_at():
    calls = count()

    def answer(path, body):
        return (429, LIMITED) if next(calls) else None

    async with serving(answer) as client:
        with pytest.raises(Unreachable, match="then rate_limited: Too much from here"):
            await client.insurance()
        with pytest.raises(Refused, match="rate_limited"):
            await client.insurance()
    assert next(calls) == rest.TRIES + 1
