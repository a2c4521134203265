"""The OpenAPI document is complete. Calls are made from it in tests/e2e/test_openapi_fuzz.py."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi._compat import ModelField

from api.app import create_app, work_out
from api.errors import CATALOGUE
from api.glossary import describe


@pytest.fixture
async def document(exchange: Any) -> dict[str, Any]:
    return dict((await exchange.http.get("/openapi.json")).json())


async def test_it_is_made_once_beside_the_loop(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, turns = [], 0

    def noted(document: dict[str, Any]) -> None:
        made.append(threading.current_thread())
        describe(document)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    monkeypatch.setattr("api.document.describe", noted)
    going = asyncio.create_task(others())
    answers = await asyncio.gather(*(exchange.http.get("/openapi.json") for _ in range(3)))
    answers.append(await exchange.http.get("/openapi.json"))
    going.cancel()
    assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
    assert answers[0].headers["content-type"] == "application/json"
    assert len(made) == 1
    assert made[0] is not threading.main_thread()
    assert turns > 10


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


async def test_no_call_waits_for_routes_that_are_worked_out(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, fields = create_app(exchange.server.edge), []
    made = ModelField.__post_init__
    monkeypatch.setattr(ModelField, "__post_init__", lambda field: fields.append(field) or made(field))
    work_out(app)
    before = len(fields)
    assert before > 100
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        answers = [(await http.get(path)).status_code for path in ("/health", "/api/v1/status", "/nothing")]
    assert answers == [200, 200, 404]
    assert len(fields) == before
