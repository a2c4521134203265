"""A thief of the operator's key, with a customer for a friend: random thefts, each before, within or after a batch of the exchange.

`PYTHONPATH=. python tests/contracts/fuzz_thief.py --thefts 10000 --seed 7` plays as many as wanted; the suite plays a few.
"""

import argparse
import struct
from collections import Counter
from time import monotonic

from escrow_state import DELTA_MAX
from fuzz_chain import varints
from fuzz_judged import Judged
from fuzz_world import USDC

STEPS = 10
"""What a theft consists of, at most."""
Deltas = list[tuple[int, int]]


class Thief(Judged):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.last_robbery: tuple[int, Deltas] = (0, [])
        with self.calmly():
            for page in (0, 2):
                self.open_account(page, self.friend)

    def theft(self) -> None:
        """One theft from honest books, judged; what it comes to is taken over then, as a person would have to."""
        with self.calmly():
            self._close_batch()
            self._cut()
            self.honest_until_now()
            for _ in range(self.rng.randint(1, STEPS)):
                self._act()
            self.judge()

    # The exchange.

    def _cut(self) -> None:
        """A batch of the exchange that is on its way or final when the theft begins; or none."""
        how_far = self.rng.choice(
            ["none", "cut", "opened", "some", "pages", "sealed", "sealed", "final", "final"]
        )
        plan = [] if how_far == "none" else self._planned()
        root = self.rng.randbytes(32) if plan else None
        cut = {(page, slot): delta for page, deltas in plan for slot, delta in deltas}
        self.begin(cut, root)
        self.plan = plan
        if root is None or how_far == "cut":
            return
        self._open(root, len(plan))
        pages = {"opened": 0, "some": len(plan) // 2}.get(how_far, len(plan))
        for page, deltas in plan[:pages]:
            assert self._settle_with(page, deltas)
        if how_far in ("sealed", "final"):
            self._end()
        if how_far == "final":
            self.begin(cut, None)

    def _open(self, root: bytes, pages: int) -> None:
        id, by = self.model.sealed + 1, {"operator": self.role("operator")}
        data = struct.pack("<Q32sI", id, root, pages)
        assert self.attempt("open_batch", data, by, self.model.open_batch, id, root, pages)

    def _settle_with(self, page: int, deltas: Deltas) -> bool:
        id, by = self.model.opened, {"operator": self.role("operator")}
        data, does = struct.pack("<Q", id) + varints(deltas), self.model.settle_page
        return self.attempt("settle_page", data, by, does, id, page, deltas, page=page, at=True)

    def _end(self) -> None:
        """Seal what is complete, with what is left over carried on."""
        id, by = self.model.opened, {"operator": self.role("operator")}
        name = "carry_batch" if self.model.clearing else "seal_batch"
        assert self.attempt(name, struct.pack("<Q", id), by, getattr(self.model, name), id)

    def _close_batch(self) -> None:
        """Bring what is open to an end; a page that is missing takes what hurts least."""
        model = self.model
        if not model.opened:
            return
        for index, page in enumerate(model.pages):
            if page.last_batch < model.opened and model.settled < model.total:
                assert self._settle_with(index, [(0, -1)])
        self._end()

    # The thief.

    def _act(self) -> None:
        weights = {
            self._rob: 12, self._pay: 4, self.deposit: 3, self.request: 2, self.claim: 3, self.limit: 1,
            self.close_account: 1, self.reuse_slot: 1, self._impostor: 1, self.wait: 2,
        }  # fmt: skip
        self.rng.choices(list(weights), list(weights.values()))[0]()

    def _rob(self) -> None:
        """A page of a batch of his own, or of the one that is open, and its end once it is complete."""
        model = self.model
        if not model.opened:
            self._open(self.rng.randbytes(32), self.rng.choice([1, 1, 1, 2]))
        if model.settled < model.total:
            page, deltas = self._robbery()
            if self._settle_with(page, deltas):
                self.last_robbery = page, deltas
        if model.settled == model.total and self.rng.random() < 0.9:
            self._end()

    def _robbery(self) -> tuple[int, Deltas]:
        """To take and give to the friend, to hold back from one what the friend does not have, to undo the last robbery, to pretend
        to be the exchange, to burn.
        """
        kind = self.rng.choice(
            ["take", "take", "hold back", "hold back", "undo", "undo", "undo", "pretend", "burn"]
        )
        if kind == "undo" and self.last_robbery[1]:
            page, deltas = self.last_robbery
            return page, [(slot, -delta) for slot, delta in deltas]
        if kind == "pretend" and self.plan:
            page, deltas = self.rng.choice(self.plan)
            return page, [(slot, delta + self.rng.choice([0, 0, 0, -1])) for slot, delta in deltas]
        page, victim = self._victim()
        amount, friend = self._amount(page, victim), self._friend(page)
        if friend is None or kind == "burn":
            return page, [(victim, -amount)]
        if kind == "hold back":
            amount = -min(amount + self.model.pages[page].slots[friend].balance, DELTA_MAX)
        return page, sorted([(victim, -amount), (friend, amount)])

    def _victim(self) -> tuple[int, int]:
        """Often one who gets something by the cut."""
        near = [
            (page, at)
            for page in range(3)
            for at, slot in enumerate(self.model.pages[page].slots[:8])
            if slot.owner != bytes(self.friend)
        ]
        gaining = [place for place in near if self.cut.get(place, 0) > 0]
        return self.rng.choice(gaining if gaining and self.rng.random() < 0.6 else near)

    def _friend(self, page: int) -> int | None:
        """A slot of the friend's, if there is one; often one that loses by the cut."""
        slots = [
            at for at, each in enumerate(self.model.pages[page].slots) if each.owner == bytes(self.friend)
        ]
        losing = [at for at in slots if self.cut.get((page, at), 0) < 0]
        return self.rng.choice(losing or slots) if slots else None

    def _amount(self, page: int, slot: int) -> int:
        there = self.model.pages[page].slots[slot]
        waiting = [one.amount for one in self.reserved.get(there.account, ())]
        cut = abs(self.cut.get((page, slot), 0))
        some = [1, 900, USDC, there.balance, cut, cut, *waiting]
        return min(max(1, self.rng.choice(some)), DELTA_MAX)

    def _pay(self) -> None:
        """A withdrawal that is reserved, or for the friend one of any number and amount."""
        if self.reserved and self.rng.random() < 0.6:
            account = self.rng.choice(list(self.reserved))
            one = self.rng.choice(self.reserved[account])
            page, slot, _ = self.places[account]
            amount, number = one.amount, one.withdrawal
        else:
            page = self.rng.randrange(3)
            slot = self._friend(page) or 0
            account = self.model.pages[page].slots[slot].account
            reserved = [one.withdrawal for one in self.reserved.get(account, ())]
            self.number += 1
            amount, number = self._amount(page, slot), self.rng.choice([self.number, *reserved])
        by = {"owner": self.owner_of(page, slot), "operator": self.role("operator")}
        data, does = struct.pack("<HQQ", slot, amount, number), self.model.withdraw
        self.attempt("withdraw", data, by, does, page, slot, amount, number, page=page, at=True)

    def _impostor(self) -> None:
        """A slot of the friend's that has somebody else's number, where the program lets it."""
        account = self.rng.choice(list(self.places))
        other, by = self.rng.choice([0, 2]), {"operator": self.role("operator")}
        data = struct.pack("<32sQ", bytes(self.friend), account)
        does, args = self.model.open_account, (other, bytes(self.friend), account)
        self.attempt("open_account", data, by, does, *args, page=other)


def play(thefts: int, seed: int) -> Counter[str]:
    """Raises `AssertionError` at the first theft of which the comparison does not name the victim; what each came to."""
    thief = Thief(seed)
    for _ in range(thefts):
        thief.theft()
    return thief.outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thefts", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = monotonic()
    outcomes = play(options.thefts, options.seed)
    print(f"{options.thefts} thefts in {monotonic() - started:.0f} s:", dict(outcomes))
