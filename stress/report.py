"""What a run came to: its samples over time, its counts, and whether every invariant held."""

from pathlib import Path

import msgspec

from stress.losses import Split


class Scenario(msgspec.Struct, frozen=True):
    """What a run is made of: the same scenario gives the same records.

    `prices` are recordings, of which the steepest `hours` are played; without any a crash is made up that falls by `fall` parts per
    million in the middle of `hours`. `insurance` is what the insurance fund begins with and `floor` what it must keep, in micro-USDC.
    Hours of funding are paid `funding_late` nanoseconds after they end. There are so many pairs of `spoilers`. `routed`: several
    publishers tell the prices and the feed's router judges them; else the exchange hears every price at once, fully believed.
    `leaving` percent of the traders bound what batches may take of them, or ask to leave on chain; then the last market ends with the
    tape, announced a day before.
    """

    prices: tuple[str, ...]
    hours: int
    fall: int
    accounts: int
    seed: int
    insurance: int
    floor: int
    funding_late: int = 0
    spoilers: int = 0
    routed: bool = False
    leaving: int = 0


class Sample(msgspec.Struct, frozen=True):
    """One look at everything, `at` nanoseconds since the epoch. Money is micro-USDC at the marks; `index` is each market's, in ticks.

    `open_interest` is what is held long; `below_zero` are agents' accounts whose equity is negative; `quoting` are makers that are
    not away. `fills` and what follows count from the beginning: liquidations begun, auctions that sold something,
    takeovers and deleveragings.
    """

    at: int
    index: tuple[int, ...]
    traders: int
    makers: int
    insurance: int
    treasury: int
    open_interest: int
    holders: int
    below_zero: int
    quoting: int
    fills: int
    liquidations: int
    auctions: int
    takeovers: int
    deleveragings: int


class Check(msgspec.Struct, frozen=True):
    """Something that must hold, and what was found."""

    what: str
    held: bool
    found: str


class Report(msgspec.Struct, frozen=True):
    """One run. `events` and `refused` count by name and by code; `insurance` sums the fund's postings by reason, in micro-USDC.

    `furthest_mark` is the largest distance that a mark had from its index, in parts per million, rounded down; `unbelieved` counts how
    often a market's index was not believed enough to trade at.
    """

    scenario: Scenario
    source: str
    markets: tuple[str, ...]
    steps: int
    step_ms: int
    seconds: float
    commands: int
    records: int
    events: dict[str, int]
    refused: dict[str, int]
    insurance: dict[str, int]
    losses: Split
    checks: tuple[Check, ...]
    state_hash: str
    samples: tuple[Sample, ...]
    furthest_mark: int = 0
    unbelieved: int = 0

    def broken(self) -> list[str]:
        """A sentence for each invariant that did not hold; empty when all did."""
        return [f"{check.what}: {check.found}" for check in self.checks if not check.held]

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
