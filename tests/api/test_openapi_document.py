"""The OpenAPI document is complete. Calls are made from it in tests/e2e/test_openapi_fuzz.py."""

import asyncio
import time
from typing import Any

import pytest

from api.errors import CATALOGUE


@pytest.fixture
async def document(exchange: Any) -> dict[str, Any]:
    return dict((await exchange.http.get("/openapi.json")).json())


async def test_it_is_made_once_beside_the_loop(exchange: Any) -> None:
    late: list[float] = []

    async def ring() -> None:
        while True:
            due = time.monotonic() + 0.001
            await asyncio.sleep(0.001)
            late.append(time.monotonic() - due)

    ringing = asyncio.create_task(ring())
    answers = await asyncio.gather(*(exchange.http.get("/openapi.json") for _ in range(3)))
    first = len(late)
    again = await exchange.http.get("/openapi.json")
    ringing.cancel()
    assert {answer.content for answer in (*answers, again)} == {again.content}
    assert again.headers["content-type"] == "application/json"
    # Others had their turn while it was made, and nothing is made again.
    assert first > 10 > len(late) - first


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


async def test_every_field_and_parameter_says_what_it_means(document: dict[str, Any]) -> None:
    silent = [
        f"{schema}.{name}"
        for schema, body in document["components"]["schemas"].items()
        for name, field in body.get("properties", {}).items()
        if "$ref" not in field and len(field.get("description", "")) < 5
    ]
    silent += [
        f"{method} {path} {parameter['name']}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", ())
        if len(parameter.get("description", "")) < 5
    ]
    assert not silent
    fields = document["components"]["schemas"]
    assert fields["FillAnswer"]["properties"]["fill"]["description"] == "Fill number."
    assert fields["BatchAnswer"]["properties"]["fills"]["description"] == "Fills that it settles."
    # What a body says of its own field stays.
    assert "zero for the maker" in fields["FillAnswer"]["properties"]["fee"]["description"]


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
