"""The agent: one account, one connection that survives breaks, and everything an agent can do."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from solders.keypair import Keypair

from perpdex_sdk import messages as m
from perpdex_sdk.answers import Account, MarginPreview, Session
from perpdex_sdk.conversation import Conversation
from perpdex_sdk.custody import Custody, custody
from perpdex_sdk.errors import Insecure
from perpdex_sdk.keys import folder_beside, key_at
from perpdex_sdk.link import Link, must_be_websocket
from perpdex_sdk.markets import Market
from perpdex_sdk.money import Money
from perpdex_sdk.own_stream import OwnStream
from perpdex_sdk.rest import Rest
from perpdex_sdk.statuses import STATUSES, FillMoved
from perpdex_sdk.trading import Trading, text

log = logging.getLogger("perpdex_sdk")

SESSION_GONE = frozenset({4001, 4002, 4006})
"""Close codes after which a new session is signed."""

M = TypeVar("M", bound=m.Message | FillMoved)
Handler = Callable[[Any], None]


class Agent(Trading, Money):
    """Made by `Agent.connect`. Prices and sizes are decimal strings or `Decimal`s, never floats.

    `balance` and `position()` are kept from the private stream and checked against the exchange's hash at each heartbeat;
    what differs, and whatever a newly listed market changes, is read again.
    """

    def __init__(
        self,
        rest: Rest,
        keypair: Keypair,
        name: str,
        custody: Custody,
        cancel_on_disconnect: bool,
        websocket: str | None = None,
    ) -> None:
        self._link = Link(self._address, self._authenticate, self._receive)
        self._stream = OwnStream(name, rest, self._hear, self._link.drop, self._give_up)
        talk = Conversation(self._link, name)
        Trading.__init__(self, talk)
        Money.__init__(self, rest, keypair, name, custody, talk)
        self._cancel_on_disconnect = cancel_on_disconnect
        self._websocket = websocket
        self._running: asyncio.Task[None] | None = None
        self._handlers: dict[type[Any], list[Handler]] = {}

    @classmethod
    async def connect(
        cls,
        url: str,
        key: Keypair | Path,
        name: str,
        *,
        program: str | None = None,
        escrow: str | None = None,
        mint: str | None = None,
        rpc_url: str | None = None,
        folder: Path | None = None,
        cancel_on_disconnect: bool = True,
        subaccount: int | None = None,
        loss_limit: int | None = None,
        websocket: str | None = None,
    ) -> "Agent":
        """Sign in (registering the agent at first), read its books, and connect. Raises `Refused`, `Unreachable`.

        `key` is the owner's, or its file, which is made when missing and must be its owner's alone (else `KeyFileRefused`). `folder`,
        by default beside the key file, gets the exit kit, the addresses that the exchange names at the first connection, and the
        numbers of the withdrawals that were signed; without either nothing is kept. Where `program`, `escrow` or `mint` are given,
        or were kept, and the exchange names others, `AddressRefused` is raised and nothing signed. `rpc_url` is a Solana node of the
        caller's: it must have the escrow, its mint and its vault, and whatever is asked of the chain is asked it.

        With `subaccount` all of it, also what a broken connection pulls, is about that sub-account of the agent `name`. With
        `loss_limit`, whole USDC, `set_loss_limit` is called besides, and its errors are raised as well. Without, what stands on chain
        is left as it is: a limit bounds what an agent can trade with, so no number would be right for all. `websocket` is where to
        open the WebSocket when that is not what the exchange announces. Raises `Insecure` when `url` has TLS and the WebSocket has
        not, `Unreachable` when it is no WebSocket's address.
        """
        if isinstance(key, Path):
            folder = folder or folder_beside(key)
            key = key_at(key)
        rest = Rest(url, subaccount=subaccount)
        try:
            given = {"program": program, "escrow": escrow, "mint": mint}
            where = await custody(url, await rest.escrow(), given, rpc_url, folder)
        except BaseException:
            await rest.close()
            raise
        agent = cls(rest, key, name, where, cancel_on_disconnect, websocket)
        try:
            agent._session = await agent._sign_in()
            agent._opened_at()
            await agent._stream.start()
            agent._keep_exit_kit(lambda: agent._stream.books)
            agent._running = asyncio.get_running_loop().create_task(agent._link.run())
            agent._running.add_done_callback(agent._link_ended)
            await agent._talk.begun()
            if loss_limit is not None:
                await agent.set_loss_limit(loss_limit)
        except BaseException:
            await agent.close()
            raise
        return agent

    async def close(self) -> None:
        """Disconnect; what waits for an answer ends with `Closed`."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        await self._stream.close()
        self._talk.end("the agent was closed")
        await self.rest.close()

    # --- books ---

    @property
    def markets(self) -> dict[str, Market]:
        """By symbol, as they were read last: on connecting, and with the account whenever that is read again."""
        return self._stream.markets

    @property
    def mismatches(self) -> int:
        """How often the own books differed from the exchange's; each time the account was read again."""
        return self._stream.mismatches

    @property
    def balance(self) -> Decimal:
        """Collateral with realized profit and loss, in USDC."""
        return Decimal(self._stream.books.balance).scaleb(-6)

    @property
    def head(self) -> int:
        """Number of the last event of the private stream that is in the books."""
        return self._stream.books.head

    def position(self, market: str) -> Decimal:
        """Signed size."""
        return self._stream.books.position(market)

    async def snapshot(self) -> Account:
        """Margin and positions as the exchange values them now."""
        return await self.rest.account()

    async def preview(
        self, market: str, side: str, size: Decimal | str, price: Decimal | str
    ) -> MarginPreview:
        """What taking `size` at `price` would do to the account, and whether margin and caps would allow it."""
        return await self.rest.margin_preview(market, side, text(size), text(price))

    def on(self, kind: type[M], handler: Callable[[M], None]) -> None:
        """Have `handler` called for every message of that kind, in order, or for every `FillMoved`, after the books took it in.

        It must not block, nor be a coroutine function: start a task for what takes longer. What it raises is logged with its
        traceback and goes no further: the connection, other handlers and later messages never hear of it.
        """
        self._handlers.setdefault(kind, []).append(handler)

    # --- sub-accounts ---

    async def sub_account(self, market: str) -> "Agent":
        """The isolated sub-account for a market, opened when there is none, as an agent with a connection of its own.

        It must be closed like this one. Put collateral in with `transfer`.
        """
        opened = await self.rest.open_sub_account(market)
        return await Agent.connect(
            self.rest.url,
            self.keypair,
            self.name,
            program=self.escrow.program,
            escrow=self.escrow.escrow,
            mint=self.escrow.mint,
            rpc_url=self._custody.own_node,
            cancel_on_disconnect=self._cancel_on_disconnect,
            subaccount=opened.account,
            websocket=self._websocket,
        )

    # --- the connection ---

    async def _sign_in(self) -> Session:
        return await self.rest.sign_in(self.keypair, self.name, self.escrow.escrow)

    async def _address(self, close_code: int) -> str:
        # Books that could not be read may be that because the session had ended, which no close code tells then.
        if close_code in SESSION_GONE or self._stream.stale:
            self._session = await self._sign_in()
        await self._stream.begin()
        return self._opened_at()

    def _opened_at(self) -> str:
        """Where to open the WebSocket, over which the session's token goes first."""
        address = self._websocket or self._signed_in().websocket
        must_be_websocket(address)
        if self.rest.url.startswith("https:") and not address.startswith("wss:"):
            raise Insecure(f"{self.rest.url} has TLS, and {address} would get the session's token without")
        return address

    def _link_ended(self, running: asyncio.Task[None]) -> None:
        """It ends by itself only with what nobody expected."""
        error = None if running.cancelled() else running.exception()
        if error is not None:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """After what nobody expected nothing would be heard any more, or nothing right: end what waits, and the connection."""
        log.error("%s: the connection is given up", self.name, exc_info=error)
        self._talk.end(f"the connection was given up, which nobody expected: {error!r}")
        if self._running is not None:
            self._running.cancel()

    def _authenticate(self) -> None:
        fields = {
            "token": self._signed_in().token,
            "resume_from": self._stream.resume(),
            "cancel_on_disconnect": self._cancel_on_disconnect,
            "subaccount": self.rest.subaccount,
        }
        self._talk.begin(fields)

    def _receive(self, payload: bytes) -> None:
        message = m.read(payload)
        if message is not None:
            self._stream.receive(message)

    def _hear(self, message: m.Message) -> None:
        self._talk.hear(message)
        reaction = REACTIONS.get(type(message))
        if reaction is not None:
            reaction(self, message)
        self._tell(message)

    def _tell(self, message: m.Message | FillMoved) -> None:
        for handler in self._handlers.get(type(message), ()):
            try:
                handler(message)
            except Exception:
                log.exception("%s: a handler of %s failed", self.name, type(message).__name__)

    def _heard_unknown(self, event: m.Unknown) -> None:
        log.warning("%s: event %d is %r, which this version does not know", self.name, event.n, event.ev)

    def _heard_fill(self, message: m.Fill) -> None:
        self._tell_moved(self._statuses.heard_fill(message))

    def _heard_batch(self, message: m.Batch) -> None:
        self._tell_moved(self._statuses.heard_batch(message))
        if message.status == STATUSES[-1]:
            self._heard_of_kit()

    def _tell_moved(self, moved: Sequence[FillMoved]) -> None:
        for one in moved:
            self._tell(one)

    def _heard_ready(self, message: m.Ready) -> None:
        self._tell_moved(self._statuses.heard_settlement(message.settlement))
        self._heard_of_kit()

    def _heard_slot(self, message: m.Slot) -> None:
        self._heard_of_kit()

    def _heard_heartbeat(self, message: m.Heartbeat) -> None:
        self._tell_moved(self._statuses.heard_settlement(message.settlement))


REACTIONS: dict[type[m.Message], Callable[[Agent, Any], None]] = {
    m.Ready: Agent._heard_ready,
    m.Heartbeat: Agent._heard_heartbeat,
    m.Slot: Agent._heard_slot,
    m.Unknown: Agent._heard_unknown,
    m.Fill: Agent._heard_fill,
    m.Batch: Agent._heard_batch,
}
