"""What can be asked of the exchange. Units: ticks, lots, micro-USDC, nanoseconds; `side` is +1 buy, -1 sell.

Commands that carry a `key` are idempotent under it, per account: the same key and payload return the first answer, the same
key with another payload is a conflict.
"""

import msgspec

from core.funding import FundingTerms
from core.liquidation import LiquidationTerms
from core.margin_terms import MarginTerms
from core.mark_price import MarkTerms
from core.market import Market, MarketStatus
from core.open_interest import JumpAlarm
from core.validity import Validity
from matcher.agent_commands import AcceptQuote as AcceptQuote
from matcher.agent_commands import AnswerRequest as AnswerRequest
from matcher.agent_commands import CancelAfter as CancelAfter
from matcher.agent_commands import CancelAll as CancelAll
from matcher.agent_commands import CancelQuote as CancelQuote
from matcher.agent_commands import CancelRequest as CancelRequest
from matcher.agent_commands import OpenRequest as OpenRequest
from matcher.agent_commands import OpenSubAccount as OpenSubAccount
from matcher.agent_commands import PassRequest as PassRequest
from matcher.agent_commands import SetProtection as SetProtection
from matcher.agent_commands import SetQuotes as SetQuotes
from matcher.agent_commands import Subscribe as Subscribe
from matcher.agent_commands import Transfer as Transfer
from matcher.command import Command as Command


def pulls(command: Command) -> bool:
    """Whether it does no more than take standing quotes back: that must be possible always, however late it comes."""
    return isinstance(command, SetQuotes) and not command.bids and not command.asks


class StartEpoch(Command, frozen=True):
    """The engine started: open requests and quotes of the last run are gone; new ids cannot meet old ones."""


class ByOperator(Command, frozen=True, kw_only=True):
    """Base of what a person decides. `who` is the name of the operator's credential, `why` the reason: both stay in the record."""

    who: str = ""
    why: str = ""


class OrBySweep(ByOperator, frozen=True, kw_only=True):
    """Base of what the sweep asks for, too, every minute and without a reason, as nobody else may: only what has one is in the
    audit trail."""


class ListMarket(ByOperator, frozen=True):
    """List `market`, or replace its parameters while nobody holds a position in it. Limits that an operator has set stay, and what
    prices mean stays once there were any."""

    market: Market


class SetMarketStatus(ByOperator, frozen=True):
    """Open a market, let it only reduce, or pause it. A pause ends its requests and pulls its quotes."""

    market: int
    status: MarketStatus


class SetLimits(ByOperator, frozen=True):
    """Change a market's limits, also while positions are open; None leaves one as it is, and `no_alarm` takes the alarm away.

    What is held beyond a lower cap stays and can only shrink. Margin terms that would put an account below its maintenance requirement
    are refused unless `force` is set. Hours of funding that have ended cost what their records say, whatever changes.
    """

    market: int
    max_leverage: int | None = None
    taker_fee: int | None = None
    oracle_band: int | None = None
    position_cap: int | None = None
    open_interest_cap: int | None = None
    margin: MarginTerms | None = None
    thin_only_reduces: bool | None = None
    price_band: int | None = None
    alarm: JumpAlarm | None = None
    liquidation: LiquidationTerms | None = None
    funding: FundingTerms | None = None
    index_max_age: int | None = None
    greedy_deleveraging: bool | None = None
    mark: MarkTerms | None = None
    fill_max_age: int | None = None
    force: bool = False
    no_alarm: bool = False


class DelistMarket(ByOperator, frozen=True):
    """Announce the end of a market, or end it at once with `force`: at the average of the hour before, whatever is believed now."""

    market: int
    force: bool = False


class HoldWithdrawals(ByOperator, frozen=True):
    """Stop reserving withdrawals, or go on."""

    held: bool


class HoldSettlement(ByOperator, frozen=True):
    """Cut no further batch, or go on. What is cut is finished."""

    held: bool


class RetryBatch(ByOperator, frozen=True):
    """Note that the last batch is taken up anew, while settlement is held and the batch not final: somebody else has its number."""

    batch: int


class HeldSlot(msgspec.Struct, frozen=True):
    """What an account's slot holds on chain, micro-USDC, where the books have `settled`; `unapplied` is the chain's sum.

    `withdrawal` is the number of its last co-signed withdrawal where the exchange has given none so high, else 0.
    """

    account: int
    settled: int
    holds: int
    unapplied: int
    withdrawal: int = 0


class ForeignWithdrawal(msgspec.Struct, frozen=True):
    """A co-signed withdrawal that landed and is none of the exchange's: micro-USDC, and the transaction's signature."""

    account: int
    amount: int
    signature: str


class AcceptChain(ByOperator, frozen=True):
    """Take over what the chain, finally, holds otherwise than the books have it, while settlement is held and no batch on its way.

    `slots` are those that differ, `left_over` is the escrow's clearing. `astray` is what lies in `strangers`, (page, slot), which the
    books do not know, or was claimed from there; `lost` is what that and withdrawals from there make the insurance fund lose: the
    engine computes it again. All in micro-USDC.
    """

    slots: tuple[HeldSlot, ...]
    left_over: int
    astray: int
    lost: int
    strangers: tuple[tuple[int, int], ...] = ()
    withdrawn: tuple[ForeignWithdrawal, ...] = ()


class SeeExitDelay(Command, frozen=True):
    """The escrow's exit delay, finally, and after how long a lower loss limit counts there, in seconds; 0: not told."""

    seconds: int
    limit_delay: int = 0


