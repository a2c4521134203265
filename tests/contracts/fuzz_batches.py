"""Batches for the fuzzer: honest ones follow a plan that sums to zero, and what others do in between must not stop them."""

import struct

from escrow_state import DELTA_MAX
from fuzz_chain import varints
from fuzz_world import USDC, World


class Batches(World):
    def __init__(self, seed: int, rich: bool) -> None:
        super().__init__(seed, rich)
        self.plan: list[tuple[int, list[tuple[int, int]]]] = []
        self.clean = False
        self.taken: set[tuple[int, int]] = set()

    def open_or_close_batch(self) -> None:
        model, by = self.model, {"operator": self.role("operator")}
        if model.opened:
            what = self.rng.choice(["seal_batch"] * 6 + ["carry_batch"] * 2 + ["abort_batch"])
            if what == "abort_batch" and self.rng.random() < 0.7:
                return
            id = model.opened + self.rng.choice([0, 0, 0, 0, 0, 1])
            honest = self.clean and not self.plan and not model.paused
            if honest and what == "seal_batch":
                with self.calmly():
                    by = {"operator": self.role("operator")}
                    data = struct.pack("<Q", model.opened)
                    assert self.attempt(what, data, by, model.seal_batch, model.opened), (
                        "an honest batch is stuck"
                    )
            else:
                self.attempt(what, struct.pack("<Q", id), by, getattr(model, what), id)
            return
        self.plan = self._planned()
        id, pages = (
            model.sealed + self.rng.choice([1, 1, 1, 1, 0, 2]),
            self.rng.choice([len(self.plan)] * 6 + [0, 1, 9]),
        )
        root = self.rng.randbytes(32)
        if self.attempt(
            "open_batch", struct.pack("<Q32sI", id, root, pages), by, model.open_batch, id, root, pages
        ):
            # What an earlier batch left over makes no difference to whether this one's pages pass.
            self.clean = pages == len(self.plan) and model.clearing == 0

    def _planned(self) -> list[tuple[int, list[tuple[int, int]]]]:
        deltas: dict[int, dict[int, int]] = {}
        pages = [index for index, page in enumerate(self.model.pages) if len(page.slots) > 2]
        for page in self.rng.sample(pages, self.rng.randint(1, len(pages))):
            slots = range(min(10, len(self.model.pages[page].slots)))
            some = self.rng.sample(slots, self.rng.randint(1, len(slots) - 1))
            deltas[page] = {
                slot: self.rng.choice([-1, 1]) * self.rng.choice([1, 900, USDC, 12 * USDC]) for slot in some
            }
        total = sum(sum(each.values()) for each in deltas.values())
        if total:
            page = self.rng.choice(list(deltas))
            free = [
                slot for slot in range(min(10, len(self.model.pages[page].slots))) if slot not in deltas[page]
            ]
            deltas[page][self.rng.choice(free)] = -total
        # A gain and a loss of as much as a delta can say.
        rest = [
            (page, slot)
            for page in deltas
            for slot in range(min(10, len(self.model.pages[page].slots)))
            if slot not in deltas[page]
        ]
        if len(rest) > 1 and self.rng.random() < 0.3:
            for (page, slot), delta in zip(self.rng.sample(rest, 2), (DELTA_MAX, -DELTA_MAX), strict=True):
                deltas[page][slot] = delta
        plans = [(page, sorted(each.items())) for page, each in deltas.items()]
        return sorted(plans, key=lambda plan: sum(delta for _, delta in plan[1]))

    def settle(self) -> None:
        model = self.model
        if self.clean and self.plan and model.opened and self.rng.random() < 0.9:
            page, deltas = self.plan[0]
            with self.calmly():
                landed = self._settle(model.opened, page, deltas)
            assert landed or model.paused, "an honest page was refused"
            if landed:
                self.plan.pop(0)
            return
        page = self.rng.randrange(len(model.pages))
        slots = range(min(12, len(model.pages[page].slots) + 1))
        some = sorted(self.rng.sample(slots, self.rng.randint(0, min(4, len(slots)))))
        deltas = [
            (slot, self.rng.choice([-1, -1, 1]) * self.rng.choice([1, USDC, 30 * USDC, DELTA_MAX]))
            for slot in some
        ]
        if self.rng.random() < 0.3 and model.clearing and some:
            deltas = [(some[0], model.clearing)]
        if self.rng.random() < 0.1:
            self.rng.shuffle(deltas)
        if some and self.rng.random() < 0.1:
            deltas[-1] = (deltas[-1][0], self.rng.choice([0, DELTA_MAX + 1, -DELTA_MAX - 1]))
        if self._settle(
            max(0, (model.opened or model.sealed + 1) + self.rng.choice([0, 0, 0, 0, 1, -1])), page, deltas
        ):
            self.clean = False

    def _settle(self, id: int, page: int, deltas: list[tuple[int, int]]) -> bool:
        data, by = struct.pack("<Q", id) + varints(deltas), {"operator": self.role("operator")}
        landed = self.attempt(
            "settle_page", data, by, self.model.settle_page, id, page, deltas, page=page, at=True
        )
        if landed:
            assert (id, page) not in self.taken, "a page took a batch twice"
            self.taken.add((id, page))
        return landed
