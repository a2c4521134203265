"""What the escrow program ought to do, in the plainest words: the reference that `fuzz.py` holds the compiled program against.

Every method is an instruction. Whoever is passed as a signer has signed; None is the right account without its signature. Money in
micro-USDC, time in seconds. A refusal raises `Refused` with the program's name for it and has changed nothing.
"""

from copy import copy, deepcopy
from dataclasses import astuple, dataclass, field

SLOTS = 105
UNLIMITED = 2**32 - 1
HOUR, DAY, GRACE = 3_600, 86_400, 7 * 86_400
Key = bytes


class Refused(Exception):
    pass


def must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(otherwise)


@dataclass
class Slot:
    """Fields in the order of the account's layout."""

    owner: Key
    balance: int = 0
    pending: int = 0
    loss_used: int = 0
    unapplied: int = 0
    account: int = 0
    last_withdrawal: int = 0
    exit_at: int = 0
    loss_limit: int = UNLIMITED
    loss_window: int = 0
    next_limit: int = 0
    next_limit_at: int = 0
    closed_batch: int = 0


@dataclass
class Limits:
    hour_floor: int
    day_floor: int
    hour_share: int
    day_share: int
    exit_delay: int
    timelock: int
    loss_window: int
    limit_delay: int

    def sound(self) -> bool:
        return (
            self.hour_share <= 1_000_000
            and self.day_share <= 1_000_000
            and 1 <= self.exit_delay <= 30 * DAY
            and self.exit_delay < self.timelock <= 90 * DAY
            and 60 <= self.loss_window <= 30 * DAY
            and 1 <= self.limit_delay < self.timelock
        )


@dataclass
class Settings:
    admin: Key
    operator: Key
    guardian: Key
    limits: Limits


