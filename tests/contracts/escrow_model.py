"""What the escrow program ought to do, in the plainest words: the reference that `fuzz.py` holds the compiled program against.

Every method is an instruction. Whoever is passed as a signer has signed; None is the right account without its signature. Money in
micro-USDC, time in seconds. A refusal raises `Refused` with the program's name for it and has changed nothing. What an instruction
tells the world is in `events`: the names and fields of its events, without the escrow's key.
"""

from escrow_batches import Batches
from escrow_state import DEPOSITS_MAX, NOBODY, SLOTS, Key, Page, Settings, Slot, must

HOUR, DAY, GRACE = 3_600, 86_400, 7 * 86_400


class Model(Batches):
    # Pages and accounts.

    def create_page(self, operator: Key | None, index: int) -> None:
        self.operates(operator)
        must(index == len(self.pages), "PageOutOfOrder")
        assert operator is not None
        self.pages.append(Page(operator, self.sealed))
        self.tell("PageCreated", index, operator)

    def close_page(self, operator: Key | None, index: int) -> None:
        self.operates(operator)
        must(not self.opened, "BatchOpen")
        must(0 < index == len(self.pages) - 1, "PageOutOfOrder")
        must(all(map(self.free, self.pages[index].slots)), "PageInUse")
        self.tell("PageClosed", index, self.pages.pop().payer)

    def free(self, slot: Slot) -> bool:
        return 0 < slot.closed_batch <= self.sealed and slot.balance == 0

    def open_account(self, operator: Key | None, page: int, owner: Key, account: int) -> None:
        self.operates(operator)
        slots = self.pages[page].slots
        must(len(slots) < SLOTS, "PageFull")
        self.new_in(slots, owner, account)
        slots.append(Slot(owner, account=account))
        self.tell("AccountOpened", page, len(slots) - 1, owner, account)

    def reuse_slot(self, operator: Key | None, page: int, owner: Key, account: int, slot: int) -> None:
        self.operates(operator)
        slots = self.pages[page].slots
        must(slot < len(slots), "SlotUnused")
        must(self.free(slots[slot]), "SlotTaken")
        self.new_in(slots, owner, account)
        slots[slot] = Slot(owner, account=account, last_withdrawal=slots[slot].last_withdrawal)
        self.pages[page].short.discard(slot)
        self.tell("AccountOpened", page, slot, owner, account)

    @staticmethod
    def new_in(slots: list[Slot], owner: Key, account: int) -> None:
        must(owner != NOBODY and 0 < account < 2**32, "BadArguments")
        must(account not in [slot.account for slot in slots], "AccountExists")

    def close_account(self, owner: Key | None, page: int, slot: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.account > 2, "AccountReserved")
        must(found.closed_batch == 0, "AccountClosed")
        must(found.balance == 0, "BalanceNotZero")
        found.closed_batch = (self.opened or self.sealed) + 1
        if found.exit_at:
            self.drop_request(found, page, slot)
        self.tell("AccountClosed", page, slot, owner, found.account, found.closed_batch)

    # Money.

    def deposit(self, owner: Key | None, page: int, slot: int, amount: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.closed_batch == 0, "AccountClosed")
        must(amount > 0, "ZeroAmount")
        must(self.deposits + amount <= DEPOSITS_MAX, "Overflow")
        found.balance += amount
        self.deposits += amount
        self.deposit_count += 1
        self.tell("Deposited", page, slot, owner, found.account, amount, self.deposit_count)

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
        must(number < 2**32, "BadArguments")
        must(number > found.last_withdrawal, "WithdrawalRepeated")
        must(amount <= found.balance, "InsufficientBalance")
        limits = self.settings.limits
        hour = self.hour.take(amount, now // HOUR, self.held, limits.hour_share, limits.hour_floor)
        self.day = self.day.take(amount, now // DAY, self.held, limits.day_share, limits.day_floor)
        self.hour = hour
        found.last_withdrawal = number
        found.balance -= amount
        self.withdrawals += amount
        self.tell("Withdrawn", page, slot, owner, found.account, amount, number)

    def request_withdrawal(self, owner: Key | None, page: int, slot: int, amount: int, now: int) -> None:
        found = self.owned(page, slot, owner)
        must(amount > 0, "ZeroAmount")
        must(found.exit_at == 0, "WithdrawalPending")
        found.pending, found.exit_at = amount, now + self.settings.limits.exit_delay
        self.tell("WithdrawalRequested", page, slot, owner, found.account, amount, found.exit_at)

    def cancel_withdrawal_request(self, owner: Key | None, page: int, slot: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.exit_at > 0, "NoWithdrawalPending")
        self.drop_request(found, page, slot)

    def drop_request(self, found: Slot, page: int, slot: int) -> None:
        asked = (found.pending, found.exit_at)
        found.pending = found.exit_at = 0
        self.tell("WithdrawalRequestCancelled", page, slot, found.owner, found.account, *asked)

    def claim_withdrawal(self, owner: Key | None, page: int, slot: int, now: int) -> None:
        found = self.owned(page, slot, owner)
        must(found.exit_at > 0, "NoWithdrawalPending")
        must(now >= found.exit_at, "WithdrawalNotReady")
        must(slot not in self.pages[page].short or now >= self.leaves_at(found), "LossOutstanding")
        paid = min(found.pending, found.balance)
        found.balance -= paid
        self.exits += paid
        self.tell("WithdrawalClaimed", page, slot, owner, found.account, paid, found.pending)
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
        self.tell("LossLimitSet", page, slot, owner, found.account, limit, found.next_limit_at or now)

    # Governance.

    def set_pause(self, guardian: Key | None, paused: bool) -> None:
        must(guardian is not None, "MissingSignature")
        must(guardian == self.settings.guardian, "NotGuardian")
        self.paused = paused
        self.tell("PauseSet", paused)

    def administers(self, admin: Key | None) -> None:
        must(admin is not None, "MissingSignature")
        must(admin == self.settings.admin, "NotAdmin")

    def propose(self, admin: Key | None, settings: Settings, now: int) -> None:
        self.administers(admin)
        must(NOBODY not in (settings.admin, settings.operator, settings.guardian), "BadArguments")
        must(settings.limits.sound(), "BadLimits")
        must(not self.ready, "ProposalPending")
        self.proposal, self.ready = settings, now + self.settings.limits.timelock
        self.proposals += 1
        self.tell("Proposed", self.proposals, self.ready, settings)

    def cancel_proposal(self, admin: Key | None) -> None:
        self.administers(admin)
        must(self.ready > 0, "NoProposal")
        self.ready = 0
        self.tell("ProposalCancelled", self.proposals)

    def execute_proposal(self, now: int) -> None:
        must(self.ready > 0, "NoProposal")
        must(now >= self.ready, "ProposalNotReady")
        must(now <= self.ready + GRACE, "ProposalLapsed")
        assert self.proposal is not None
        self.settings, self.ready = self.proposal, 0
        self.tell("ProposalExecuted", self.proposals, self.settings)
