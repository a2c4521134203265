"""Random instructions from honest and hostile signers, to the compiled program on the real machine and to the model, side by side.

`python tests/contracts/fuzz.py --steps 1000000 --seed 7` runs as long as wanted; the suite runs a short piece. Signatures are not
computed: who signed is what the transaction says, which is all that a program sees.
"""

import argparse
import hashlib
import json
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from escrow_model import DAY, HOUR, SLOTS, UNLIMITED, Limits, Model, Refused, Settings, Slot, packed
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM
from solders.sysvar import INSTRUCTIONS
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

FOLDER = Path(__file__).parents[2] / "contracts" / "solana"
IDL = json.loads((FOLDER / "escrow" / "idl.json").read_text())
NAMES = {error["code"]: error["name"] for error in IDL["errors"]}
USDC = 1_000_000
SLOT = struct.Struct("<32s3Qq8I")
ESCROW = struct.Struct("<8s32s32s32s32s2Q6I32s32s10Q2Q2I2Q2I3I4B32s32s32s32s2Q6I2I")


def key(name: str) -> Pubkey:
    return Pubkey(hashlib.sha256(name.encode()).digest())


def token_account(mint: Pubkey, owner: Pubkey, amount: int) -> bytes:
    return struct.pack("<32s32sQ36xB56x", bytes(mint), bytes(owner), amount, 1)


def varints(deltas: list[tuple[int, int]]) -> bytes:
    out = bytearray()
    for slot, delta in deltas:
        value = abs(delta) << 1 | (delta < 0)
        out.append(slot)
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return struct.pack("<I", len(out)) + bytes(out)


class Chain:
    """The compiled program with one escrow."""

    def __init__(self) -> None:
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        self.program, self.mint, self.payer = key("program"), key("mint"), key("payer")
        self.svm.add_program_from_file(self.program, FOLDER / "escrow.so")
        self.svm.set_account(self.payer, Account(10**17, b"", SYSTEM))
        mint = struct.pack("<I32sQBB36x", 0, bytes(32), 10**18, 6, 1)
        self.put(self.mint, mint, TOKEN)
        self.escrow = self.derive(b"escrow", bytes(key("admin")))
        self.vault = self.derive(b"vault", bytes(self.escrow))
        self.layouts = {snake(one["name"]): one["accounts"] for one in IDL["instructions"]}
        self.blockhash = self.svm.latest_blockhash()
        self.units = 0

    def derive(self, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), self.program)[0]

    def page(self, index: int) -> Pubkey:
        return self.derive(b"page", bytes(self.escrow), struct.pack("<I", index))

    def put(self, address: Pubkey, data: bytes, owner: Pubkey) -> Pubkey:
        self.svm.set_account(address, Account(10**9, data, owner))
        return address

    def fund(self, owner: Pubkey) -> None:
        self.svm.set_account(owner, Account(10**12, b"", SYSTEM))
        self.put(wallet(owner), token_account(self.mint, owner, 10**15), TOKEN)

    def clock(self, now: int) -> None:
        clock = self.svm.get_clock()
        clock.unix_timestamp = now
        self.svm.set_clock(clock)

    def instruction(
        self, name: str, data: bytes, accounts: dict[str, Pubkey], unsigned: str | None
    ) -> Instruction:
        metas = [
            AccountMeta(
                accounts[snake(one["name"])], one["isSigner"] and snake(one["name"]) != unsigned, one["isMut"]
            )
            for one in self.layouts[name]
        ]
        return Instruction(self.program, hashlib.sha256(f"global:{name}".encode()).digest()[:8] + data, metas)

    def run(self, instruction: Instruction, *, simulate: bool = False) -> str | None:
        """None when it succeeded, else the program's name of the error."""
        message = Message.new_with_blockhash(
            [set_compute_unit_limit(400_000), instruction], self.payer, self.blockhash
        )
        signatures = [Signature.default()] * message.header.num_required_signatures
        transaction = Transaction.populate(message, signatures)
        result = (self.svm.simulate_transaction if simulate else self.svm.send_transaction)(transaction)
        if isinstance(result, FailedTransactionMetadata):
            code = getattr(getattr(result.err(), "err", None), "code", None)
            return NAMES.get(code, str(result.err())) if code is not None else str(result.err())
        if not simulate:
            self.units = max(self.units, result.compute_units_consumed())
        return None

    def data(self, address: Pubkey) -> bytes:
        account = self.svm.get_account(address)
        return account.data if account is not None else b""

    def tokens(self) -> int:
        return int.from_bytes(self.data(self.vault)[64:72], "little")

    def slots(self, index: int) -> list[tuple[Any, ...]]:
        data = self.data(self.page(index))
        used = int.from_bytes(data[84:88], "little")
        return list(SLOT.iter_unpack(data[104 : 104 + 96 * used]))


