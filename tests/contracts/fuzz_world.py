"""Program and model side by side: what is sent to one is told to the other, and what must hold is checked after every step."""

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from escrow_model import HOUR, UNLIMITED, Limits, Model, Refused, Settings, Slot, packed
from fuzz_chain import Chain, key, wallet
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.sysvar import INSTRUCTIONS
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

USDC = 1_000_000
ESCROW = struct.Struct("<8s32s32s32s32s2Q6I32s32s10Q2Q2I2Q2I3I4B32s32s32s32s2Q6I2I")


class World:
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
        self.landed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
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
            "payer": Pubkey(self.model.settings.operator), **signers,
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
            assert chain.short(page) == model.pages[page].short
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
        """Whoever asked and waited is paid at once, whatever state everything is in; who owes a loss, after the hold."""
        for index, page in enumerate(self.model.pages):
            for number, slot in enumerate(page.slots):
                if 0 < slot.exit_at <= self.now:
                    owner = Pubkey(slot.owner)
                    accounts = self._accounts("claim_withdrawal", {"owner": owner}, index)
                    claim = self.chain.instruction(
                        "claim_withdrawal", struct.pack("<H", number), accounts, None
                    )
                    waits = number in page.short and self.now < self.model.leaves_at(slot)
                    assert self.chain.run(claim, simulate=True) == ("LossOutstanding" if waits else None)
