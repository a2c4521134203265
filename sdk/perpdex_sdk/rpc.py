"""The few JSON-RPC calls to a Solana cluster that an agent needs."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import httpx
import msgspec

from perpdex_sdk.errors import ChainRefused, DepositFailed, OutcomeUnknown, Unreachable

POLL = 0.2
PATIENCE = 240.0
"""Seconds: longer than a blockhash lives and its last block takes to become final on a cluster that is well."""
LOOKS = 2
"""That must find nothing before a transaction counts as expired."""

NOT_SENT = (-32602, -32002, -32003)
"""Codes of what a node finds before it hands a transaction on: wrong parameters, a trial that failed, a wrong signature."""

SAYS_NOTHING = frozenset({"AccountInUse", "AlreadyProcessed", "BlockhashNotFound", "ClusterMaintenance"})
"""What a trial finds of a transaction that has landed, through another node, or may yet."""

SHORT = frozenset({"InsufficientFundsForFee", "InsufficientFundsForRent"})
"""What a trial finds where the payer has too little SOL for the fee, or would be left with too little to exist."""
TOO_FEW_LAMPORTS = 1
"""The system program's error for a payer that cannot pay for a new account; the token program's for too few tokens."""

T = TypeVar("T")


class _Epoch(msgspec.Struct, rename="camel"):
    absolute_slot: int
    block_height: int


class _Context(msgspec.Struct):
    slot: int


class _Status(msgspec.Struct, rename="camel"):
    err: Any
    confirmation_status: str | None


class _Statuses(msgspec.Struct):
    context: _Context
    value: Annotated[list[_Status | None], msgspec.Meta(min_length=1)]


class _Blockhash(msgspec.Struct, rename="camel"):
    blockhash: str
    last_valid_block_height: int


class _LatestBlockhash(msgspec.Struct):
    value: _Blockhash


class _Custom(msgspec.Struct, rename="pascal"):
    custom: int


class _OfInstruction(msgspec.Struct):
    error: tuple[int, _Custom] = msgspec.field(name="InstructionError")


class Rpc:
    """A cluster's JSON-RPC endpoint."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises `ChainRefused` with the cluster's own words, `Unreachable` for any other answer, or none."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            response = await self._http.post("", json=body)
            answer = response.json()
        except (httpx.RequestError, ValueError) as error:
            raise Unreachable(f"{method}: {error!r}") from error
        # A gateway before the node answers in its own words, at any time: they say nothing of what the node did.
        refusal = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(refusal, dict):
            raise _refused(method, refusal)
        if refusal is not None or not isinstance(answer, dict) or "result" not in answer:
            raise Unreachable(f"{method}: no JSON-RPC but {response.status_code}, {response.text[:200]!r}")
        return answer["result"]

    async def asked(self, kind: type[T], method: str, *params: Any) -> T:
        """The result of a call, which must be of that kind: one that is not counts as no answer. Raises what `call` raises."""
        return of_kind(kind, method, await self.call(method, *params))

    async def latest_blockhash(self) -> tuple[str, int]:
        """A blockhash and the last block height at which it is good. Raises what `call` raises."""
        told = await self.asked(_LatestBlockhash, "getLatestBlockhash", {"commitment": "confirmed"})
        return told.value.blockhash, told.value.last_valid_block_height

    async def send_until_confirmed(self, raw: bytes, signature: str, last_height: int) -> None:
        """Send the same bytes until the cluster confirmed them.

        Raises `DepositFailed` when they failed or can land no more, `OutcomeUnknown` when the cluster does not tell: `landed` asks
        again.
        """
        encoded = base64.b64encode(raw).decode()
        sent = False

        async def send() -> None:
            nonlocal sent
            again, sent = sent, True
            await self._send(encoded, again)

        if not await self._decided(signature, last_height, send):
            raise DepositFailed("it expired before it landed", expired=True)

    async def landed(self, signature: str, last_height: int) -> bool:
        """Whether a transaction was confirmed; False when it can be no more, after block height `last_height`.

        Raises `DepositFailed` when it landed and failed, `OutcomeUnknown` while the cluster does not tell.
        """

        async def wait() -> None:
            """It was sent already."""

        return await self._decided(signature, last_height, wait)

    async def _decided(
        self, signature: str, last_height: int, may_land: Callable[[], Awaitable[None]]
    ) -> bool:
        """Look until it is known what became of a transaction; `may_land` is called after each look that leaves it a chance.

        Behind one address may be nodes of which one lags behind another: only looks of nodes that have seen every block it could be in
        say that it is in none.
        """
        loop, nothing = asyncio.get_running_loop(), 0
        until = loop.time() + PATIENCE
        while loop.time() < until:
            try:
                # Asked before the status, so that a transaction that landed in its last block is still seen.
                over = await self._over(last_height)
                seen, status = await self._status(signature)
            except (Unreachable, ChainRefused):
                await asyncio.sleep(POLL)
                continue
            if status is not None:
                # A block that is not confirmed may be dropped, and what failed in it may yet land elsewhere.
                if status.confirmation_status in ("confirmed", "finalized"):
                    if status.err is not None:
                        raise DepositFailed(
                            f"the chain refused it: {status.err}",
                            number_in(status.err),
                            short=_is_short(status.err),
                        )
                    return True
                nothing = 0
            elif over is None:
                await may_land()
            elif seen >= over:
                nothing += 1
                if nothing == LOOKS:
                    return False
            await asyncio.sleep(POLL)
        raise OutcomeUnknown(signature, last_height)

    async def _send(self, encoded: str, again: bool) -> None:
        """Send once. Only the first refusal means that nothing moved: later ones may be about what has landed meanwhile.

        Nor does one of another kind than `NOT_SENT`: a gateway says so, too, when a node does not answer it in time.
        """
        options = {"encoding": "base64", "skipPreflight": again, "preflightCommitment": "confirmed"}
        try:
            await self.call("sendTransaction", encoded, options)
        except Unreachable:
            return  # it may have arrived: its status decides
        except ChainRefused as refused:
            if not again and refused.code in NOT_SENT and refused.found not in SAYS_NOTHING:
                raise DepositFailed(str(refused), refused.number, short=refused.short) from refused

    async def _over(self, last_height: int) -> int | None:
        """A final slot after every block in which a transaction could land, None as long as there is none."""
        info = await self.asked(_Epoch, "getEpochInfo", {"commitment": "finalized"})
        return info.absolute_slot if info.block_height > last_height else None

    async def _status(self, signature: str) -> tuple[int, _Status | None]:
        """What a node knows of a transaction, and the slot that it has come to."""
        options = {"searchTransactionHistory": True}
        found = await self.asked(_Statuses, "getSignatureStatuses", [signature], options)
        return found.context.slot, found.value[0]


def of_kind(kind: type[T], method: str, result: Any) -> T:
    """What a call came to. Raises `Unreachable` where it is nothing of that kind."""
    try:
        return msgspec.convert(result, kind)
    except msgspec.ValidationError as error:
        raise Unreachable(f"{method}: {error}") from error


def _refused(method: str, refusal: dict[str, Any]) -> ChainRefused:
    code, data = refusal.get("code"), refusal.get("data")
    found = data.get("err") if isinstance(data, dict) else None
    return ChainRefused(
        f"{method}: {refusal.get('message', refusal)}",
        code if isinstance(code, int) else 0,
        found if isinstance(found, str) else "",
        number_in(found),
        _is_short(found),
    )


def _is_short(error: Any) -> bool:
    """Whether what a node says of a transaction is that its payer has too little SOL."""
    names = {error} if isinstance(error, str) else set(error) if isinstance(error, dict) else set()
    return bool(names & SHORT) or number_in(error) == TOO_FEW_LAMPORTS


def number_in(error: Any) -> int:
    """The program's own error in what a node says of a transaction, 0 where there is none."""
    try:
        return msgspec.convert(error, _OfInstruction).error[1].custom
    except msgspec.ValidationError:
        return 0
