"""The durable state as bytes: for snapshots, and for the hash by which two states are known to be equal."""

import hashlib
from heapq import heappush
from operator import itemgetter

import msgspec

from core.events import (
    Filled,
    IndexUpdated,
    MarkUpdated,
    RequestClosed,
    WithdrawalFinished,
    WithdrawalReserved,
)
from core.exit_events import ExitClaimed, ExitRequested
from core.loss_limits import LossLimit
from core.mark_price import Basis
from core.market import Market, MarketStatus
from core.position import Position
from core.settlement_price import Minute, Past
from core.subaccount_events import Transferred
from matcher.account import WAITING, Account, join
from matcher.apply_exits import tie
from matcher.book import DELISTING_DEADLINE, Ladder
from matcher.breakers import BreakersImage, breakers_in, image_of
from matcher.custody import Custody
from matcher.funding import MarketFunding
from matcher.image_funding import FundingImage, funding_image, load_funding
from matcher.state import Cut, Exchange
from matcher.sums import summed
from matcher.transfers import Transfers
from matcher.watch import Liquidation

IMAGE_VERSION = 1


class AccountImage(msgspec.Struct, array_like=True):
    """`beyond` are the numbers of those requests in `closed`."""

    id: int
    owner: str
    name: str
    tier: int
    page: int
    slot: int
    balance: int
    settled: int
    deposited: int
    number: int
    positions: list[tuple[int, int, int]]
    closed: list[RequestClosed]
    generation: int = 0
    warned: int = 0
    parent: int = 0
    market: int = 0
    unapplied: int = 0
    foreign: int = 0
    beyond: list[int] = []


class CutImage(msgspec.Struct, array_like=True):
    batch: int
    at: int
    seq: int
    previous_seq: int
    marks: tuple[tuple[int, int], ...]
    deltas: list[tuple[int, int]]
    balances: list[tuple[int, int]]
    equities: list[tuple[int, int]]
    left_over: int = 0


class LiquidationImage(msgspec.Struct, array_like=True):
    """`unsold` of an image without `unsold_in` is that of all that the account holds. `fills` were of an auction that a crash had
    parted from its record; no command is parted any more, so there are none."""

    id: int
    account: int
    step: str
    fills: list[Filled] = []
    unsold: bool = False
    unsold_in: list[int] = []


class Image(msgspec.Struct, array_like=True):
    """Everything durable, in a canonical order. Fields may only be appended, with defaults.

    `deposit_amounts` are those of `deposits`, micro-USDC; 0, as for all in images without them, is not known.
    """

    version: int
    seq: int
    epoch: int
    last_fill: int
    last_withdrawal: int
    next_account: int
    markets: list[tuple[Market, int]]
    indexes: list[IndexUpdated]
    accounts: list[AccountImage]
    deposits: list[tuple[str, int]]
    withdrawals: list[WithdrawalReserved]
    finished_withdrawals: list[WithdrawalFinished]
    withdrawal_keys: list[WithdrawalReserved]
    deposited: int
    paid_out: int
    reserved: int
    cut: CutImage | None
    batches: list[tuple[int, int]]
    mark_records: list[MarkUpdated] = []
    bases: list[tuple[int, Basis]] = []
    last_prices: list[tuple[int, int]] = []
    at: int = 0
    last_liquidation: int = 0
    liquidations: list[LiquidationImage] = []
    insurance_floor: int = 0
    funding: list[FundingImage] = []
    breakers: BreakersImage = msgspec.field(default_factory=BreakersImage)
    transfers: list[tuple[int, list[Transferred]]] = []
    exits: list[ExitRequested] = []
    claims: list[ExitClaimed] = []
    loss_limits: list[tuple[int, LossLimit]] = []
    deposit_amounts: list[int] = []
    matured: list[int] = []
    fund_period: int = 0
    fund_began: int = 0
    pasts: list[tuple[int, list[Minute]]] = []
    custody: Custody = msgspec.field(default_factory=Custody)


def dump(state: Exchange) -> bytes:
    """Canonical bytes of the durable part: equal states give equal bytes."""
    return msgspec.msgpack.encode(_image(state))


def state_hash(state: Exchange) -> str:
    """SHA-256 of the durable part, in hex."""
    return hashlib.sha256(dump(state)).hexdigest()


