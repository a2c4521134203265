"""web3 over the HTTP client that everything else uses: one place for timeouts, connections and what counts as no answer."""

from typing import Any

import httpx
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracles.polling import SourceFailed

RATE_LIMITED_S = 60.0


class HttpxProvider(AsyncJSONBaseProvider):
    """JSON-RPC of the node at `url`. The client is the caller's. Every request raises `SourceFailed` when there is no answer."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout_s: float = 5.0) -> None:
        super().__init__()
        self._client = client
        self._url = url
        self._timeout_s = timeout_s

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            response = await self._client.post(
                self._url,
                content=self.encode_rpc_request(method, params),
                headers={"Content-Type": "application/json"},
                timeout=self._timeout_s,
            )
        except httpx.TimeoutException as error:
            raise SourceFailed("timeout", f"The node was silent: {type(error).__name__}.") from error
        except httpx.HTTPError as error:
            raise SourceFailed("unreachable", f"The node can not be reached: {error!r}.") from error
        if response.status_code == 429:
            raise SourceFailed("rate_limited", "The node was asked too often (HTTP 429).", RATE_LIMITED_S)
        if response.status_code != 200:
            raise SourceFailed("failing", f"The node answered HTTP {response.status_code}.")
        try:
            decoded = self.decode_rpc_response(response.content)
        except ValueError as error:
            raise SourceFailed("nonsense", f"The node answered no JSON: {error}") from error
        if not isinstance(decoded, dict) or not ("result" in decoded or "error" in decoded):
            raise SourceFailed("nonsense", f"The node answered {str(decoded)[:200]}")
        return decoded
