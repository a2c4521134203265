"""Program and model side by side: what is sent to one is told to the other, and what must hold is checked after every step."""

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from escrow_model import HOUR, Model
from escrow_state import BALANCES, SLOTS, Limits, Refused, Settings
from fuzz_chain import LAYOUTS, Chain, event_bytes, key, token_account, wallet
from fuzz_forging import wrong_account
from fuzz_sums import Losses, Outflow
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.sysvar import INSTRUCTIONS
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

USDC = 1_000_000
PURSE = 2**62
"""Tokens that every owner has in the beginning."""
PAGES = 5


class World:
    """`rich`: whether accounts hold so much that sums come near what the program can count."""

    def __init__(self, seed: int, rich: bool) -> None:
        self.rng, self.rich = random.Random(seed), rich
        self.chain = Chain()
        self.pages = [self.chain.page(index) for index in range(PAGES)]
        self.owners = [key(f"owner {number}") for number in range(6)]
        self.staff = [key(name) for name in ("admin", "operator", "guardian", "another", "third")]
        for one in (*self.owners, *self.staff):
            self.chain.fund(one, PURSE)
        self.purses = dict.fromkeys((bytes(one) for one in (*self.owners, *self.staff)), PURSE)
        self.now, self.account, self.number, self.donated = 1_800_000_000, 100, 0, 0
        self.chain.clock(self.now)
        limits = Limits(20 * USDC, 60 * USDC, 10_000, 100_000, HOUR, 2 * HOUR, 600, 900)
        settings = Settings(*(bytes(one) for one in self.staff[:3]), limits)
        chain = self.chain
        keys = bytes(chain.escrow), bytes(chain.mint), bytes(chain.vault)
        self.model = Model(*keys, chain.bumps, settings, bytes(self.owners[0]), bytes(self.owners[1]))
        self.landed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.forged: Counter[tuple[str, str]] = Counter()
        self.seen = [b""] * PAGES
        """Bytes of the pages as they were last."""
        self.held = [0] * PAGES
        self.outflow, self.losses = Outflow(), Losses()
        self.ordered: int | None = None
        """The batch that its operator has opened, and that is not over."""
        self.calm = False

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

    def place_to_leave(self) -> tuple[int, int]:
        """A slot of whoever wants to leave: often of one that owes a loss, which few do."""
        owing = [(at, slot) for at, each in enumerate(self.model.pages) for slot in sorted(each.short)]
        return self.rng.choice(owing) if owing and self.rng.random() < 0.5 else self.place()

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
        page: int | None = None,
        at: bool = False,
    ) -> bool:
        """Send an instruction and tell the model; both must agree.

        `page`: the one that it may change. `at`: the model is told the time.
        """
        unsigned = self.rng.choice(list(signers)) if signers and self.strange(0.03) else None
        if len(set(signers.values())) < len(signers):
            unsigned = None  # One key in two roles signs for both.
        who = [None if role == unsigned else bytes(signer) for role, signer in signers.items()]
        accounts = self._accounts(signers, page)
        expected = None
        self.model.events.clear()
        try:
            does(*who, *args, **({"now": self.now} if at else {}))
        except Refused as refusal:
            expected = str(refusal)
        if expected is None:
            self._forge(name, data, accounts)
        result = self.chain.run(self.chain.instruction(name, data, accounts, unsigned))
        assert result == expected, (name, args, result, expected)
        if result is None:
            self.landed[name] += 1
            before = self.seen[page] if page is not None else b""
            self.compare(name, page)
            if page is not None:
                self._balances_moved_rightly(name, page, before, signers, args)
            self._note(name, args)
        else:
            self.refused[result] += 1
        return result is None

    def _note(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "open_batch":
            self.ordered = args[0]
        elif name in ("seal_batch", "carry_batch", "abort_batch"):
            self.ordered = None
        elif name == "execute_proposal":
            self.losses = Losses()  # Windows may have another length now.
        elif name == "reuse_slot":
            self.losses.begin_anew((args[0], args[3]))
        elif name == "close_page":
            for slot in range(SLOTS):
                self.losses.begin_anew((args[0], slot))

    def _accounts(self, signers: dict[str, Pubkey], page: int | None) -> dict[str, Pubkey]:
        owner = signers.get("owner", self.owners[0])
        pages, operator = self.model.pages, self.model.settings.operator
        payer = pages[page].payer if page is not None and page < len(pages) else operator
        return {
            "escrow": self.chain.escrow, "vault": self.chain.vault, "page": self.pages[page or 0],
            "mint": self.chain.mint,
            "instructions": INSTRUCTIONS, "source": wallet(owner), "target": wallet(owner),
            "system_program": SYSTEM, "token_program": TOKEN,
            "payer": Pubkey(payer), **signers,
        }  # fmt: skip

    def _forge(self, name: str, data: bytes, accounts: dict[str, Pubkey]) -> None:
        """What is about to land, with one wrong account: always refused. Each place of an instruction twice, later now and then."""
        for role, _, _ in LAYOUTS[name]:
            if self.forged[name, role] >= 2 and self.rng.random() > 0.02:
                continue
            people = [*self.owners, *self.staff]
            wrong = wrong_account(self.chain, self.rng, name, role, accounts, people)
            refusal = self.chain.run(self.chain.instruction(name, data, accounts | {role: wrong}, None))
            assert refusal is not None, (name, role, wrong)
            self.forged[name, role] += 1

    # What must hold, whatever happened.

    def compare(self, name: str, page: int | None) -> None:
        """After the instruction `name`, which may change `page`: every byte of the escrow's accounts and events is the model's."""
        model, chain = self.model, self.chain
        for index, address in enumerate(self.pages):
            there = chain.data(address)
            if index == page:
                made = index < len(model.pages)
                self._same(there, model.pages[index].packed(model.key, index) if made else b"", name)
                self.seen[index] = there
                self.held[index] = sum(_balances(there))
            else:
                self._same(there, self.seen[index], name)
        self._same(chain.data(chain.escrow), model.packed(), name)
        tokens = model.deposits - model.withdrawals - model.exits
        assert sum(self.held) + model.clearing == tokens
        vault = token_account(chain.mint, chain.escrow, tokens + self.donated)
        self._same(chain.data(chain.vault), vault, name)
        assert chain.said == [event_bytes(model.key, *event) for event in model.events], (name, model.events)

    @staticmethod
    def _same(there: bytes, wanted: bytes, name: str) -> None:
        if there != wanted:
            first = next((at for at, (a, b) in enumerate(zip(there, wanted, strict=False)) if a != b), None)
            raise AssertionError(
                f"after {name}: {len(there)} bytes for {len(wanted)}, other ones from {first}"
            )

    def _balances_moved_rightly(
        self, name: str, page: int, before: bytes, signers: dict[str, Pubkey], args: tuple[Any, ...]
    ) -> None:
        """Who moves a balance: its owner, by what was asked; and an ordered batch, by no more than its deltas."""
        pairs = enumerate(zip(_balances(before), _balances(self.seen[page]), strict=True))
        moved = {slot: new - old for slot, (old, new) in pairs if new != old}
        if name == "settle_page":
            id, _, deltas = args
            assert id == self.ordered
            assert bytes(signers["operator"]) == self.model.settings.operator
            allowed = dict(deltas)
            for slot, change in moved.items():
                wanted = allowed.get(slot, 0)
                assert min(0, wanted) <= change <= max(0, wanted), (slot, change, wanted)
                limit, window = (
                    self.model.pages[page].slots[slot].loss_limit,
                    self.model.settings.limits.loss_window,
                )
                self.losses.settled((page, slot), change, limit, self.now // window * window, self.now)
        elif name in ("deposit", "withdraw", "claim_withdrawal"):
            self._owner_moved(name, page, before, bytes(signers["owner"]), moved, args)
        else:
            assert not moved, (name, moved)

    def _owner_moved(
        self, name: str, page: int, before: bytes, owner: bytes, moved: dict[int, int], args: tuple[Any, ...]
    ) -> None:
        slot, change = args[1], sum(moved.values())
        assert set(moved) <= {slot}
        assert before[104 + 96 * slot :][:32] == owner
        assert name == "claim_withdrawal" or change == (args[2] if name == "deposit" else -args[2])
        self.purses[owner] -= change
        assert self.chain.tokens(wallet(Pubkey(owner))) == self.purses[owner]
        if name == "withdraw":
            held = sum(self.held) + self.model.clearing - change
            self.outflow.paid(-change, held, self.model.settings.limits, self.now)

    def every_exit_completes(self) -> None:
        """Whoever asked and waited is paid at once, whatever state everything is in; who owes a loss, after the hold."""
        for index, page in enumerate(self.model.pages):
            for number, slot in enumerate(page.slots):
                if 0 < slot.exit_at <= self.now:
                    accounts = self._accounts({"owner": Pubkey(slot.owner)}, index)
                    claim = self.chain.instruction(
                        "claim_withdrawal", struct.pack("<H", number), accounts, None
                    )
                    waits = number in page.short and self.now < self.model.leaves_at(slot)
                    assert self.chain.run(claim, simulate=True) == ("LossOutstanding" if waits else None)

    def nobody_was_robbed(self) -> None:
        """What everybody has outside is what they had, less what they paid in, and what they were paid."""
        for owner, tokens in self.purses.items():
            assert self.chain.tokens(wallet(Pubkey(owner))) == tokens


def _balances(page: bytes) -> tuple[int, ...]:
    return BALANCES.unpack(page) if page else (0,) * SLOTS
