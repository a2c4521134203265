"""Which slots on chain are the books' own: an account's number in a slot proves nothing after the operator's key was stolen once."""

from collections.abc import Mapping
from dataclasses import dataclass

from activities.engine_door import EngineDoor
from chain.events import Deposited, WithdrawalClaimed


@dataclass(frozen=True)
class Ordered:
    """Page, slot and owner of every account that is bound, and the owner of every account that waits for a slot."""

    bound: Mapping[int, tuple[int, int, str]]
    waiting: Mapping[int, str]

    def has(self, event: Deposited | WithdrawalClaimed) -> bool:
        """Whether money moved in a slot that the books ordered for that account."""
        place = self.bound.get(event.account)
        if place is None:
            return self.waiting.get(event.account) == str(event.owner)
        page, slot, owner = place
        return (page, slot) == (event.page, event.slot) and owner in ("", str(event.owner))


async def ordered(door: EngineDoor) -> Ordered:
    """As the engine has it now. Who waits is asked for first: an account that is bound meanwhile is in the books then."""
    waiting = {one.account: one.owner for one in await door.unbound()}
    books = await door.books()
    return Ordered({one.account: (one.page, one.slot, one.owner) for one in books.accounts}, waiting)
