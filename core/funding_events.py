"""Records of funding: premiums as they are sampled, and an hour's payments."""

from bisect import bisect_left

from msgspec.structs import replace

from core.event import Event


class PremiumSampled(Event, frozen=True, array_like=True, tag=16):
    """A market's premium over its index, as its standing quotes were just then.

    It counts for the hour that is paid at `hour` (hours since the Unix epoch). `premium` is a rate for eight hours; `index` is ticks,
    `bid` and `ask` are the impact prices in millionths of a tick, 0 where the quotes do not hold so much. `makers` owners stood;
    `stood` has the first account of each, ascending, and the lots of its smaller side (`core.depth.standing`). Older records have
    accounts in `joined` instead, those that the hour had not seen before.
    """

    market: int
    hour: int
    premium: int
    index: int
    bid: int
    ask: int
    makers: int
    joined: tuple[int, ...]
    stood: tuple[tuple[int, int], ...] = ()


class FundingSettled(Event, frozen=True, array_like=True, tag=17):
    """One market's funding of the hour that ended at `hour` (hours since the Unix epoch): who paid what, and why.

    `basis` says what the rate follows (`core.funding_hour.Basis`); `premium` is the hour's mean of `samples` premiums, `makers` the
    owners that stood in at least half of it, `skew` the net lots that no making explains, `open_interest` in lots. Rates are parts of
    10**12: `rate` is for eight hours, `hourly` is what was charged on the notional at the `index` price (ticks), and from `after` the
    next hour's rate drifts if it must follow the skew.

    `payments` are (account, micro-USDC paid; negative: received), ascending by account and without zeros; all together they are
    `treasury` plus `insurance`. `accounts` counts them and `paid` sums up what payers paid.
    """

    market: int
    hour: int
    basis: int
    samples: int
    premium: int
    makers: int
    skew: int
    open_interest: int
    rate: int
    hourly: int
    after: int
    index: int
    accounts: int
    paid: int
    treasury: int
    insurance: int
    payments: tuple[tuple[int, int], ...]


class HourEnded(Event, frozen=True, array_like=True, tag=30):
    """An hour of a market has ended: from here on its funding is owed, although it is paid only later, by `FundingSettled`.

    The fields are those of `FundingSettled` with the same names. `charge` is what a long lot owes, in millionths of a micro-USDC;
    `treasury_share` of what a maker receives is the treasury's, parts per million. Makers are all accounts of the owners that made
    the market; without `by_owner`, as in older records, only accounts that stood or were filled themselves.
    """

    market: int
    hour: int
    basis: int
    premium: int
    makers: int
    skew: int
    open_interest: int
    rate: int
    hourly: int
    after: int
    charge: int
    treasury_share: int
    by_owner: bool = False


FUNDING_RECORDS = PremiumSampled | FundingSettled | HourEnded


def paid_by(event: FundingSettled, account: int) -> int:
    """Micro-USDC that an account paid (negative: received); zero for one that neither paid nor received."""
    place = bisect_left(event.payments, (account,))
    if place < len(event.payments) and event.payments[place][0] == account:
        return event.payments[place][1]
    return 0


def part_of(event: FundingSettled, account: int) -> FundingSettled:
    """The record with this account's payment only: what its owner may see."""
    return replace(event, payments=((account, paid_by(event, account)),))


def headline(event: FundingSettled) -> FundingSettled:
    """The record without its payments, which may be a hundred thousand: what is kept for repeats."""
    return replace(event, payments=())
