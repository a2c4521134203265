"""One vault's snapshot: what it is worth, what is said of that, the manager's fee, and what those who wait get and pay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from core.nav import Valuation
from core.nav_alerts import DEFAULT_LIMITS, DOUBTS, Alert, AlertLimits, Worth, alerts
from core.quantities import MicroUsdc, Nanos
from core.vault_shares import Fee, Mark, Pool, Refusal, charge, deposit, open_with, withdraw


class TransferKind(StrEnum):
    """What somebody waits for."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    OPENING = "opening"
    """What the vault began with becomes the holder's."""


class Waiting(NamedTuple):
    """A transfer that waits: of a deposit its `amount`, of a withdrawal its `shares`, else 0."""

    key: str
    holder: int
    kind: TransferKind
    amount: int
    shares: int


class Dealt(NamedTuple):
    """What became of one: `cash` micro-USDC came in, negative went out; `shares` were made, negative given back."""

    key: str
    refused: Refusal | None
    cash: int
    shares: int


@dataclass(frozen=True)
class Owned:
    """A vault's shares before a snapshot: who has how many, its mark, and the manager's part of what is above."""

    manager: int
    fee_ppm: int
    mark: Mark
    holdings: Mapping[int, int]

    @property
    def shares(self) -> int:
        return sum(self.holdings.values())


@dataclass(frozen=True)
class Snapshot:
    """A vault at an instant, and how it is after those who waited were dealt with: `pool` and `holdings`."""

    found: Valuation
    shares: int
    fee: Fee
    alerts: Sequence[Alert]
    dealt: Sequence[Dealt]
    pool: Pool
    holdings: Mapping[int, int]

    @property
    def doubts(self) -> list[str]:
        """Why nobody dealt; empty when everybody could."""
        return sorted({one.kind.value for one in self.alerts if one.kind in DOUBTS})


def snapshot(
    at: Nanos,
    found: Valuation,
    owned: Owned,
    before: Worth | None,
    waiting: Sequence[Waiting],
    limits: AlertLimits = DEFAULT_LIMITS,
    of_venues: Sequence[Alert] = (),
) -> Snapshot:
    """The snapshot of instant `at`; `before` is what shares were worth at the one before it, after its fee. What is beyond `limits` is
    said aloud, and so is what is known `of_venues`.

    The fee is charged first, then those who wait are dealt with one after another, in the order in which they were accepted; rounding
    is that of `core.vault_shares`. At a doubtful value nothing moves, and they wait on.
    """
    shares = owned.shares
    pool = Pool(found.nav, found.nav_up, found.free, shares, owned.mark)
    said = [*of_venues, *alerts(at, found, shares, owned.mark, before, limits)]
    holdings = dict(owned.holdings)
    if any(one.kind in DOUBTS for one in said):
        return Snapshot(found, shares, Fee(MicroUsdc(0), 0), said, [], pool, holdings)
    pool, fee = charge(pool, owned.fee_ppm)
    _give(holdings, owned.manager, fee.shares)
    dealt = []
    for one in waiting:
        pool, done = _deal(pool, holdings.get(one.holder, 0), one)
        _give(holdings, one.holder, done.shares)
        dealt.append(done)
    return Snapshot(found, shares, fee, said, dealt, pool, holdings)


def _deal(pool: Pool, mine: int, one: Waiting) -> tuple[Pool, Dealt]:
    match one.kind:
        case TransferKind.DEPOSIT:
            came = deposit(pool, one.amount)
            if not isinstance(came, Refusal):
                return came[0], Dealt(one.key, None, one.amount, came[1])
            why = came
        case TransferKind.WITHDRAWAL:
            went = Refusal.SHARES_SHORT if one.shares > mine else withdraw(pool, one.shares)
            if not isinstance(went, Refusal):
                return went[0], Dealt(one.key, None, -went[1], -one.shares)
            why = went
        case _:
            opened = open_with(pool)
            if not isinstance(opened, Refusal):
                return opened[0], Dealt(one.key, None, 0, opened[1])
            why = opened
    return pool, Dealt(one.key, why, 0, 0)


def _give(holdings: dict[int, int], holder: int, shares: int) -> None:
    if shares:
        holdings[holder] = holdings.get(holder, 0) + shares
