"""Polymarket's doors: credentials made from the key, requests signed with them, and what comes back as a value or an error."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from py_clob_client_v2.clob_types import ApiCreds, RequestArgs
from py_clob_client_v2.headers.headers import create_level_1_headers, create_level_2_headers
from py_clob_client_v2.signer import Signer

from core.quantities import SECOND, Nanos
from venues.driver import Reason, Refused
from venues.errors import Reading, Unavailable, Unknown
from venues.polymarket_wire import VENUE, loads, refused_for


class HttpRefusal(Exception):
    """An HTTP answer that is an error, in the venue's words where it is its `own`: what is in between may have handed on what it
    answers for."""

    def __init__(self, status: int, words: str, own: bool) -> None:
        super().__init__(words)
        self.status, self.words, self.own = status, words, own


class Clob:
    """The venue at `url`, for one key."""

    def __init__(self, signer: Signer, url: str, clock: Callable[[], int], timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self._signer = signer
        self._clock = clock
        self._http = httpx.AsyncClient(timeout=timeout_s)
        self._entering = asyncio.Lock()
        self._credentials: ApiCreds | None = None

    async def close(self) -> None:
        await self._http.aclose()

    async def entered(self) -> ApiCreds:
        """The key's credentials at the venue: the same for the same key, made there at its first time."""
        async with self._entering:
            if self._credentials is None:
                try:
                    row = await self._enter("GET", "/auth/derive-api-key")
                except HttpRefusal:
                    try:
                        row = await self._enter("POST", "/auth/api-key")
                    except HttpRefusal as refused:
                        raise Unavailable(VENUE, f"no credentials: {refused}") from refused
                with Reading(VENUE):
                    self._credentials = ApiCreds(row["apiKey"], row["secret"], row["passphrase"])
            return self._credentials

    async def _enter(self, method: str, path: str) -> Any:
        """Signed by the key itself. Raises `HttpRefusal`."""
        headers = create_level_1_headers(self._signer, timestamp=self._clock() // SECOND)
        try:
            return await self.answered(method, self.url + path, headers)
        except (httpx.HTTPError, ValueError) as lost:
            raise Unavailable(VENUE, f"no credentials: {lost!r}") from lost

    async def change(self, method: str, path: str, body: dict[str, Any], until: Nanos | None) -> Any:
        """Send what changes something. Raises `Unknown`, or `Unavailable` where the venue certainly never got it."""
        text = json.dumps(body, separators=(",", ":"))
        headers = await self._authority(method, path, text)
        try:
            return await self.answered(method, self.url + path, headers, text)
        except HttpRefusal as refused:
            if refused.status == 429:
                return Refused(Reason.RATE_LIMITED, refused.words)
            known = refused_for(refused.words)
            if not refused.own or (refused.status >= 500 and known.reason is not Reason.BUSY):
                raise Unknown(VENUE, str(refused), until) from refused
            self._credentials = None if refused.status == 401 else self._credentials
            return known
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as lost:
            raise Unavailable(VENUE, f"no connection: {lost!r}") from lost
        except (httpx.HTTPError, ValueError) as lost:
            raise Unknown(VENUE, f"no answer: {lost!r}", until) from lost

    async def private(self, method: str, path: str, query: str = "") -> Any:
        """A private list. What is asked in the query is not signed."""
        headers = await self._authority(method, path, None)
        return await self.read(f"{self.url}{path}?{query}" if query else self.url + path, headers)

    async def read(self, url: str, headers: dict[str, str] | None = None) -> Any:
        try:
            return await self.answered("GET", url, headers)
        except HttpRefusal as refused:
            if refused.own and refused.status == 404 and "/data/order/" in url:
                return None
            self._credentials = None if refused.status == 401 else self._credentials
            raise Unavailable(VENUE, f"no answer: {refused}") from refused
        except (httpx.HTTPError, ValueError) as lost:
            raise Unavailable(VENUE, f"no answer: {lost!r}") from lost

    async def _authority(self, method: str, path: str, body: str | None) -> dict[str, str]:
        arguments = RequestArgs(method, path, serialized_body=body)
        now = self._clock() // SECOND
        headers: dict[str, str] = create_level_2_headers(
            self._signer, await self.entered(), arguments, timestamp=now
        )
        return headers

    async def answered(
        self, method: str, url: str, headers: dict[str, str] | None = None, text: str | None = None
    ) -> Any:
        """The answer's JSON. Raises `HttpRefusal` for an HTTP error, httpx's errors, and `ValueError` for what is no JSON."""
        kind = {"Content-Type": "application/json"} if text is not None else {}
        answer = await self._http.request(method, url, headers={**(headers or {}), **kind}, content=text)
        if answer.status_code >= 400:
            try:
                said = loads(answer.content)
            except ValueError:
                said = None
            words = said.get("error") if isinstance(said, dict) else None
            raise HttpRefusal(answer.status_code, str(words or f"HTTP {answer.status_code}"), bool(words))
        return loads(answer.content)
