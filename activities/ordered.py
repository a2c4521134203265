"""Which slots on chain are the books' own: an account's number in a slot proves nothing after the operator's key was stolen once."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from activities.engine_door import EngineDoor
from chain.events import Deposited, WithdrawalClaimed


@dataclass(frozen=True)
class Ordered:
    """Page, slot and owner of every account that is bound, and the owner of those asked for that wait for a slot."""

    bound: Mapping[int, tuple[int, int, str]]
    waiting: Mapping[int, str]

    def has(self, event: Deposited | WithdrawalClaimed) -> bool:
        """Whether money moved in a slot that the books ordered for that account."""
        place = self.bound.get(event.account)
        if place is None:
            return self.waiting.get(event.account) == str(event.owner)
        page, slot, owner = place
        return (page, slot) == (event.page, event.slot) and owner in ("", str(event.owner))


async def ordered(door: EngineDoor, accounts: Set[int]) -> Ordered:
    """As the engine has it now, of these accounts."""
    bound = await _bound(door)
    missing = accounts - bound.keys()
    if not missing:
        return Ordered(bound, {})
    waiting: dict[int, str] = {}
    after = 0
    while True:
        page = await door.unbound(after)
        waiting |= {one.account: one.owner for one in page.accounts if one.account in missing}
        after = page.next
        if not after or waiting.keys() == missing:
            # Who no longer waits may have been bound meanwhile.
            return Ordered(await _bound(door), waiting)


async def _bound(door: EngineDoor) -> dict[int, tuple[int, int, str]]:
    return {one.account: (one.page, one.slot, one.owner) for one in (await door.books()).accounts}
