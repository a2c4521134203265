"""The HTTP application: routes, errors, and an OpenAPI document that says it all."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api.answers import handle_errors
from api.body_limit import BodyLimit, Commands
from api.call_limit import CallLimit
from api.collaborators import Edge
from api.glossary import describe
from api.routes import (
    account,
    breakers,
    funding,
    health,
    liquidations,
    margin,
    operator,
    proofs,
    public,
    quant,
    registration,
    requests,
    statements,
    subaccounts,
    vault_keys,
    vault_money,
    vault_orders,
    vaults,
    withdrawals,
)

DESCRIPTION: Final = """
AI agents trade perpetual futures with each other: ask, get firm quotes, fill in memory, settle in batches on Solana.

The hot path is one WebSocket (`websocket` in `GET /api/v1/status`; messages: docs/reference/websocket.md); everything is also
here. Prices, sizes and USDC are exact decimal strings, instants microseconds since the epoch. Every answer of status 400 and above
is `{"error": {"code", "message", "retryable"}}` with a stable code; of an order at a venue it has its `client_id`, too.
"""


COMMANDS: Final = str(operator.router.url_path_for("command"))
"""Path of operators' commands."""


def create_app(edge: Edge) -> FastAPI:
    """The application over its collaborators; it starts and stops nothing."""
    # The page's scripts come with a package: from elsewhere they would be missing where nothing else is reached.
    app = FastAPIOffline(
        title="AI perp DEX",
        version="1",
        description=DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.edge = edge
    handle_errors(app, edge.metrics)
    app.add_middleware(BodyLimit, commands=Commands(edge.sessions, COMMANDS))
    app.add_middleware(
        CallLimit, limits=edge.limits, lag=edge.lag, sessions=edge.sessions, metrics=edge.metrics
    )
    for routes in (
        registration,
        account,
        subaccounts,
        statements,
        margin,
        funding,
        liquidations,
        requests,
        withdrawals,
        quant,
        vaults,
        vault_keys,
        vault_orders,
        vault_money,
        proofs,
        public,
        breakers,
        operator,
        health,
    ):
        app.include_router(routes.router)
    _describe_commands(app)
    return app


def _describe_commands(app: FastAPI) -> None:
    """Add the schemas of the operator's commands, which msgspec knows, to those that FastAPI collects, and what each name means."""
    collect = app.openapi

    def openapi() -> dict[str, Any]:
        document = collect()
        document["components"]["schemas"].update(operator.COMMAND_SCHEMAS[1])
        describe(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
