"""What of an account's equity backs its trades while its owner bounds, on chain, what settlement may take from its slot.

Settlement leaves undone what exceeds the owner's limit (`docs/decisions/0005-no-owner-stops-a-batch.md`), so what an account could
lose beyond it would not reach whoever gains it. What settlement cannot take is therefore no collateral.
"""

import msgspec


class LossLimit(msgspec.Struct, array_like=True):
    """An owner's limit in force, both as in `core.loss_limit_events.LossLimitsSeen`; `left` follows what is cut since."""

    limit: int
    left: int


class Reach(msgspec.Struct, frozen=True):
    """How far settlement can reach into the slot of an account, micro-USDC.

    The slot holds `held` once the last cut has landed, of which the owner's limit leaves `left`. The rest is out of reach. An account
    and its sub-accounts share the slot, and what is out of reach is the account's own first, then its sub-accounts' in the order in
    which they were opened: `before` is the equity of those before this one, `others` that of all but this one, none counted below 0.
    """

    held: int
    left: int
    before: int = 0
    others: int = 0

    @property
    def beyond(self) -> int:
        """What of the account's equity is out of reach; more than there is, when not even what is there can all be lost."""
        return max(0, self.held - self.left - self.before)

    def beyond_settled(self, equity: int) -> int:
        """The same once everything is settled with the account's equity at `equity`.

        A gain is out of reach as soon as it is settled, while it makes room for losses only as far as the window had seen some. What
        is opened is judged by this, or a batch could have it liquidated.
        """
        return max(self.beyond, equity + self.others - self.left - self.before)

    def uncounted(self, equity: int) -> int:
        """What does not count as collateral of an equity: what is beyond, but no more than there is.

        An account that lost more than it could is at nothing, not below: it owes the rest itself, as soon as the chain lets it pay.
        """
        return min(self.beyond, max(0, equity))
