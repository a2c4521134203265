"""The OpenAPI document is complete. Calls are made from it in tests/e2e/test_openapi_fuzz.py."""

from typing import Any

import pytest

from api.errors import CATALOGUE


@pytest.fixture
async def document(exchange: Any) -> dict[str, Any]:
    return dict((await exchange.http.get("/openapi.json")).json())


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