def load(data: bytes) -> Exchange:
    """The exchange that `dump` wrote, with an empty book. Raises `msgspec.DecodeError` or `ValueError` for anything else."""
    image = msgspec.msgpack.decode(data, type=Image)
    if image.version != IMAGE_VERSION:
        raise ValueError(f"snapshot version {image.version} is not {IMAGE_VERSION}")
    state = Exchange()
    for name in (
        "seq",
        "at",
        "epoch",
        "last_fill",
        "last_withdrawal",
        "next_account",
        "deposited",
        "paid_out",
        "reserved",
        "last_liquidation",
        "insurance_floor",
        "fund_period",
        "fund_began",
        "custody",
    ):
        setattr(state, name, getattr(image, name))
    for market, status in image.markets:
        _load_market(state, market, status)
    state.indexes = {index.market: index for index in image.indexes}
    state.mark_records = {record.market: record for record in image.mark_records}
    state.bases, state.last_prices = dict(image.bases), dict(image.last_prices)
    state.funding |= {kept.market: load_funding(kept) for kept in image.funding}
    for account in image.accounts:
        _load_account(state, account)
    state.sums = summed(state.accounts.values())
    state.follow_hours()
    state.watch.suspect_many(
        [one.id for one in state.accounts.values() if one.positions or one.warned or state.funds(one) < 0]
    )
    for going in image.liquidations:
        unsold = set(going.unsold_in)
        if going.unsold and not unsold:
            unsold = set(state.accounts[going.account].positions)
        state.liquidations[going.account] = Liquidation(going.id, going.account, going.step, unsold)
        state.watch.suspect(going.account)
    state.breakers = breakers_in(image.breakers, state.markets)
    for announced in image.breakers.announced:
        heappush(state.book.deadlines, (announced.settles_at, DELISTING_DEADLINE, 0, announced.market))
    state.pasts |= {id: Past(minutes) for id, minutes in image.pasts}
    for id in state.markets:
        state.follow_index(id)
    amounts = image.deposit_amounts or [0] * len(image.deposits)
    for (key, account_id), amount in zip(image.deposits, amounts, strict=True):
        state.deposits[key] = account_id, amount
    state.withdrawals = {event.withdrawal: event for event in image.withdrawals}
    for reserved in image.withdrawals:
        state.accounts[reserved.account].withdrawals_open += 1
    state.finished_withdrawals = {event.withdrawal: event for event in image.finished_withdrawals}
    state.withdrawal_keys = {(event.account, event.key): event for event in image.withdrawal_keys}
    state.batches = dict(image.batches)
    state.transfers = {parent: Transfers(kept) for parent, kept in image.transfers}
    state.exits = {event.account: event for event in image.exits}
    state.matured = set(image.matured)
    for root in image.matured:
        tie(state, root)
    state.exits_due = sorted(state.ripens(event) for event in image.exits)
    state.claims = {event.key: event for event in image.claims}
    state.loss_limits = dict(image.loss_limits)
    state.claimed = sum(event.amount for event in image.claims)
    if image.cut is not None:
        cut = image.cut
        state.cut = Cut(
            cut.batch,
            cut.at,
            cut.seq,
            cut.previous_seq,
            cut.marks,
            dict(cut.deltas),
            dict(cut.balances),
            dict(cut.equities),
            cut.left_over,
        )
    state.book.next_id = (state.epoch << 32) + 1
    return state


