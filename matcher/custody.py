"""What the exchange remembers of how the chain differs from what its batches made of it, and of how far it is behind."""

import msgspec


class Custody(msgspec.Struct, array_like=True):
    """Durable. Micro-USDC: `left_over` is what batches took on chain and gave to nobody, until a cut gives it; below 0, what one gave
    out of such that the books did not know. `astray` is what lies in `strangers`, slots that the books do not know, or was claimed
    from there (`core.custody_events.ChainAccepted`).

    `exit_delay` and `limit_delay` are seconds, 0 before they were seen. `since` is the instant as of which the chain holds equities:
    that of the last cut which is final, before the first one that of the first fill, and 0 before that. `late`: nothing is traded but
    what reduces.

    `stray_claims` are what was claimed from slots that the books do not know, by key: few, since only who had the operator's key can
    have opened one, and each waits for the exit delay.
    """

    left_over: int = 0
    astray: int = 0
    strangers: list[tuple[int, int]] = []
    exit_delay: int = 0
    since: int = 0
    late: bool = False
    stray_claims: dict[str, int] = {}
    limit_delay: int = 0

    @property
    def escape_delay(self) -> int:
        """Seconds after which the chain alone lets an owner off what was lost since the last batch, 0 before that was seen: it has
        left by then, or its lower loss limit counts."""
        return min(self.exit_delay, self.limit_delay or self.exit_delay)

    @property
    def claimed_astray(self) -> int:
        """Micro-USDC of the chain's claims that are nobody's here."""
        return sum(self.stray_claims.values())
