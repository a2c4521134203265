"""The HTTP application: routes, errors, and an OpenAPI document that says it all."""

from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import Route

from api.answers import handle_errors
from api.body_limit import BodyLimit, Commands
from api.call_limit import CallLimit
from api.collaborators import Edge
from api.document import Document
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
    _serve_document(app)
    return app


def work_out(app: FastAPI) -> None:
    """Have FastAPI work out all routes now, and not when the first call looks for one: that takes a third of a second, in which the
    loop does nothing else."""
    scope = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in app.router.routes:
        route.matches(scope)


def _serve_document(app: FastAPI) -> None:
    """In the place of FastAPI's own, which is rendered anew for every caller."""
    assert app.openapi_url is not None
    routes = app.router.routes
    (own,) = (route for route in routes if getattr(route, "path", "") == app.openapi_url)
    routes[routes.index(own)] = Route(app.openapi_url, Document(app).answer, include_in_schema=False)
