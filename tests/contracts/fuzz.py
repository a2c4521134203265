"""Random instructions from honest and hostile signers, to the compiled program on the real machine and to the model, side by side.

`python tests/contracts/fuzz.py --steps 1000000 --seed 7` runs as long as wanted; the suite runs a short piece. Signatures are not
computed: who signed is what the transaction says, which is all that a program sees.
"""

import argparse
import struct
from time import monotonic

from escrow_model import DAY, HOUR
from escrow_state import DEPOSITS_MAX, NOBODY, SLOTS, UNLIMITED, Limits, Settings
from fuzz_batches import Batches
from fuzz_chain import token_account
from fuzz_world import USDC
from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

FORTUNE = 2**59


class Fuzzer(Batches):
    """Every second seed is a world of the rich: seven of them hold nearly all that an escrow takes in its life."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, rich=seed % 2 == 0)
        with self.calmly():
            self._set_up(self.model.settings.limits)

    def _set_up(self, limits: Limits) -> None:
        staff = b"".join(bytes(one) for one in self.staff[1:3])
        owners = bytes(self.owners[0]) + bytes(self.owners[1])
        data = staff + owners + limits.packed()
        signers = {"admin": self.staff[0]}
        accounts = self._accounts(signers, 0)
        self._forge("initialize", data, accounts)
        instruction = self.chain.instruction("initialize", data, accounts, None)
        assert (refusal := self.chain.run(instruction)) is None, refusal
        self.compare("initialize", 0)
        assert self.chain.run(instruction) == "AlreadyInitialized"
        for index in (1, 2):
            self.create_page(index)
        # A page that is full, so that places are given again.
        for number in range(SLOTS):
            self.open_account(1, self.owners[number % 6])
        for page in (0, 0, 0, 0, 2, 2, 2):
            self.open_account(page, self.rng.choice(self.owners))
        for page, slot in ((0, 2), (0, 3), (1, 0), (1, 1), (1, 5), (2, 0), (2, 1)):
            self.deposit(page, slot, FORTUNE if self.rich else 50 * USDC)

    # One step.

    def step(self) -> None:
        weights = {
            self.settle: 18, self.open_or_close_batch: 10, self.deposit: 8, self.withdraw: 6, self.request: 5,
            self.cancel: 1, self.claim: 6, self.limit: 5, self.close_account: 4, self.open_account: 1,
            self.reuse_slot: 2, self.pages_come_and_go: 2, self.pause: 2, self.govern: 2, self.wait: 8,
            self.donate: 1,
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
            token_account(self.chain.mint, self.chain.escrow, self.chain.tokens(self.chain.vault) + amount),
            TOKEN,
        )

    def everybody_leaves(self) -> None:
        """All owners ask for everything, wait out the longest, and are paid, without anybody else; the clearing is what is left.

        Before that the escrow takes all that it ever will, and not one more.
        """
        self.calm = True
        if self.model.deposits < DEPOSITS_MAX:
            assert self.deposit(0, 0, DEPOSITS_MAX - self.model.deposits)
        assert not self.deposit(0, 0, 1)
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
        assert self.chain.tokens(self.chain.vault) == self.model.clearing + self.donated
        self.nobody_was_robbed()

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
        by, payer = {"operator": self.role("operator")}, Pubkey(self.model.pages[index].payer)
        rent = self.chain.lamports(self.pages[index])
        paid = self.chain.lamports(payer)
        if self.attempt("close_page", b"", by, self.model.close_page, index, page=index):
            assert self.chain.lamports(payer) == paid + rent

    def open_account(self, page: int | None = None, owner: Pubkey | None = None) -> bool:
        page = self.rng.randrange(min(3, len(self.model.pages))) if page is None else page
        who, account = self.newcomer() if owner is None else (bytes(owner), self.next_account())
        by, data = {"operator": self.role("operator")}, struct.pack("<32sQ", who, account)
        return self.attempt("open_account", data, by, self.model.open_account, page, who, account, page=page)

    def next_account(self) -> int:
        self.account += not self.strange(0.05)
        return self.account

    def newcomer(self) -> tuple[bytes, int]:
        """An owner and the number of its account; now and then one that nobody can have."""
        if self.strange(0.05):
            return NOBODY, self.account + 1
        wrong = self.strange(0.05)
        return bytes(self.rng.choice(self.owners)), self.rng.choice(
            [0, 2**32]
        ) if wrong else self.next_account()

    def reuse_slot(self) -> None:
        page = self.rng.randrange(min(3, len(self.model.pages)))
        free = [at for at, slot in enumerate(self.model.pages[page].slots) if self.model.free(slot)]
        slot = self.rng.choice(free) if free and not self.strange(0.2) else self.rng.randrange(SLOTS + 1)
        who, account = self.newcomer()
        by = {"operator": self.role("operator")}
        data = struct.pack("<32sQH", who, account, slot)
        self.attempt("reuse_slot", data, by, self.model.reuse_slot, page, who, account, slot, page=page)

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
        some = [0, 1, 7, 3 * USDC, 20 * USDC, *([FORTUNE, 2**63] if self.rich else [])]
        amount = self.rng.choice(some) if amount is None else amount
        by = {"owner": self.owner_of(page, slot)}
        data = struct.pack("<HQ", slot, amount)
        return self.attempt("deposit", data, by, self.model.deposit, page, slot, amount, page=page)

    def withdraw(self) -> None:
        page, slot = self.place()
        self.number += self.rng.choice([0, 1, 1, 1])
        some = [0, 1, 2**54, 2**55, 2**64 - 1] if self.rich else [0, 1, USDC, 15 * USDC, 40 * USDC]
        amount, number = self.rng.choice(some), 2**32 if self.strange(0.03) else self.number
        by = {"owner": self.owner_of(page, slot), "operator": self.role("operator")}
        data, does = struct.pack("<HQQ", slot, amount, number), self.model.withdraw
        self.attempt("withdraw", data, by, does, page, slot, amount, number, page=page, at=True)

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
        limit = self.rng.choice([0, 1, 5, 20, UNLIMITED - 1, UNLIMITED, UNLIMITED])
        by, does = {"owner": self.owner_of(page, slot)}, self.model.set_loss_limit
        data = struct.pack("<HI", slot, limit)
        self.attempt("set_loss_limit", data, by, does, page, slot, limit, page=page, at=True)

    def pause(self) -> None:
        paused = not self.model.paused and self.rng.random() < 0.1
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
            if self.rng.random() < 0.5:
                self.attempt(what, b"", {"admin": self.role("admin")}, self.model.cancel_proposal)
        else:
            rng, now = self.rng, self.model.settings
            keys = [
                old if rng.random() < 0.7 else bytes(rng.choice([*self.staff, Pubkey.default()]))
                for old in (now.admin, now.operator, now.guardian)
            ]
            delay = rng.choice([0, 900, HOUR, HOUR])
            limits = Limits(
                rng.choice([0, 20 * USDC, 2**64 - 1]), rng.choice([0, 60 * USDC]), rng.choice([0, 10_000, 1_000_001]),
                100_000, delay, rng.choice([HOUR, 2 * HOUR, 3 * HOUR]), rng.choice([59, 60, 600, 600]), rng.choice([1, 900]),
            )  # fmt: skip
            data = b"".join(keys) + limits.packed()
            settings = Settings(*keys, limits)
            self.attempt(
                "propose", data, {"admin": self.role("admin")}, self.model.propose, settings, at=True
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