class UpdateIndex(Command, frozen=True):
    """The feed's judgement of a market: a price in ticks, and how far it is believed.

    `published` is when it was judged and never goes back; `source` is shown wherever the price is. Where `validity` allows nothing the
    price does not count, and may be 0 when there is none. `outside` is the median mid of the same perp at other venues, in ticks, 0
    when none is known; one out of range counts as 0.
    """

    market: int
    price: int
    confidence: int
    published: int
    source: str
    validity: Validity = Validity.VALID
    outside: int = 0


class RegisterAgent(Command, frozen=True):
    """Create the account of (`owner`, `name`), or return it when it exists. `owner` is a base58 Solana key."""

    owner: str
    name: str


class RevokeSessions(Command, frozen=True):
    """Void every session token of the account."""

    account: int


class SetTier(Command, frozen=True):
    account: int
    tier: int


class BindSlot(Command, frozen=True):
    """The escrow opened (`page`, `slot`) for `account`."""

    account: int
    page: int
    slot: int


class CreditDeposit(Command, frozen=True):
    """A finalized deposit on chain; `key` is its transaction signature and instruction index: credited once."""

    account: int
    amount: int
    key: str


class CreditDeposits(Command, frozen=True):
    """Many deposits at once, as by `CreditDeposit` each: all of them, but those that were credited before, or none."""

    deposits: tuple[CreditDeposit, ...]


class ReserveWithdrawal(Command, frozen=True):
    """Take `amount` out of the account until the chain paid it or the withdrawal is released.

    Less than `minimum` only when that empties the account. `destination` is kept for whoever goes on with it.
    """

    account: int
    amount: int
    key: str
    minimum: int = 0
    destination: str = ""


class FinishWithdrawal(Command, frozen=True):
    """The chain paid (`paid`) or provably never will: close the reservation either way, once."""

    withdrawal: int
    paid: bool
    signature: str


class RequestExit(Command, frozen=True):
    """The account's slot on chain, finally, has a request to take out up to `amount` micro-USDC from second `exit_at` on.

    Idempotent: the request that stands is told again and again.
    """

    account: int
    amount: int
    exit_at: int


class ReleaseExit(Command, frozen=True):
    """The account's slot has no request any more, in a view of the chain in which `claimed` micro-USDC had been claimed in all.

    Only the same total here, with what was claimed from slots that the books do not know, says that it was taken back: else its claim
    is on its way.
    """

    account: int
    claimed: int


class ClaimExit(Command, frozen=True):
    """The chain, finally, paid `amount` micro-USDC out of the account's slot to its owner; `key` names that, once."""

    account: int
    amount: int
    key: str


class SeeStray(Command, frozen=True):
    """Money moved, finally, in a slot that the books do not know: `claimed` micro-USDC were taken out of it, or 0: it came in.

    Repeated where the `key` is that of a deposit or claim which was booked: its account had that slot then.
    """

    key: str
    claimed: int


class ReduceForExit(Command, frozen=True):
    """Close some of what is held against the account's exit, when that is due. `claimed` as in `ReleaseExit`."""

    account: int
    claimed: int


class TakeUnapplied(Command, frozen=True):
    """What landed batch `batch` made of the slots of a page: `unapplied` are (slot, the chain's sum in micro-USDC)."""

    batch: int
    page: int
    unapplied: tuple[tuple[int, int], ...]


class LimitedSlot(msgspec.Struct, frozen=True):
    """What a slot shows of its owner's loss limit, micro-USDC: the lowest that is in force or to come, what it leaves in the window.

    `limit` is `core.loss_limit_events.NO_LIMIT` when there is none. `unapplied` is the slot's sum of what batches did not do.
    """

    account: int
    limit: int
    left: int
    unapplied: int


class SeeLossLimits(Command, frozen=True):
    """Slots of a page, seen after batch `batch` was cut; `landed`: the page had taken it."""

    batch: int
    landed: bool
    slots: tuple[LimitedSlot, ...]


class CutSettlement(Command, frozen=True):
    """Cut batch `batch`: must be the last cut's number plus one; the last number again returns the same cut."""

    batch: int


class AdvanceBatch(Command, frozen=True):
    """Public status of a batch, only forward: see `core.batches`."""

    batch: int
    status: int
    signatures: tuple[str, ...] = ()


class SetInsuranceFloor(ByOperator, frozen=True):
    """What the insurance fund keeps, micro-USDC, besides what its positions require: below it accounts are deleveraged."""

    floor: int


class ShareDebt(ByOperator, frozen=True):
    """Have accounts without positions share what the rules have left of an account's debt (`core.debts`)."""

    account: int


class SellInventory(OrBySweep, frozen=True):
    """Auction a part of what the insurance fund holds in `market`, unless one is going on or nothing is held there."""

    market: int


class SettleFunding(Command, frozen=True):
    """Pay the funding of a market's hour that ended at `hour` (hours since the Unix epoch).

    Once: a repeat returns the first record, without its payments. Hours are paid in order.
    """

    market: int
    hour: int


class ReviewAccount(OrBySweep, frozen=True):
    """Look at an account anew: liquidate it if it is below its maintenance requirement, go on with it if it is being liquidated."""

    account: int


class Advance(Command, frozen=True):
    """Time passed or marks moved: liquidate and warn accounts, expire requests and quotes, fire dead-man switches, sample premiums."""
