"""A resumed stream: what an agent missed, page after page, until nothing is left between it and what is told now."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.closing import CloseCode
from api.collaborators import Edge
from api.streams import HistoryUnavailable, Item

if TYPE_CHECKING:
    from api.socket import Connection

log = logging.getLogger("perpdex.socket")

RESUME_PAGE: Final = 500


class CatchUp:
    """Sends a connection the events of its account after a number, and makes it live once it has them all."""

    def __init__(self, connection: "Connection", edge: Edge, after: int) -> None:
        self._connection = connection
        self._edge = edge
        self._after = after
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """At once from memory when that reaches back far enough, else in a task."""
        if not self._caught_up():
            self._task = asyncio.get_running_loop().create_task(self._pages())
            self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _caught_up(self) -> bool:
        """Send what memory still holds; true, and live from here on, when that reaches the head."""
        items = self._edge.streams.recent(self._connection.account, self._after)
        if items is None or len(items) > RESUME_PAGE:
            return False
        self._send(items)
        self._connection.live = True
        return True

    async def _pages(self) -> None:
        """Send page after page until memory reaches the head, letting the socket drain in between."""
        connection, edge = self._connection, self._edge
        try:
            while not connection.closing and not self._caught_up():
                self._send(await edge.streams.after(connection.account, self._after, RESUME_PAGE, edge.reads))
                await asyncio.sleep(0)
                await connection.drained.wait()
        except HistoryUnavailable:
            connection.close(CloseCode.HISTORY_UNAVAILABLE, "resume again later")

    def _send(self, items: list[Item]) -> None:
        for item in items:
            self._connection.send(self._edge.hub.numbered(self._connection.account, item))
            self._after = item.number

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("resume of account %d broke", self._connection.account, exc_info=task.exception())
            self._connection.close(CloseCode.INTERNAL_ERROR, "resume again")
