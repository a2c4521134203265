"""Books that know the honest history only, beside a world in which a thief plays, and whether the comparison names whom he robbed.

What settlement did to a slot is added up from the balances before and after each page, so who was robbed is known without the rules
that are judged here.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from fuzz import Fuzzer
from fuzz_world import USDC
from solders.pubkey import Pubkey

from activities.sides import landed
from chain.escrow_view import EscrowSnapshot
from chain.layout import decode_escrow, decode_page
from core.netting import may_be_undone
from core.reconciliation import Booked, Books, Flight, OnChain, Reserved, compare

WITHDRAWALS = 3
"""Accounts that wait for withdrawals when a theft begins; each for two."""


class Place(NamedTuple):
    page: int
    slot: int
    account: int


class Judged(Fuzzer):
    """The last of the owners works with the thief; what happens to the others' slots is a theft."""

    def __init__(self, seed: int) -> None:
        self.places: dict[int, Place] = {}
        self._forget()
        super().__init__(seed)
        self.friend = self.owners[-1]
        self.strangers: set[tuple[int, int]] = set()
        self.outcomes: Counter[str] = Counter()
        self.begin({}, None)

    def _forget(self) -> None:
        self.moved: dict[Place, int] = defaultdict(int)
        self.coming: dict[int, int] = defaultdict(int)
        self.claimed: dict[int, int] = defaultdict(int)
        self.paid: set[tuple[int, int]] = set()
        self.short: dict[Place, int] = {}

    def begin(self, cut: Mapping[tuple[int, int], int], root: bytes | None) -> None:
        """The books take over what the chain holds. By their last cut slots (page, slot) get or lose so much: nobody has sent it yet,
        and its root will be `root`; or, without one, it is final and all of it is heard of.
        """
        self.cut, self.root = dict(cut), root
        self._forget()
        slots = {Place(one.page, one.slot, one.account): one for one in on_chain(self.snapshot())}
        self.places = {id: place for id, place in self.places.items() if place in slots}
        for place in slots:
            self.places.setdefault(place.account, place)
        self.strangers = {place[:2] for place in slots if self.places[place.account] != place}
        self.reserved: dict[int, list[Reserved]] = {}
        rich = [place for place in self.places.values() if slots[place].balance >= 2]
        for place in self.rng.sample(rich, min(WITHDRAWALS, len(rich))):
            most = min(slots[place].balance // 2, 15 * USDC)
            self.reserved[place.account] = [
                Reserved(self.number + at, self.rng.choice([1, most])) for at in (1, 2)
            ]
            self.number += 2
        self.accounts = {
            id: Booked(
                id, slots[place].owner, *place[:2],
                balance=slots[place].balance,
                settled=slots[place].balance
                + (self.cut.get(place[:2], 0) if root else 0)
                - sum(one.amount for one in self.reserved.get(id, ())),
                delta=self.cut.get(place[:2], 0),
                unapplied=slots[place].unapplied,
            )
            for id, place in self.places.items()
        }  # fmt: skip
        self.last = self.number

    def snapshot(self) -> EscrowSnapshot:
        chain = self.chain
        pages = tuple(decode_page(data) for address in self.pages if (data := chain.data(address)))
        return EscrowSnapshot(0, decode_escrow(chain.data(chain.escrow)), pages, chain.tokens(chain.vault), 0)

    # What moves is added up.

    def _balances_moved_rightly(
        self, name: str, page: int, before: bytes, signers: dict[str, Pubkey], args: tuple[Any, ...]
    ) -> None:
        super()._balances_moved_rightly(name, page, before, signers, args)
        if name != "settle_page":
            return
        was = {one.index: one.balance for one in decode_page(before).slots}
        for one in decode_page(self.seen[page]).slots:
            self.moved[Place(page, one.index, one.account)] += one.balance - was[one.index]

    def _owner_moved(
        self, name: str, page: int, before: bytes, owner: bytes, moved: dict[int, int], args: tuple[Any, ...]
    ) -> None:
        super()._owner_moved(name, page, before, owner, moved, args)
        slot, change = args[1], sum(moved.values())
        account = self.model.pages[page].slots[slot].account
        if name == "withdraw":
            self.paid.add((account, args[3]))
        elif self.places.get(account, Place(page, slot, account)) == (page, slot, account):
            (self.coming if change > 0 else self.claimed)[account] += abs(change)

    # The comparison.

    def honest_until_now(self) -> None:
        """What the cut did not do so far, its owners are the reason for."""
        ours = self._landed(self.snapshot())
        self.short = {place: self._wanted(place, ours) - self.moved[place] for place in self.places.values()}

    def _landed(self, chain: EscrowSnapshot) -> dict[int, bool]:
        return {page: self.root is None or landed(chain, self.root, page) for page in range(len(self.pages))}

    def _wanted(self, place: Place, ours: Mapping[int, bool]) -> int:
        return self.cut.get(place[:2], 0) if self.root and ours[place.page] else 0

    def judge(self) -> None:
        """Whom the thief robbed is named once the books have heard how cut and withdrawals ended, and at once but for what looks
        like a page of that cut that did less than it was told, or like a withdrawal that a later one overtook.

        What is taken for less than was told stays owed: the next cut asks for it again.
        """
        chain = self.snapshot()
        held = on_chain(chain)
        slots = {(one.page, one.slot): one for one in held}
        ours = self._landed(chain)
        told = self._told(ours, slots)
        at_once = self._named(held, self.accounts, self.reserved, ours, final=self.root is None)
        final = self.root is None or self._sealed(chain, self.root)
        in_the_end = self._named(held, *self._heard(told), ours, final=final)
        robbed, unnamed = 0, 0
        for id, place in self.places.items():
            slot = slots[place[:2]]
            if slot.account != id or slot.owner == str(self.friend):
                continue
            cut, lost = self._wanted(place, ours), self._wanted(place, ours) - self.moved[place]
            assert lost <= max(0, told.get(id, 0)) or id in in_the_end, (id, lost, told)
            overtaken = [
                one.amount for one in self.reserved.get(id, ()) if one.withdrawal < slot.last_withdrawal
            ]
            assert lost <= max(0, cut) + sum(overtaken) or id in at_once, (id, lost, cut)
            stolen = lost > max(0, self.short.get(place, 0))
            robbed += stolen
            unnamed += stolen and id not in in_the_end
        self.outcomes["robbed" if robbed else "nothing taken"] += 1
        self.outcomes["taken for a short page"] += unnamed > 0

    @staticmethod
    def _sealed(chain: EscrowSnapshot, root: bytes) -> bool:
        return chain.state.number_of(root) not in (0, chain.state.open_batch)

    def _told(self, ours: Mapping[int, bool], slots: Mapping[tuple[int, int], OnChain]) -> dict[int, int]:
        """What the engine takes the cut not to have done, by account, on the pages that have taken it: no more than it explains."""
        if self.root is None:
            return {}
        undone = {
            id: slots[place[:2]].unapplied - self.accounts[id].unapplied
            for id, place in self.places.items()
            if ours[place.page] and place[:2] in self.cut and slots[place[:2]].account == id
        }
        return {id: one for id, one in undone.items() if may_be_undone(self.accounts[id].delta, one)}

    def _heard(self, told: Mapping[int, int]) -> tuple[dict[int, Booked], dict[int, list[Reserved]]]:
        """The books when every withdrawal is paid or given back, and `told` is booked."""
        accounts = {}
        for id, one in self.accounts.items():
            unpaid = sum(
                each.amount for each in self.reserved.get(id, ()) if (id, each.withdrawal) not in self.paid
            )
            assert one.settled is not None
            settled, undone = one.settled + unpaid, told.get(id, 0)
            accounts[id] = one._replace(settled=settled - undone, unapplied=one.unapplied + undone)
        return accounts, {}

    def _named(
        self,
        held: list[OnChain],
        accounts: dict[int, Booked],
        reserved: dict[int, list[Reserved]],
        ours: Mapping[int, bool],
        *,
        final: bool,
    ) -> set[int]:
        """Accounts that the comparison names, with books that say so much; `final`: they have heard that the cut is."""
        books = Books(accounts, reserved, self.last, frozenset(self.strangers))
        flight = Flight(self.coming, ours.__getitem__, self.claimed, final)
        # A withdrawal of a number that the books did not know is known at a second look, or strange.
        first = compare(held, flight, books, books)
        return {one.account for one in compare(held, flight, books, books, first.ahead).differences}


def on_chain(chain: EscrowSnapshot) -> list[OnChain]:
    return [
        OnChain(page.index, one.index, one.account, str(one.owner), one.balance, one.last_withdrawal, one.unapplied)
        for page in chain.pages
        for one in page.slots
    ]  # fmt: skip
