"""Random instructions from honest and hostile signers, to the compiled program on the real machine and to the model, side by side.

`python tests/contracts/fuzz.py --steps 1000000 --seed 7` runs as long as wanted; the suite runs a short piece. Signatures are not
computed: who signed is what the transaction says, which is all that a program sees.
"""

import argparse
import struct
from time import monotonic

from escrow_model import DAY, HOUR, SLOTS, UNLIMITED, Limits, Settings, packed
from fuzz_chain import key, snake, token_account, varints, wallet
from fuzz_world import USDC, World
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN


class Fuzzer(World):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.plan: list[tuple[int, list[tuple[int, int]]]] = []
        self.clean = False
        self.taken: set[tuple[int, int]] = set()
        with self.calmly():
            self._set_up(self.model.settings.limits)

    def _set_up(self, limits: Limits) -> None:
        staff = b"".join(bytes(one) for one in self.staff[1:3])
        owners = bytes(self.owners[0]) + bytes(self.owners[1])
        data = staff + owners + struct.pack("<2Q6I", *packed(limits))
        instruction = self.chain.instruction(
            "initialize", data, self._accounts("initialize", {"admin": self.staff[0]}, 0), None
        )
        assert (refusal := self.chain.run(instruction)) is None, refusal
        for index in (1, 2):
            self.create_page(index)
        # A page that is full, so that places are given again.
        for number in range(SLOTS):
            self.open_account(1, self.owners[number % 6])
        for page in (0, 0, 0, 0, 2, 2, 2):
            self.open_account(page, self.rng.choice(self.owners))
        for page, slot in ((0, 2), (0, 3), (1, 0), (1, 1), (1, 5), (2, 0), (2, 1)):
            self.deposit(page, slot, 50 * USDC)

    # One step.

    def step(self) -> None:
        weights = {
            self.settle: 18, self.open_or_close_batch: 10, self.deposit: 8, self.withdraw: 6, self.request: 5,
            self.cancel: 1, self.claim: 6, self.limit: 5, self.close_account: 4, self.open_account: 1,
            self.reuse_slot: 2, self.pages_come_and_go: 2, self.pause: 0.7, self.govern: 2, self.wait: 8,
            self.forge: 4, self.donate: 1,
        }  # fmt: skip
        self.rng.choices(list(weights), list(weights.values()))[0]()

    def wait(self) -> None:
        self.now += self.rng.choice([1, 1, 1, 20, 20, 300, 300, 900, HOUR, HOUR, 2 * HOUR, DAY])
        self.chain.clock(self.now)

    def donate(self) -> None:
        """A stranger's tokens in the vault belong to nobody and change nothing."""
        amount = self.rng.randrange(10)
        self.donated += amount
        self.chain.put(
            self.chain.vault,
            token_account(self.chain.mint, self.chain.escrow, self.chain.tokens() + amount),
            TOKEN,
        )

    def everybody_leaves(self) -> None:
        """All owners ask for everything, wait out the longest, and are paid, without anybody else; the clearing is what is left."""
        self.calm = True
        places = [
            (page, slot) for page, each in enumerate(self.model.pages) for slot in range(len(each.slots))
        ]
        for page, slot in places:
            if self.model.pages[page].slots[slot].exit_at:
                assert self.cancel(page, slot)
            assert self.request(page, slot, 2**64 - 1)
        self.now = max(self.model.leaves_at(slot) for page in self.model.pages for slot in page.slots)
        self.chain.clock(self.now)
        for page, slot in places:
            assert self.claim(page, slot)
        assert self.chain.tokens() == self.model.clearing + self.donated

    # Instructions.

    def create_page(self, index: int) -> bool:
        by = {"operator": self.role("operator")}
        return self.attempt(
            "create_page", struct.pack("<I", index), by, self.model.create_page, index, page=index
        )

    def pages_come_and_go(self) -> None:
        count = len(self.model.pages)
        if self.rng.random() < 0.5 and count < 5:
            self.create_page(min(4, max(0, count + self.rng.choice([-1, 0, 0, 0, 1]))))
            return
        index = self.rng.choice([0, 1, count - 1, count - 1])
        by = {"operator": self.role("operator")}
        payer = int.from_bytes(self.chain.data(self.pages[index])[40:72], "little")
        if payer == int.from_bytes(bytes(Pubkey(self.model.settings.operator)), "little"):
            self.attempt("close_page", b"", by, self.model.close_page, index, page=index)

    def open_account(self, page: int | None = None, owner: Pubkey | None = None) -> bool:
        page = self.rng.randrange(min(3, len(self.model.pages))) if page is None else page
        owner = owner or self.rng.choice(self.owners)
        self.account += not self.strange(0.05)
        by, data = {"operator": self.role("operator")}, struct.pack("<32sQ", bytes(owner), self.account)
        return self.attempt(
            "open_account", data, by, self.model.open_account, page, bytes(owner), self.account, page=page
        )

    def reuse_slot(self) -> None:
        page, owner = self.rng.randrange(min(3, len(self.model.pages))), self.rng.choice(self.owners)
        free = [at for at, slot in enumerate(self.model.pages[page].slots) if self.model.free(slot)]
        slot = self.rng.choice(free) if free and not self.strange(0.2) else self.rng.randrange(SLOTS + 1)
        self.account += not self.strange(0.05)
        by = {"operator": self.role("operator")}
        data = struct.pack("<32sQH", bytes(owner), self.account, slot)
        self.attempt(
            "reuse_slot", data, by, self.model.reuse_slot, page, bytes(owner), self.account, slot, page=page
        )

    def close_account(self) -> None:
        page, slot = self.place()
        if page == 1 and self.rng.random() < 0.7:
            slot = self.rng.randrange(SLOTS)
        by = {"owner": self.owner_of(page, slot)}
        self.attempt(
            "close_account", struct.pack("<H", slot), by, self.model.close_account, page, slot, page=page
        )

    def deposit(self, page: int | None = None, slot: int = 0, amount: int | None = None) -> bool:
        if page is None:
            page, slot = self.place()
        amount = self.rng.choice([0, 1, 7, 3 * USDC, 20 * USDC]) if amount is None else amount
        by = {"owner": self.owner_of(page, slot)}
        data = struct.pack("<HQ", slot, amount)
        return self.attempt("deposit", data, by, self.model.deposit, page, slot, amount, page=page)

    def withdraw(self) -> None:
        page, slot = self.place()
        self.number += self.rng.choice([0, 1, 1, 1])
        amount = self.rng.choice([0, 1, USDC, 15 * USDC, 40 * USDC])
        by = {"owner": self.owner_of(page, slot), "operator": self.role("operator")}
        data = struct.pack("<HQQ", slot, amount, self.number)
        does = self.model.withdraw
        self.attempt("withdraw", data, by, does, page, slot, amount, self.number, page=page, at=True)

    def request(self, page: int | None = None, slot: int = 0, amount: int | None = None) -> bool:
        if page is None:
            page, slot = self.place_to_leave()
        amount = self.rng.choice([0, 1, 5 * USDC, 2**64 - 1]) if amount is None else amount
        by, data = {"owner": self.owner_of(page, slot)}, struct.pack("<HQ", slot, amount)
        does = self.model.request_withdrawal
        return self.attempt("request_withdrawal", data, by, does, page, slot, amount, page=page, at=True)

    def cancel(self, page: int | None = None, slot: int = 0) -> bool:
        if page is None:
            page, slot = self.place()
        by, does = {"owner": self.owner_of(page, slot)}, self.model.cancel_withdrawal_request
        return self.attempt(
            "cancel_withdrawal_request", struct.pack("<H", slot), by, does, page, slot, page=page
        )

    def claim(self, page: int | None = None, slot: int = 0) -> bool:
        if page is None:
            page, slot = self.place_to_leave()
        by, does = {"owner": self.owner_of(page, slot)}, self.model.claim_withdrawal
        return self.attempt(
            "claim_withdrawal", struct.pack("<H", slot), by, does, page, slot, page=page, at=True
        )

    def limit(self) -> None:
        page, slot = self.place()
        limit = self.rng.choice([0, 1, 5, 20, UNLIMITED, UNLIMITED])
        by, does = {"owner": self.owner_of(page, slot)}, self.model.set_loss_limit
        data = struct.pack("<HI", slot, limit)
        self.attempt("set_loss_limit", data, by, does, page, slot, limit, page=page, at=True)

    def pause(self) -> None:
        paused = not self.model.paused and self.rng.random() < 0.3
        self.attempt(
            "set_pause", bytes([paused]), {"guardian": self.role("guardian")}, self.model.set_pause, paused
        )

    def govern(self) -> None:
        what = self.rng.choice(
            ["propose", "propose", "execute_proposal", "execute_proposal", "cancel_proposal"]
        )
        if what == "execute_proposal":
            self.attempt(what, b"", {}, self.model.execute_proposal, at=True)
        elif what == "cancel_proposal":
            if self.rng.random() < 0.3:
                self.attempt(what, b"", {"admin": self.role("admin")}, self.model.cancel_proposal)
        else:
            rng, now = self.rng, self.model.settings
            keys = [
                old if rng.random() < 0.7 else bytes(rng.choice(self.staff))
                for old in (now.admin, now.operator, now.guardian)
            ]
            delay = rng.choice([0, 900, HOUR, HOUR])
            limits = Limits(
                rng.choice([0, 20 * USDC]), rng.choice([0, 60 * USDC]), rng.choice([0, 10_000, 1_000_001]),
                100_000, delay, rng.choice([HOUR, 2 * HOUR, 3 * HOUR]), rng.choice([59, 60, 600, 600]), rng.choice([1, 900]),
            )  # fmt: skip
            data = b"".join(keys) + struct.pack("<2Q6I", *packed(limits))
            settings = Settings(*keys, limits)
            self.attempt(
                "propose", data, {"admin": self.role("admin")}, self.model.propose, settings, at=True
            )

    # Batches: honest ones follow a plan that sums to zero; what others do in between must not stop them.

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
            "open_batch", struct.pack("<Q32sI", id, root, pages), by, model.open_batch, id, pages
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
            (slot, self.rng.choice([-1, -1, 1]) * self.rng.choice([1, USDC, 30 * USDC])) for slot in some
        ]
        if self.rng.random() < 0.3 and model.clearing and some:
            deltas = [(some[0], model.clearing)]
        if self.rng.random() < 0.1:
            self.rng.shuffle(deltas)
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

    def forge(self) -> None:
        """Right signers, one wrong account: always refused, and nothing moves."""
        page, slot = self.rng.choice([(0, 2), (1, 0), (2, 0)])
        owner = Pubkey(self.model.pages[page].slots[slot].owner)
        by = {"owner": owner, "operator": Pubkey(self.model.settings.operator)}
        name, data = self.rng.choice([
            ("withdraw", struct.pack("<HQQ", slot, 1, self.number + 1)), ("claim_withdrawal", struct.pack("<H", slot)),
            ("deposit", struct.pack("<HQ", slot, 1)), ("settle_page", struct.pack("<Q", self.model.opened) + varints([(slot, -1)])),
        ])  # fmt: skip
        wrong = self.rng.choice([one for one in ("escrow", "page", "vault", "target", "source", "token_program")
                                 if any(snake(each["name"]) == one for each in self.chain.layouts[name])])  # fmt: skip
        stranger = next(one for one in self.owners if one != owner)
        forged = {
            "escrow": [self.pages[page], self.forged_copy(self.chain.escrow), self.chain.vault],
            "page": [self.chain.escrow, self.forged_copy(self.pages[page], self.chain.escrow), SYSTEM],
            "vault": [wallet(stranger), wallet(owner), self.chain.escrow],
            "target": [wallet(stranger), self.chain.vault, self.chain.escrow],
            "source": [wallet(stranger), self.chain.vault, self.chain.mint],
            "token_program": [SYSTEM, self.chain.program, key("fake")],
        }
        accounts = self._accounts(name, by, page) | {wrong: self.rng.choice(forged[wrong])}
        result = self.chain.run(self.chain.instruction(name, data, accounts, None))
        assert result is not None, (name, wrong)
        self.refused["forged"] += 1
        self._compare(page)

    def forged_copy(self, address: Pubkey, of: Pubkey | None = None) -> Pubkey:
        """The same bytes elsewhere; a page says then that it belongs to another escrow."""
        data = self.chain.data(address)
        fake = key(f"copy of {address}")
        return self.chain.put(
            fake, data if of is None else data[:8] + bytes(fake) + data[40:], self.chain.program
        )


def fuzz(steps: int, seed: int) -> Fuzzer:
    """Raises `AssertionError` at the first difference."""
    fuzzer = Fuzzer(seed)
    for number in range(steps):
        fuzzer.step()
        if number % 100 == 0:
            fuzzer.every_exit_completes()
    fuzzer.everybody_leaves()
    return fuzzer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = monotonic()
    done = fuzz(options.steps, options.seed)
    print(f"{options.steps} steps in {monotonic() - started:.0f} s, at most {done.chain.units} compute units")
    print("landed:", dict(done.landed.most_common()))
    print("refused:", dict(done.refused.most_common()))
