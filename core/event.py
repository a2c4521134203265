"""What every event is."""

import msgspec


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all events; `at` is the engine's time of the command, in nanoseconds."""

    at: int
