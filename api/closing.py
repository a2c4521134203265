"""Why the exchange closes a WebSocket: the code of its last frame, as agents see it."""

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """1000-1011 as in RFC 6455; 4000 and above are this exchange's own."""

    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    NOT_AUTHENTICATED = 4001
    SESSION_EXPIRED = 4002
    SLOW_READER = 4003
    HISTORY_UNAVAILABLE = 4004
    BAD_MESSAGES = 4005
    SESSION_REVOKED = 4006
    FLOODING = 4007
    SILENT = 4008


WHY: Final = {
    CloseCode.GOING_AWAY: "The exchange stops; connect again and resume.",
    CloseCode.UNSUPPORTED_DATA: "Only text frames are understood.",
    CloseCode.TOO_BIG: "A message was larger than 64 KiB.",
    CloseCode.INTERNAL_ERROR: "Something unexpected happened here; connect again and resume.",
    CloseCode.NOT_AUTHENTICATED: "`auth` did not come in time or first, or was refused; the `error` before says why.",
    CloseCode.SESSION_EXPIRED: "The session token has expired: sign a new challenge.",
    CloseCode.SLOW_READER: "The agent did not read what was sent to it; connect again and resume.",
    CloseCode.HISTORY_UNAVAILABLE: "The events to resume from cannot be read now; connect again and resume.",
    CloseCode.BAD_MESSAGES: "Too many messages in a row that were none of the protocol.",
    CloseCode.SESSION_REVOKED: "The account's sessions were revoked: sign a new challenge.",
    CloseCode.FLOODING: "Far more was sent than may be, whatever was answered: send less, then connect again.",
    CloseCode.SILENT: "Nothing came for thirty seconds, not even the answers to pings; connect again and resume.",
}
"""What an agent is to make of each."""
PING: Final = bytes((0x89, 0))
"""A whole frame; its peer's WebSocket answers it, whatever the agent is doing."""


def close_frame(code: CloseCode, reason: str) -> bytes:
    """A whole close frame; `reason` is cut to the 123 bytes that it may have."""
    payload = int(code).to_bytes(2, "big") + reason.encode()[:123]
    return bytes((0x88, len(payload))) + payload
