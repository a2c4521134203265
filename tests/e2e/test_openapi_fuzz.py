"""Calls made from the OpenAPI document against the whole network, PostgreSQL, Temporal and chain: none ends in a surprise."""

import asyncio
import time
from contextlib import suppress
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from solders.keypair import Keypair

from cli.stack import Stack
from perpdex_sdk import Agent
from perpdex_sdk.agents.population import fund
from perpdex_sdk.keys import key_at
from places import operator_token
from settings import Settings
from wiring import engine_door

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

EXAMPLES = 6
SYMBOLS = ["BTC-PERP", "ETH-PERP", "SOL-PERP"]
VAULT = "fuzz"
ORDER = "gold"
"""Client id of an order that there is."""
REVOKED = {"session_revoked", "key_revoked"}
LATER = {"rate_limited", "overloaded"}
"""Nothing was even looked at: the same is asked again."""
PATIENCE_S = 60


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """With a price of gold, which vaults can buy then."""
    return settings.model_copy(update={"exec_demo_gold": "played"})


class Caller:
    """An agent, the operator, and who has a key of the agent's vault: a session that a generated call revoked is opened again, and
    another key is made."""

    def __init__(self, url: str, keypair: Keypair, name: str, operator: str) -> None:
        self._url, self._keypair, self._name, self._operator = url, keypair, name, operator
        self._session = self._sign_in()
        self._vault_key = self._make_key()
        self.seen: set[int] = set()
        self.wrong: list[str] = []

    def call(self, case: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            token = self._token(case.path)
            response = case.call(
                base_url=self._url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
            )
            code = _code(response)
            if code in REVOKED:
                self._session = self._sign_in()
                self._vault_key = self._make_key()
            elif code in LATER:
                time.sleep(0.2)
            else:
                break
        self.seen.add(response.status_code)
        if response.status_code >= 500 or code is None:
            self.wrong.append(
                f"{case.method} {case.path} {case.body!r} -> {response.status_code} {response.text!r}"
            )

    def _token(self, path: str) -> str:
        if "/operator/" in path:
            return self._operator
        if path.startswith("/api/v1/quant/") and not path.endswith("/keys"):
            return self._vault_key
        return self._session

    def _make_key(self) -> str:
        body = {"vault": VAULT, "name": "fuzz", "scopes": ["read", "trade"], "days": 1}
        headers = {"Authorization": f"Bearer {self._session}"}
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as http:
            made = http.post("/api/v1/quant/keys", json=body, headers=headers)
        return str(made.raise_for_status().json()["key"])

    def _sign_in(self) -> str:
        owner = str(self._keypair.pubkey())
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as http:
            asked = http.post("/api/v1/auth/challenge", json={"owner": owner}).raise_for_status()
            text = asked.json()["challenge"]
            signature = str(self._keypair.sign_message(text.encode()))
            body = {"owner": owner, "name": self._name, "challenge": text, "signature": signature}
            return str(http.post("/api/v1/agents", json=body).raise_for_status().json()["token"])


def _code(response: Any) -> str | None:
    """Code of a refusal, empty for an answer, None for what is neither."""
    if response.status_code < 400:
        return ""
    try:
        error = response.json()["error"]
        return (
            str(error["code"]) if error.keys() - {"client_id"} == {"code", "message", "retryable"} else None
        )
    except (ValueError, KeyError, TypeError):
        return None


def name_what_there_is(document: dict[str, Any], withdrawal: str, key: str) -> None:
    """Say in the document which symbols and numbers there are: nobody guesses them, and unknown ones reach little."""
    known = {"symbol": SYMBOLS, "number": [1, 2], "batch": [1, 2], "key": [key], "client_id": [ORDER]}
    for path, methods in document["paths"].items():
        known["id"] = [VAULT] if path.startswith("/api/v1/vaults/") else [withdrawal]
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": known[parameter["name"]]}
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Body") and "market" in schema.get("properties", ()):
            schema["properties"]["market"] = {"enum": SYMBOLS}
        if name in ("OpenBody", "CloseBody"):
            schema["properties"]["symbol"] = {"enum": ["BTC-PERP", "mock_gold::XAU"]}


def fuzz(document: dict[str, Any], caller: Caller) -> None:
    """Every operation with generated cases, good and bad."""
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            each(found.ok().as_strategy(generation_mode=mode), caller)


def each(cases: Any, caller: Caller) -> None:
    @hypothesis.given(case=cases)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def call(case: Any) -> None:
        caller.call(case)

    with suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong about a call without parameters
        call()


async def test_generated_calls_never_end_in_a_surprise(stack: Stack, tmp_path: Path) -> None:
    ready, loop = asyncio.Event(), asyncio.get_running_loop()
    await asyncio.to_thread(stack.start_agents, "makers", 2, lambda _: loop.call_soon_threadsafe(ready.set))
    async with asyncio.timeout(PATIENCE_S):
        await ready.wait()
    url, key = stack.settings.api_url, key_at(tmp_path / "fuzz.json")
    agent = await Agent.connect(url, key, "fuzz")
    await fund(agent, Decimal(10_000))
    market = await agent.rest.market("BTC-PERP")
    limit = (Decimal(market.index) * Decimal("1.01") / Decimal(market.tick)).to_integral_value(ROUND_DOWN)
    filled = await agent.request("BTC-PERP", "buy", "0.01", limit * Decimal(market.tick))
    assert filled.outcome == "filled"
    withdrawal = await agent.rest.start_withdrawal("25", "fuzz", None)
    operator = operator_token(stack.settings)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {operator}"}) as http:
        body = {"id": VAULT, "manager": agent.account}
        (await http.post("/api/v1/vaults", json=body)).raise_for_status()
    quant = await agent.rest.quant_key(VAULT, "fuzz", ("read", "trade"), 1)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {quant.key}"}) as http:
        ticket = {"symbol": "mock_gold::XAU", "side": "buy", "size": "1", "client_id": ORDER}
        (await http.post("/api/v1/quant/orders/open", json=ticket, timeout=PATIENCE_S)).raise_for_status()
    await agent.close()
    async with httpx.AsyncClient(base_url=url) as http:
        document = (await http.get("/openapi.json")).json()
    name_what_there_is(document, withdrawal.id, quant.id)
    caller = await asyncio.to_thread(Caller, url, key, "fuzz", operator)
    await asyncio.to_thread(fuzz, document, caller)
    assert not caller.wrong, "\n".join(caller.wrong[:10])
    assert {200, 404, 409, 422} <= caller.seen
    door = engine_door(stack.settings)
    state = await door.state()
    await door.close()
    assert (state.conserved, state.positions_zero_sum) == (True, True)
