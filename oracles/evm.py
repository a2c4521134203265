"""web3 over the HTTP client that everything else uses: one place for timeouts, connections and what counts as no answer."""

from typing import Any

import httpx
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracles.asking import posted
from oracles.polling import SourceFailed


class HttpxProvider(AsyncJSONBaseProvider):
    """JSON-RPC of the node at `url`. The client is the caller's. Every request raises `SourceFailed` when there is no answer."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout_s: float = 5.0) -> None:
        super().__init__()
        self._client = client
        self._url = url
        self._timeout_s = timeout_s

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        body = await posted(
            self._client,
            self._url,
            "The node",
            self._timeout_s,
            content=self.encode_rpc_request(method, params),
            headers={"Content-Type": "application/json"},
        )
        try:
            decoded = self.decode_rpc_response(body)
        except (ValueError, RecursionError) as error:
            raise SourceFailed("nonsense", f"The node answered no JSON: {error}") from error
        if not isinstance(decoded, dict) or not ("result" in decoded or "error" in decoded):
            raise SourceFailed("nonsense", f"The node answered {str(decoded)[:200]}")
        return decoded