@dataclass
class Flow:
    base: int = 0
    used: int = 0
    window: int = UNLIMITED

    def take(self, amount: int, window: int, held: int, share: int, floor: int) -> "Flow":
        flow = copy(self) if self.window == window else Flow(held, 0, window)
        flow.used += amount
        must(flow.used <= max(floor, flow.base * share // 1_000_000), "OutflowLimited")
        return flow


@dataclass
class Page:
    """`short`: numbers of the slots whose loss limit left something of their last debit undone, and of their balance there."""

    last_batch: int = 0
    slots: list[Slot] = field(default_factory=list)
    short: set[int] = field(default_factory=set)

    def tuples(self) -> list[tuple[object, ...]]:
        return [tuple(vars(slot).values()) for slot in self.slots]


class Model:
    def __init__(self, settings: Settings, treasury: Key, insurance: Key) -> None:
        self.settings = settings
        self.pages = [Page(0, [Slot(treasury, account=1), Slot(insurance, account=2)])]
        self.sealed = self.opened = self.total = self.settled = 0
        self.clearing = self.gross = self.shortfall = self.withheld = 0
        self.deposits = self.withdrawals = self.exits = 0
        self.hour, self.day = Flow(), Flow()
        self.paused = False
        self.proposal: Settings | None = None
        self.ready = 0

    @property
    def held(self) -> int:
        return sum(slot.balance for page in self.pages for slot in page.slots) + self.clearing

    def owned(self, page: int, slot: int, owner: Key | None) -> Slot:
        must(owner is not None, "MissingSignature")
        must(slot < len(self.pages[page].slots), "SlotUnused")
        found = self.pages[page].slots[slot]
        must(found.owner == owner, "NotSlotOwner")
        return found

    def operates(self, operator: Key | None) -> None:
        must(operator is not None, "MissingSignature")
        must(operator == self.settings.operator, "NotOperator")

    # Pages and accounts.

    def create_page(self, operator: Key | None, index: int) -> None:
        self.operates(operator)
        must(index == len(self.pages), "PageOutOfOrder")
        self.pages.append(Page(self.sealed))

    def close_page(self, operator: Key | None, index: int) -> None:
        self.operates(operator)
        must(not self.opened, "BatchOpen")
        must(0 < index == len(self.pages) - 1, "PageOutOfOrder")
        must(all(map(self.free, self.pages[index].slots)), "PageInUse")
        del self.pages[index]

    def free(self, slot: Slot) -> bool:
        return 0 < slot.closed_batch <= self.sealed and slot.balance == 0

    def open_account(self, operator: Key | None, page: int, owner: Key, account: int) -> None:
        self.operates(operator)
        slots = self.pages[page].slots
        must(len(slots) < SLOTS, "PageFull")
        must(account not in (slot.account for slot in slots), "AccountExists")
        slots.append(Slot(owner, account=account))

    def reuse_slot(self, operator: Key | None, page: int, owner: Key, account: int, slot: int) -> None:
        self.operates(operator)
        slots = self.pages[page].slots
        must(slot < len(slots), "SlotUnused")
        must(self.free(slots[slot]), "SlotTaken")
        must(account not in (slot.account for slot in slots), "AccountExists")
        slots[slot] = Slot(owner, account=account, last_withdrawal=slots[slot].last_withdrawal)
        self.pages[page].short.discard(slot)

    def close_account(self, owner: Key | None, page: int, slot: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.account > 2, "AccountReserved")
        must(found.closed_batch == 0, "AccountClosed")
        must(found.balance == 0, "BalanceNotZero")
        found.closed_batch = (self.opened or self.sealed) + 1
        found.pending = found.exit_at = 0

    # Money.

    def deposit(self, owner: Key | None, page: int, slot: int, amount: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.closed_batch == 0, "AccountClosed")
        must(amount > 0, "ZeroAmount")
        found.balance += amount
        self.deposits += amount

    def withdraw(
        self,
        owner: Key | None,
        operator: Key | None,
        page: int,
        slot: int,
        amount: int,
        number: int,
        now: int,
    ) -> None:
        self.operates(operator)
        found = self.owned(page, slot, owner)
        must(amount > 0, "ZeroAmount")
        must(number > found.last_withdrawal, "WithdrawalRepeated")
        must(amount <= found.balance, "InsufficientBalance")
        limits = self.settings.limits
        hour = self.hour.take(amount, now // HOUR, self.held, limits.hour_share, limits.hour_floor)
        self.day = self.day.take(amount, now // DAY, self.held, limits.day_share, limits.day_floor)
        self.hour = hour
        found.last_withdrawal = number
        found.balance -= amount
        self.withdrawals += amount

    def request_withdrawal(self, owner: Key | None, page: int, slot: int, amount: int, now: int) -> None:
        found = self.owned(page, slot, owner)
        must(amount > 0, "ZeroAmount")
        must(found.exit_at == 0, "WithdrawalPending")
        found.pending, found.exit_at = amount, now + self.settings.limits.exit_delay

    def cancel_withdrawal_request(self, owner: Key | None, page: int, slot: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.exit_at > 0, "NoWithdrawalPending")
        found.pending = found.exit_at = 0

    def claim_withdrawal(self, owner: Key | None, page: int, slot: int, now: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.exit_at > 0, "NoWithdrawalPending")
        must(now >= found.exit_at, "WithdrawalNotReady")
        must(slot not in self.pages[page].short or now >= self.leaves_at(found), "LossOutstanding")
        paid = min(found.pending, found.balance)
        found.balance -= paid
        self.exits += paid
        found.pending = found.exit_at = 0

    def leaves_at(self, slot: Slot) -> int:
        """When an exit completes, whatever settlement has not taken."""
        limits = self.settings.limits
        return slot.exit_at + (limits.timelock - limits.exit_delay) // 2

    def set_loss_limit(self, owner: Key | None, page: int, slot: int, limit: int, now: int) -> None:
        found = self.owned(page, slot, owner)
        self.age(found, now)
        if limit >= found.loss_limit:
            found.loss_limit = limit
            found.next_limit = found.next_limit_at = 0
        else:
            found.next_limit, found.next_limit_at = limit, now + self.settings.limits.limit_delay

    @staticmethod
    def age(slot: Slot, now: int) -> None:
        if 0 < slot.next_limit_at <= now:
            slot.loss_limit = slot.next_limit
            slot.next_limit = slot.next_limit_at = 0

    # Settlement.

    def open_batch(self, operator: Key | None, id: int, pages: int) -> None:
        self.operates(operator)
        must(not self.paused, "Paused")
        must(not self.opened, "BatchOpen")
        must(id == self.sealed + 1, "BatchOutOfOrder")
        must(0 < pages <= len(self.pages), "BadArguments")
        self.opened, self.total, self.settled = id, pages, 0
        self.gross = self.shortfall = self.withheld = 0

    def settle_page(
        self, operator: Key | None, id: int, page: int, deltas: list[tuple[int, int]], now: int
    ) -> None:
        self.operates(operator)
        must(not self.paused, "Paused")
        must(self.opened > 0, "NoBatchOpen")
        must(id == self.opened, "BatchOutOfOrder")
        there = self.pages[page]
        must(there.last_batch < id, "PageSettled")
        must(self.settled < self.total, "PagesComplete")
        numbers = [slot for slot, _ in deltas]
        ascending = numbers == sorted(set(numbers)) and max(numbers, default=SLOTS) < len(there.slots)
        must(ascending and all(delta for _, delta in deltas), "BadDeltas")
        slots, window = (
            deepcopy([there.slots[slot] for slot in numbers]),
            now // self.settings.limits.loss_window,
        )
        moving = [(slot, delta) for slot, (_, delta) in zip(slots, deltas, strict=True)]
        taken = sum(self.debit(slot, -delta, window, now) for slot, delta in moving if delta < 0)
        credits = [(slot, delta) for slot, delta in moving if delta > 0]
        missing = max(0, sum(delta for _, delta in credits) - self.clearing - taken)
        shortfall = self.shortfall - taken - sum(delta for _, delta in moving if delta < 0)
        must(self.withheld + missing <= shortfall, "ClearingNegative")
        left, given = missing, 0
        for slot, delta in credits:
            held_back = min(left, delta)
            left -= held_back
            given += self.credit(slot, delta - held_back, held_back, window, now)
        self.clearing += taken - given
        self.gross += taken + given
        self.shortfall, self.withheld = shortfall, self.withheld + missing
        self.settled += 1
        there.last_batch = id
        for number, delta, slot in zip(numbers, (delta for _, delta in deltas), slots, strict=True):
            left = there.slots[number].balance - slot.balance + delta
            (there.short.add if left < 0 < slot.balance else there.short.discard)(number)
            there.slots[number] = slot

    def debit(self, slot: Slot, wanted: int, window: int, now: int) -> int:
        self.age(slot, now)
        may = slot.balance
        if slot.loss_limit != UNLIMITED:
            if slot.loss_window != window:
                slot.loss_window, slot.loss_used = window, 0
            may = min(may, max(0, slot.loss_limit * 1_000_000 - slot.loss_used))
        taken = min(wanted, may)
        slot.balance -= taken
        slot.unapplied -= wanted - taken
        if slot.loss_limit != UNLIMITED:
            slot.loss_used += taken
        return taken

    def credit(self, slot: Slot, given: int, held_back: int, window: int, now: int) -> int:
        self.age(slot, now)
        slot.balance += given
        slot.unapplied += held_back
        if slot.loss_limit != UNLIMITED and slot.loss_window == window:
            slot.loss_used = max(0, slot.loss_used - given)
        return given

    def seal_batch(self, operator: Key | None, id: int) -> None:
        self.complete(operator, id)
        must(self.clearing == 0, "ClearingNotZero")
        self.sealed, self.opened = id, 0

    def carry_batch(self, operator: Key | None, id: int) -> None:
        self.complete(operator, id)
        must(self.clearing > 0, "NothingToCarry")
        self.sealed, self.opened = id, 0

    def complete(self, operator: Key | None, id: int) -> None:
        self.operates(operator)
        must(not self.paused, "Paused")
        must(self.opened > 0, "NoBatchOpen")
        must(id == self.opened, "BatchOutOfOrder")
        must(self.settled == self.total, "PagesMissing")

    def abort_batch(self, operator: Key | None, id: int) -> None:
        self.operates(operator)
        must(self.opened > 0, "NoBatchOpen")
        must(id == self.opened, "BatchOutOfOrder")
        must(self.settled == 0, "BatchStarted")
        self.opened = 0

    # Governance.

    def set_pause(self, guardian: Key | None, paused: bool) -> None:
        must(guardian is not None, "MissingSignature")
        must(guardian == self.settings.guardian, "NotGuardian")
        self.paused = paused

    def administers(self, admin: Key | None) -> None:
        must(admin is not None, "MissingSignature")
        must(admin == self.settings.admin, "NotAdmin")

    def propose(self, admin: Key | None, settings: Settings, now: int) -> None:
        self.administers(admin)
        must(settings.limits.sound(), "BadLimits")
        must(self.proposal is None, "ProposalPending")
        self.proposal, self.ready = settings, now + self.settings.limits.timelock

    def cancel_proposal(self, admin: Key | None) -> None:
        self.administers(admin)
        must(self.proposal is not None, "NoProposal")
        self.proposal = None

    def execute_proposal(self, now: int) -> None:
        must(self.proposal is not None, "NoProposal")
        must(now >= self.ready, "ProposalNotReady")
        must(now <= self.ready + GRACE, "ProposalLapsed")
        assert self.proposal is not None
        self.settings, self.proposal = self.proposal, None


def packed(limits: Limits) -> tuple[int, ...]:
    return tuple(astuple(limits))
