"""What limits promise, added up beside program and model: from what accounts on chain held before and after, not from counters."""

from escrow_state import UNLIMITED, Limits

HOUR, DAY, USDC = 3_600, 86_400, 1_000_000


class Outflow:
    """Co-signed withdrawals of each hour and each day, as the vault's tokens show them."""

    def __init__(self) -> None:
        self.windows: dict[int, tuple[int, int, int]] = {}

    def paid(self, amount: int, held: int, limits: Limits, now: int) -> None:
        """`amount` left for good reasons; before it the vault held `held`."""
        for length, share, floor in (
            (HOUR, limits.hour_share, limits.hour_floor),
            (DAY, limits.day_share, limits.day_floor),
        ):
            number, base, before = self.windows.get(length, (-1, 0, 0))
            if number != now // length:
                number, base, before = now // length, held, 0
            self.windows[length] = number, base, before + amount
            assert before + amount <= max(floor, base * share // 1_000_000), "more left than the limit allows"


class Losses:
    """What settlement took from each slot less what it gave, within a window of losses; counted while its owner has a limit."""

    def __init__(self) -> None:
        self.moved: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def settled(self, place: tuple[int, int], change: int, limit: int, start: int, now: int) -> None:
        """A page changed the balance at `place` (page, slot) by `change`; `limit` in whole USDC, the window began at `start`."""
        if limit == UNLIMITED:
            self.moved.pop(place, None)
            return
        within = [(at, lost) for at, lost in self.moved.get(place, []) if at >= start] + [(now, -change)]
        self.moved[place] = within
        taken = sum(lost for _, lost in within)
        assert change >= 0 or taken <= limit * USDC, "settlement took more than the owner's limit"

    def begin_anew(self, place: tuple[int, int]) -> None:
        """The place is another account's now."""
        self.moved.pop(place, None)