def _image(state: Exchange) -> Image:
    cut, deposits = state.cut, sorted(state.deposits.items())
    return Image(
        version=IMAGE_VERSION,
        seq=state.seq,
        epoch=state.epoch,
        last_fill=state.last_fill,
        last_withdrawal=state.last_withdrawal,
        next_account=state.next_account,
        markets=[(state.markets[id], int(state.statuses[id])) for id in sorted(state.markets)],
        indexes=[state.indexes[id] for id in sorted(state.indexes)],
        accounts=[_account_image(state.accounts[id]) for id in sorted(state.accounts)],
        deposits=[(key, account) for key, (account, _) in deposits],
        withdrawals=[state.withdrawals[id] for id in sorted(state.withdrawals)],
        finished_withdrawals=[state.finished_withdrawals[id] for id in sorted(state.finished_withdrawals)],
        withdrawal_keys=[state.withdrawal_keys[key] for key in sorted(state.withdrawal_keys)],
        deposited=state.deposited,
        paid_out=state.paid_out,
        reserved=state.reserved,
        cut=None
        if cut is None
        else CutImage(
            cut.batch,
            cut.at,
            cut.seq,
            cut.previous_seq,
            cut.marks,
            sorted(cut.deltas.items()),
            sorted(cut.balances.items()),
            sorted(cut.equities.items()),
            cut.left_over,
        ),
        batches=sorted(state.batches.items()),
        mark_records=[state.mark_records[id] for id in sorted(state.mark_records)],
        bases=[(id, state.bases[id]) for id in sorted(state.bases)],
        last_prices=sorted(state.last_prices.items()),
        at=state.at,
        last_liquidation=state.last_liquidation,
        liquidations=[
            LiquidationImage(
                going.id, going.account, going.step, [], bool(going.unsold), sorted(going.unsold)
            )
            for _, going in sorted(state.liquidations.items())
        ],
        insurance_floor=state.insurance_floor,
        funding=[funding_image(id, state.funding[id]) for id in sorted(state.funding)],
        breakers=image_of(state.breakers),
        transfers=[(parent, list(kept)) for parent, kept in sorted(state.transfers.items())],
        exits=[state.exits[id] for id in sorted(state.exits)],
        claims=[state.claims[key] for key in sorted(state.claims)],
        loss_limits=sorted(state.loss_limits.items(), key=itemgetter(0)),
        deposit_amounts=[amount for _, (_, amount) in deposits],
        matured=sorted(state.matured),
        fund_period=state.fund_period,
        fund_began=state.fund_began,
        pasts=[(id, list(state.pasts[id].minutes)) for id in sorted(state.pasts)],
        custody=state.custody,
    )


def _account_image(account: Account) -> AccountImage:
    return AccountImage(
        account.id,
        account.owner,
        account.name,
        account.tier,
        account.page,
        account.slot,
        account.balance,
        account.settled,
        account.deposited,
        account.number,
        [(id, held.size, held.cost) for id, held in sorted(account.positions.items())],
        [*(account.filled or ()), *(account.unfilled or ())],
        account.generation,
        account.warned,
        account.parent.id if account.parent is not None else 0,
        account.market,
        account.unapplied,
        account.foreign,
        [closed.request for closed in account.beyond or ()],
    )


def _load_market(state: Exchange, market: Market, status: int) -> None:
    state.markets[market.id] = market
    state.statuses[market.id] = MarketStatus(status)
    state.open_interest[market.id] = 0
    state.pasts[market.id] = Past()
    state.book.asks[market.id] = Ladder(1)
    state.book.bids[market.id] = Ladder(-1)
    state.book.makers[market.id] = {}
    state.funding[market.id] = MarketFunding()


def _load_account(state: Exchange, image: AccountImage) -> None:
    account = Account(
        image.id, image.owner, image.name, state.owners.setdefault(image.owner, []) if image.owner else []
    )
    account.tier = image.tier
    account.page, account.slot = image.page, image.slot
    account.balance, account.settled = image.balance, image.settled
    account.deposited, account.number = image.deposited, image.number
    account.generation = image.generation
    account.positions = {id: Position(size, cost) for id, size, cost in image.positions}
    for id, size, _ in image.positions:
        state.open_interest[id] += max(0, size)
        (state.longs if size > 0 else state.shorts).setdefault(id, {})[account.id] = account.positions[id]
    beyond = set(image.beyond)
    for closed in image.closed:
        account.keep(closed, beyond=closed.request in beyond)
        state.unfilled_kept += not closed.filled
    account.warned, account.unapplied, account.foreign = image.warned, image.unapplied, image.foreign
    state.accounts[account.id] = account
    if account.page >= 0:
        state.slots[account.page, account.slot] = account.id
    if account.owner:
        state.owned.add(account.id)
        account.owned.append(account)
        if image.parent:
            join(state.accounts[image.parent], account, image.market)
        else:
            state.names[account.owner, account.name] = account.id
            if account.page == WAITING:
                state.unbound[account.id] = None
