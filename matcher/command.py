"""What every command is."""

import msgspec


class Command(msgspec.Struct, frozen=True, tag=True):
    """Base of all commands: only so that one union can be typed."""
