"""Why the exchange closes a WebSocket: the code of its last frame, as agents see it."""

from enum import IntEnum


class CloseCode(IntEnum):
    """1000-1011 as in RFC 6455; 4000 and above are this exchange's own."""

    GOING_AWAY = 1001
    """The exchange stops; connect again and resume."""
    UNSUPPORTED_DATA = 1003
    """Only text frames are understood."""
    TOO_BIG = 1009
    """A message was larger than 64 KiB."""
    INTERNAL_ERROR = 1011
    """Something unexpected happened here; connect again and resume."""
    NOT_AUTHENTICATED = 4001
    """`auth` did not come in five seconds, did not come first, or was refused; the `error` before says why."""
    SESSION_EXPIRED = 4002
    """The session token has expired: sign a new challenge."""
    SLOW_READER = 4003
    """The agent did not read what was sent to it; connect again and resume."""
    HISTORY_UNAVAILABLE = 4004
    """The events to resume from cannot be read now; connect again and resume."""
    BAD_MESSAGES = 4005
    """Too many messages in a row that were no messages of the protocol."""


def close_frame(code: CloseCode, reason: str) -> bytes:
    """A whole close frame; `reason` is cut to the 123 bytes that it may have."""
    payload = int(code).to_bytes(2, "big") + reason.encode()[:123]
    return bytes((0x88, len(payload))) + payload
