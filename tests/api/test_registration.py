"""Who may register: how many new agents, how fast, and what a refusal costs the one who asked."""

from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from api import addresses
from api.addresses import ADDRESSES_MAX
from api.admission import AGENTS_PER_OWNER, ALL, PER_ADDRESS, Admission
from api.bucket import Rate
from api.collaborators import EscrowInfo
from api.errors import ApiError
from core.quantities import SECOND
from matcher import commands as c

FLEET = 150
"""Agents that the benchmarks and the demonstration bring from one machine, and some more."""

PROXY = {"trusted_proxies": "127.0.0.1"}
"""The tests' own address is then that of a proxy, which says for whom it calls."""

ESCROW = EscrowInfo("program", "escrow", "vault", "mint", "http://127.0.0.1:1")


class Registering:
    """One owner that signs challenges and hands them in, from an address as a proxy reports it."""

    def __init__(self, exchange: Any, address: str = "") -> None:
        self.exchange = exchange
        self.keypair = Keypair()
        self.owner = str(self.keypair.pubkey())
        self.headers = {"X-Forwarded-For": address} if address else {}

    async def challenge(self) -> str:
        answer = await self.exchange.http.post("/api/v1/auth/challenge", json={"owner": self.owner})
        return str(answer.json()["challenge"])

    async def hand_in(self, text: str, name: str = "a", signer: Keypair | None = None) -> str:
        """`ok` or the error's code."""
        signature = str((signer or self.keypair).sign_message(text.encode()))
        body = {"owner": self.owner, "name": name, "challenge": text, "signature": signature}
        answer = await self.exchange.http.post("/api/v1/agents", json=body, headers=self.headers)
        return "ok" if answer.status_code == 200 else str(answer.json()["error"]["code"])

    async def register(self, name: str = "a") -> str:
        return await self.hand_in(await self.challenge(), name)


async def test_one_address_cannot_use_up_the_places_of_the_others(new_exchange: Any) -> None:
    exchange = await new_exchange(registrations_per_address=Rate(per_second=1, burst=2), **PROXY)
    greedy = [await Registering(exchange, "203.0.113.7").register() for _ in range(4)]
    assert greedy == ["ok", "ok", "rate_limited", "rate_limited"]
    assert await Registering(exchange, "203.0.113.8").register() == "ok"
    assert [await Registering(exchange, f"2001:db8::{host}").register() for host in (1, 2, 3)] == [
        "ok",
        "ok",
        "rate_limited",
    ]


@pytest.mark.parametrize("trusted", ["", "192.0.2.0/24"])
async def test_nobody_chooses_the_address_that_it_is_counted_under(new_exchange: Any, trusted: str) -> None:
    exchange = await new_exchange(
        registrations_per_address=Rate(per_second=1, burst=2), trusted_proxies=trusted
    )
    answers = [await Registering(exchange, f"203.0.113.{host}").register() for host in range(4)]
    assert answers == ["ok", "ok", "rate_limited", "rate_limited"]


async def test_a_challenge_outlives_an_answer_that_says_to_retry(
    new_exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = await new_exchange(registrations_per_address=Rate(per_second=1, burst=1), **PROXY)
    assert await Registering(exchange).register() == "ok"
    late = Registering(exchange)
    text = await late.challenge()
    assert await late.hand_in(text) == "rate_limited"
    late.headers = {"X-Forwarded-For": "203.0.113.9"}
    with monkeypatch.context() as busy:
        busy.setattr(exchange.engine, "_waiting_max", 0)
        assert await late.hand_in(text) == "overloaded"
    late.headers = {"X-Forwarded-For": "203.0.113.10"}
    assert await late.hand_in(text) == "ok"
    assert await late.hand_in(text) == "challenge_invalid"


async def test_who_cannot_sign_takes_no_place(new_exchange: Any) -> None:
    exchange = await new_exchange(registrations=Rate(per_second=1, burst=1))
    caller = Registering(exchange)
    for _ in range(3):
        assert await caller.hand_in(await caller.challenge(), signer=Keypair()) == "signature_invalid"
    assert await caller.register() == "ok"


async def test_an_owner_has_only_so_many_agents_and_keeps_them(exchange: Any) -> None:
    caller = Registering(exchange)
    for number in range(AGENTS_PER_OWNER - 1):
        exchange.engine.submit(c.RegisterAgent(caller.owner, f"agent {number}"), None)
    assert await caller.register("the last") == "ok"
    assert await caller.register("one more") == "too_many_agents"
    assert await caller.register("the last") == "ok"
    assert await Registering(exchange).register() == "ok"


def test_a_fleet_from_one_address_fits() -> None:
    gate = Admission(ALL, PER_ADDRESS, now=0)
    taken = 0
    while taken < PER_ADDRESS.burst:
        gate.check("127.0.0.1", 0, now=0)
        gate.take("127.0.0.1", now=0)
        taken += 1
    assert taken >= FLEET
    with pytest.raises(ApiError, match="rate_limited"):
        gate.check("127.0.0.1", 0, now=0)
    gate.check("127.0.0.1", 0, now=SECOND)


def test_forgetting_an_address_forgets_no_debt() -> None:
    """What all may take while one bucket fills up again is less than the table holds."""
    seconds = PER_ADDRESS.burst // PER_ADDRESS.per_second
    assert ALL.burst + seconds * ALL.per_second < ADDRESSES_MAX


def test_the_table_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "ADDRESSES_MAX", 2)
    gate = Admission(ALL, Rate(per_second=1, burst=1), now=0)
    for address in ("a", "b", "c"):
        gate.take(address, now=0)
    gate.check("a", 0, now=0)
    for address in ("b", "c"):
        with pytest.raises(ApiError, match="rate_limited"):
            gate.check(address, 0, now=0)


async def test_a_challenge_does_not_outlive_the_process_that_made_it(new_exchange: Any) -> None:
    """Used ones are remembered by the process alone, while the secret is kept."""
    first = await new_exchange()
    caller = Registering(first)
    used, unused = await caller.challenge(), await caller.challenge()
    assert await caller.hand_in(used) == "ok"
    await first.stop()
    await first.start()
    assert await caller.hand_in(used) == "challenge_invalid"
    assert await caller.hand_in(unused) == "challenge_invalid"
    assert await caller.register() == "ok"


async def test_a_challenge_says_where_it_is_good(new_exchange: Any, tmp_path: Path) -> None:
    here = Registering(await new_exchange(tmp_path / "here", escrow=ESCROW))
    text = await here.challenge()
    assert "\nexchange: AI perp DEX\nescrow: escrow\n" in text
    elsewhere = ESCROW._replace(escrow="another")
    there = Registering(await new_exchange(tmp_path / "there", escrow=elsewhere))
    there.keypair, there.owner = here.keypair, here.owner
    assert "\nescrow: another\n" in await there.challenge()
    assert await there.hand_in(text) == "challenge_invalid"
    assert await there.hand_in(text.replace("escrow: escrow", "escrow: another")) == "challenge_invalid"
    assert await here.hand_in(text) == "ok"
