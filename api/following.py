"""A vault's numbered events over the WebSocket, read from the ledger, which is where they are numbered."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api import outgoing as out
from api import wire
from api.collaborators import Edge
from api.errors import ApiError
from api.hub import frame
from api.quant_keys import genuine_key, valid_key
from api.streams import HistoryUnavailable
from api.views_quant import event

if TYPE_CHECKING:
    from api.socket import Connection

log = logging.getLogger("perpdex.socket")

PAGE: Final = 200


class Follower:
    """One connection that is told a vault's events after a number, or what is new from now on.

    `asked` is answered once the ledger has said that its key counts.
    """

    def __init__(self, connection: "Connection", edge: Edge, asked: wire.Vault) -> None:
        """Raises `ApiError` for a key that may not read."""
        self.vault = genuine_key(edge, asked.key, "read").vault
        self._connection = connection
        self._edge = edge
        self._key = asked.key
        self._unanswered: str | None = asked.id
        self._after = asked.after
        self._doubted = False
        self._head = 0
        self._stirred = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._tell())
        self._task.add_done_callback(self._ended)

    def moved(self, head: int) -> None:
        self._head = head
        self._stirred.set()

    def doubted(self) -> None:
        """A key of the vault was revoked: it may be this one."""
        self._doubted = True
        self._stirred.set()

    def cancel(self) -> None:
        self._edge.vault_streams.leave(self)
        self._task.cancel()

    async def _tell(self) -> None:
        connection, edge = self._connection, self._edge
        edge.vault_streams.join(self)
        await valid_key(edge, self._key, "read")
        if self._unanswered is not None:
            connection.send(frame(out.Ack(self._unanswered)))
            self._unanswered = None
        if self._after is None:
            _, self._after = await edge.quant.events(self.vault, 0, 1)
        while not connection.closing:
            events, head = await edge.quant.events(self.vault, self._after, PAGE)
            # Keys end while somebody listens.
            await valid_key(edge, self._key, "read")
            for one in events:
                shown = event(one)
                message = out.VaultEvent(self.vault, shown.number, shown.kind, shown.data, shown.at)
                connection.send(frame(message))
                self._after = one.number
            await connection.drained.wait()
            while self._after >= max(head, self._head):
                self._stirred.clear()
                await self._stirred.wait()
                if self._doubted:
                    self._doubted = False
                    await valid_key(edge, self._key, "read")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._edge.vault_streams.leave(self)
        if task.cancelled():
            if self._unanswered is not None and not self._connection.closing:
                # It was taken, and the next one came before anything else was said.
                self._connection.send(frame(out.Ack(self._unanswered)))
            return
        error = task.exception()
        if isinstance(error, HistoryUnavailable):
            error = ApiError("history_unavailable")
        if isinstance(error, ApiError):
            self._connection.error(self._unanswered, error)
        elif error is not None:
            log.error("telling of vault %s broke", self.vault, exc_info=error)
            self._connection.error(self._unanswered, ApiError("internal_error"))
