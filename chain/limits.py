"""What bounds the operator's key on chain: settings of the escrow, how much co-signed withdrawals may take, and loss limits."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from solders.pubkey import Pubkey

MICRO: Final = 1_000_000
UNLIMITED: Final = 2**32 - 1
"""The loss limit on chain of whoever set none."""
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
PROPOSAL_GRACE_S: Final = 7 * DAY_S
"""Seconds for which a proposal can be executed once its timelock has run out."""
EXIT_DELAY_MIN_S: Final = 4 * HOUR_S
"""Half of it is all the time that the exchange has to close positions of an owner who leaves, and how late batches may be before
nothing grows any more; a cut that waits for an index is no halt, so that is two hours at least. `limit_delay` is no shorter than the
exit delay, or a batch that is late would find lower limits before it finds who left."""
LOSS_WINDOW_MIN_S: Final = HOUR_S
"""A loss limit counts anew in every window: what it bounds a day is 24 times as much with this one."""
NOTICE_MIN_S: Final = DAY_S
"""What the timelock is longer than the exit delay: the time in which an owner can notice a proposal and still be gone before it."""
_SHARE_ONE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Floors in micro-USDC, shares in parts per million of what the escrow holds, the rest in seconds.

    `timelock` is longer than `exit_delay` and `limit_delay`: what lies between is the time to notice a proposal.
    """

    hour_floor: int
    day_floor: int
    hour_share: int
    day_share: int
    exit_delay: int
    timelock: int
    loss_window: int
    limit_delay: int


DEFAULT_LIMITS: Final = Limits(
    hour_floor=1_000_000 * MICRO,
    day_floor=10_000_000 * MICRO,
    hour_share=10_000,
    day_share=100_000,
    exit_delay=3 * DAY_S,
    timelock=7 * DAY_S,
    loss_window=DAY_S,
    limit_delay=3 * DAY_S,
)
"""Outflow as dYdX v4 limits it: 1 % an hour and 10 % a day, or a million and ten million USDC."""


def too_short(limits: Limits) -> list[str]:
    """One sentence for each delay that is too short for people's money, although the program takes it."""
    found = [
        (limits.exit_delay, EXIT_DELAY_MIN_S, "the exit delay is"),
        (
            limits.limit_delay,
            max(limits.exit_delay, EXIT_DELAY_MIN_S),
            "lower loss limits take effect after",
        ),
        (limits.loss_window, LOSS_WINDOW_MIN_S, "the loss window is"),
        (limits.timelock - limits.exit_delay, NOTICE_MIN_S, "from a proposal, whoever notices it late has"),
    ]
    return [f"{what} {seconds} s, less than {least} s" for seconds, least, what in found if seconds < least]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that changes only by a proposal."""

    admin: Pubkey
    operator: Pubkey
    guardian: Pubkey
    limits: Limits


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings that anyone may put into effect from second `ready_at` on, until `PROPOSAL_GRACE_S` later."""

    number: int
    ready_at: int
    settings: Settings

    def lapsed(self, now_s: int) -> bool:
        """Whether nobody can execute it any more at second `now_s` of the cluster's clock."""
        return now_s > self.ready_at + PROPOSAL_GRACE_S


@dataclass(frozen=True, slots=True)
class Outflow:
    """Co-signed withdrawals within hour or day number `window` since 1970: `used` of them in micro-USDC; the escrow held `base` at the
    first one."""

    base: int
    used: int
    window: int


class Window(NamedTuple):
    """An hour or a day of co-signed withdrawals, micro-USDC: `used` of at most `limit`, which is rounded down.

    `held` is what the escrow held at its first one, or holds as long as there is none.
    """

    limit: int
    used: int
    held: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)

    def left_for(self, had: int, paid: int, waiting: int) -> int:
        """What an owner may still take that `had` so much when the window began, was `paid` so much in it, and has so much else
        `waiting` to be paid.

        Half of the limit is for whoever comes first. Of the other half each owner has the part that it had of all money: so it is not
        taken twice by the same money in another wallet. Rounded down.
        """
        own = self.limit // 2 * min(had, self.held) // self.held - paid if self.held else 0
        unused = self.left - (self.limit - self.limit // 2)
        return max(0, min(self.left, max(own, unused) - waiting))


def outflow_window(outflow: Outflow, now_s: int, length_s: int, held: int, share: int, floor: int) -> Window:
    """The window of `length_s` around `now_s`."""
    same = outflow.window == now_s // length_s
    base, used = (outflow.base, outflow.used) if same else (held, 0)
    return Window(max(floor, base * share // _SHARE_ONE), used, base)