def wallet(owner: Pubkey) -> Pubkey:
    return key(f"wallet of {owner}")


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.chain = Chain()
        self.pages = [self.chain.page(index) for index in range(5)]
        self.owners = [key(f"owner {number}") for number in range(6)]
        self.staff = [key(name) for name in ("admin", "operator", "guardian", "another", "third")]
        for one in (*self.owners, *self.staff):
            self.chain.fund(one)
        self.now, self.account, self.number, self.donated = 1_800_000_000, 100, 0, 0
        self.chain.clock(self.now)
        limits = Limits(20 * USDC, 60 * USDC, 10_000, 100_000, HOUR, 2 * HOUR, 600, 900)
        settings = Settings(*(bytes(one) for one in self.staff[:3]), limits)  # type: ignore[misc]
        self.model = Model(settings, bytes(self.owners[0]), bytes(self.owners[1]))
        self.plan: list[tuple[int, list[tuple[int, int]]]] = []
        self.clean = False
        self.landed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.taken: set[tuple[int, int]] = set()
        self.calm = False
        with self.calmly():
            self._set_up(limits)

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
            self.cancel: 1, self.claim: 6, self.limit: 5, self.close_account: 4, self.open_account: 2,
            self.pages_come_and_go: 2, self.pause: 0.7, self.govern: 2, self.wait: 8, self.forge: 4, self.donate: 1,
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

    def strange(self, chance: float) -> bool:
        """Whether something wrong is to be tried now; never while the fuzzer is calm."""
        return not self.calm and self.rng.random() < chance

    @contextmanager
    def calmly(self) -> Iterator[None]:
        self.calm = True
        yield
        self.calm = False

    def place(self) -> tuple[int, int]:
        """A slot, most often one of a few that much happens to; now and then one that nobody has."""
        page = self.rng.randrange(min(3, len(self.model.pages)))
        return page, self.rng.randrange(min(8, len(self.model.pages[page].slots) + 1))

    def owner_of(self, page: int, slot: int) -> Pubkey:
        slots = self.model.pages[page].slots
        right = Pubkey(slots[slot].owner) if slot < len(slots) else self.owners[0]
        return right if not self.strange(0.1) else self.rng.choice([*self.owners, *self.staff])

    def role(self, name: str) -> Pubkey:
        right = Pubkey(getattr(self.model.settings, name))
        return right if not self.strange(0.1) else self.rng.choice([*self.owners, *self.staff])

    def attempt(
        self,
        name: str,
        data: bytes,
        signers: dict[str, Pubkey],
        does: Callable[..., None],
        *args: Any,
        page: int = 0,
        at: bool = False,
    ) -> bool:
        """Send an instruction and tell the model; both must agree. `at`: the model is told the time."""
        unsigned = self.rng.choice(list(signers)) if signers and self.strange(0.03) else None
        if len(set(signers.values())) < len(signers):
            unsigned = None  # One key in two roles signs for both.
        who = [None if role == unsigned else bytes(signer) for role, signer in signers.items()]
        before = [[slot.balance for slot in each.slots] for each in self.model.pages]
        expected = None
        try:
            does(*who, *args, **({"now": self.now} if at else {}))
        except Refused as refusal:
            expected = str(refusal)
        accounts = self._accounts(name, signers, page)
        result = self.chain.run(self.chain.instruction(name, data, accounts, unsigned))
        assert result == expected, (name, args, result, expected)
        if result is None:
            self.landed[name] += 1
            self._compare(page)
            self._nobody_else_took_money(name, signers, unsigned, before)
        else:
            self.refused[result] += 1
            if self.rng.random() < 0.05:
                self._compare(page)
        return result is None

    def _accounts(self, name: str, signers: dict[str, Pubkey], page: int) -> dict[str, Pubkey]:
        owner = signers.get("owner", self.owners[0])
        return {
            "escrow": self.chain.escrow, "vault": self.chain.vault, "page": self.pages[page],
            "mint": self.chain.mint,
            "instructions": INSTRUCTIONS, "source": wallet(owner), "target": wallet(owner),
            "system_program": SYSTEM, "token_program": TOKEN,
            "payer": Pubkey(self.model.settings.operator) if hasattr(self, "model") else owner, **signers,
        }  # fmt: skip

    # What must hold, whatever happened.

    def _compare(self, page: int) -> None:
        model, chain = self.model, self.chain
        fields = ESCROW.unpack_from(chain.data(chain.escrow))
        assert fields[2:5] == (model.settings.admin, model.settings.operator, model.settings.guardian)
        assert fields[5:13] == packed(model.settings.limits)
        assert fields[15:22] == (
            model.sealed, model.opened, model.clearing, model.gross, model.deposits, model.withdrawals, model.exits
        )  # fmt: skip
        assert fields[23:25] == (model.shortfall, model.withheld)
        assert fields[25:28] == (model.hour.base, model.hour.used, model.hour.window)
        assert fields[29:32] == (model.day.base, model.day.used, model.day.window)
        assert fields[33] == len(model.pages)
        assert fields[38] == model.paused
        assert fields[52] == (model.ready if model.proposal else 0)
        if page < len(model.pages):
            assert chain.slots(page) == model.pages[page].tuples()
        assert chain.tokens() - self.donated == model.held == model.deposits - model.withdrawals - model.exits

    def _nobody_else_took_money(
        self, name: str, signers: dict[str, Pubkey], unsigned: str | None, before: list[list[int]]
    ) -> None:
        """A balance falls by a batch of the operator's that is not paused, or by its owner's signature; nothing else."""
        for old, page in zip(before, self.model.pages, strict=False):
            for balance, slot in zip(old, page.slots, strict=False):
                if slot.balance < balance:
                    by_owner = unsigned is None and bytes(signers.get("owner", SYSTEM)) == slot.owner
                    assert (name in ("withdraw", "claim_withdrawal") and by_owner) or name == "settle_page"
                    assert slot.loss_limit == UNLIMITED or name != "settle_page" or self._within(slot)

    def _within(self, slot: Slot) -> bool:
        return slot.loss_used <= slot.loss_limit * USDC

    def every_exit_completes(self) -> None:
        """Whoever asked and waited is paid at once, whatever state everything is in."""
        for index, page in enumerate(self.model.pages):
            for number, slot in enumerate(page.slots):
                if 0 < slot.exit_at <= self.now:
                    owner = Pubkey(slot.owner)
                    accounts = self._accounts("claim_withdrawal", {"owner": owner}, index)
                    claim = self.chain.instruction(
                        "claim_withdrawal", struct.pack("<H", number), accounts, None
                    )
                    assert self.chain.run(claim, simulate=True) is None

    def everybody_leaves(self) -> None:
        """All owners ask for everything, wait, and are paid, without anybody else; the clearing is what is left."""
        self.calm = True
        places = [
            (page, slot) for page, each in enumerate(self.model.pages) for slot in range(len(each.slots))
        ]
        for page, slot in places:
            if self.model.pages[page].slots[slot].exit_at:
                assert self.cancel(page, slot)
            assert self.request(page, slot, 2**64 - 1)
        self.now += self.model.settings.limits.exit_delay
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
            page, slot = self.place()
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
            page, slot = self.place()
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
