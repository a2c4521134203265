"""Settlement, as the program ought to do it: the part of `escrow_model.py` that moves what belongs to others."""

from copy import copy

from escrow_state import DELTA_MAX, ROOTS, SLOTS, UNLIMITED, Escrow, Key, Slot, must


class Batches(Escrow):
    def open_batch(self, operator: Key | None, id: int, root: bytes, pages: int) -> None:
        self.operates(operator)
        must(not self.paused, "Paused")
        must(not self.opened, "BatchOpen")
        must(id == self.sealed + 1, "BatchOutOfOrder")
        must(0 < pages <= len(self.pages), "BadArguments")
        self.opened, self.root, self.total, self.settled = id, root, pages, 0
        self.gross = self.shortfall = self.withheld = 0
        self.tell("BatchOpened", id, root, pages)

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
        fit = all(0 < abs(delta) <= DELTA_MAX for _, delta in deltas)
        must(bool(deltas) and ascending and fit, "BadDeltas")
        slots = [copy(there.slots[slot]) for slot in numbers]
        window = now // self.settings.limits.loss_window
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
        undone = []
        for (number, delta), slot in zip(deltas, slots, strict=True):
            left = there.slots[number].balance - slot.balance + delta
            if left:
                undone.append((number, left))
            (there.short.add if left < 0 < slot.balance else there.short.discard)(number)
            there.slots[number] = slot
        page_short = -sum(left for _, left in undone if left < 0)
        self.tell("PageSettled", id, page, taken, given, page_short, missing, there.marks())
        if undone:
            self.tell("PageShort", id, page, undone)

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
        self.seal(id)

    def carry_batch(self, operator: Key | None, id: int) -> None:
        self.complete(operator, id)
        must(self.clearing > 0, "NothingToCarry")
        self.seal(id)
        self.tell("BatchCarried", id, self.clearing)

    def seal(self, id: int) -> None:
        self.sealed, self.opened = id, 0
        self.roots[id % ROOTS] = self.root
        self.tell("BatchSealed", id, self.root, self.total, self.gross, self.shortfall)

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
        self.tell("BatchAborted", id)
