"""What every message of the exchange is, and what every event of the private stream is besides."""

import msgspec


class Message(msgspec.Struct, frozen=True, tag_field="ev", gc=False):
    """Base of all messages."""


class Numbered(Message, frozen=True):
    """An event of the private stream."""

    n: int
    seq: int
    at: int
