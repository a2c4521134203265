"""The OpenAPI document is complete, and calls made from it never end in a surprise."""

import asyncio
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
import schemathesis

from api.allowance import Limits
from api.bucket import Rate
from api.errors import CATALOGUE

EXAMPLES = 15
OPERATOR = "Bearer operator-token-of-the-tests-0123456789"


@pytest.fixture
async def document(exchange: Any) -> dict[str, Any]:
    return dict((await exchange.http.get("/openapi.json")).json())


def fuzz(document: dict[str, Any], url: str, session: str) -> list[str]:
    """Call every operation with generated cases, good and bad; what came back that should not have."""
    wrong: list[str] = []
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        operation = found.ok()
        token = OPERATOR if "/operator/" in operation.path else session
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            wrong += fuzz_operation(operation.as_strategy(generation_mode=mode), url, token)
    return wrong


def fuzz_operation(cases: Any, url: str, token: str) -> list[str]:
    wrong: list[str] = []

    @hypothesis.given(case=cases)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def call(case: Any) -> None:
        response = case.call(base_url=url, headers={"Authorization": token}, timeout=10)
        if response.status_code >= 500 and '"internal_error"' in response.text:
            wrong.append(f"{case.method} {case.path}: {case.body!r} -> {response.text}")
        elif response.status_code >= 400:
            try:
                assert set(response.json()["error"]) == {"code", "message", "retryable"}
            except (ValueError, KeyError, TypeError, AssertionError):
                wrong.append(f"{case.method} {case.path} -> {response.status_code} {response.text!r}")

    with suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong about a call without parameters
        call()
    return wrong


async def test_generated_calls_never_end_in_a_surprise(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(*[Rate(per_second=10**6, burst=10**6)] * 4))
    document = (await exchange.http.get("/openapi.json")).json()
    agent = await exchange.agent()
    wrong = await asyncio.to_thread(fuzz, document, exchange.server.http_url, agent.headers["Authorization"])
    assert not wrong, "\n".join(wrong[:10])
    assert exchange.server.edge.checks.result() == (True, True)


async def test_every_operation_describes_its_errors(document: dict[str, Any]) -> None:
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 20
    for path, method, operation in operations:
        where = f"{method} {path}"
        assert operation.get("description"), where
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorBody"}, (where, status)
                assert any(f"`{code}`" in response["description"] for code in CATALOGUE), (where, status)


async def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(_references(document))
    assert {reference.rpartition("/")[2] for reference in found} <= set(document["components"]["schemas"])
    assert "#/components/schemas/CutSettlement" in found


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [reference for part in value.values() for reference in _references(part)]
    if isinstance(value, list):
        return [reference for part in value for reference in _references(part)]
    return []
