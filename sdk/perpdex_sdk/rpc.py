"""The few JSON-RPC calls to a Solana cluster that an agent needs."""

import asyncio
import base64
from typing import Any

import httpx

from perpdex_sdk.errors import ChainRefused, DepositFailed, Unreachable

POLL = 0.2


class Rpc:
    """A cluster's JSON-RPC endpoint."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises `Unreachable`, or `ChainRefused` with the cluster's own words."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = (await self._http.post("", json=body)).json()
        except (httpx.TransportError, ValueError) as error:
            raise Unreachable(f"{method}: {error!r}") from error
        if "error" in answer:
            raise ChainRefused(f"{method}: {answer['error'].get('message', answer['error'])}")
        return answer["result"]

    async def latest_blockhash(self) -> tuple[str, int]:
        """A blockhash and the last block height at which it is good."""
        value = (await self.call("getLatestBlockhash", {"commitment": "confirmed"}))["value"]
        return value["blockhash"], value["lastValidBlockHeight"]

    async def send_until_confirmed(self, raw: bytes, signature: str, last_height: int) -> None:
        """Send the same bytes until the cluster confirmed them. Raises `DepositFailed` when they failed or can land no more."""
        encoded = base64.b64encode(raw).decode()
        sent = False
        while True:
            expired = await self._expired(last_height)
            status = await self._status(signature)
            if status is not None and status["err"] is not None:
                raise DepositFailed(f"the chain refused it: {status['err']}")
            if status is not None and status["confirmationStatus"] in ("confirmed", "finalized"):
                return
            if expired and status is None:
                raise DepositFailed("it expired before it landed")
            if not expired and status is None:
                await self._send(encoded, sent)
                sent = True
            await asyncio.sleep(POLL)

    async def _send(self, encoded: str, again: bool) -> None:
        """Send once. Only the first refusal means that nothing moved: later ones may be about what has landed meanwhile."""
        options = {"encoding": "base64", "skipPreflight": again, "preflightCommitment": "confirmed"}
        try:
            await self.call("sendTransaction", encoded, options)
        except Unreachable:
            return  # it may have arrived: its status decides
        except ChainRefused as refused:
            if not again:
                raise DepositFailed(str(refused)) from refused

    async def _expired(self, last_height: int) -> bool:
        """Asked before the status, so that a transaction that landed in its last block is still seen."""
        height: int = await self._patient("getBlockHeight", {"commitment": "confirmed"})
        return height > last_height

    async def _status(self, signature: str) -> dict[str, Any] | None:
        found = await self._patient("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
        status: dict[str, Any] | None = found["value"][0]
        return status

    async def _patient(self, method: str, *params: Any) -> Any:
        """A read, repeated while the cluster cannot be reached: giving up would leave the outcome unknown."""
        while True:
            try:
                return await self.call(method, *params)
            except (Unreachable, ChainRefused):
                await asyncio.sleep(POLL)
