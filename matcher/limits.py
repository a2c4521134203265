"""Limits of the exchange, in one place. All are tested at their edge and described to clients by the API."""

from typing import Final

from core.quantities import MILLISECOND, SECOND, MicroUsdc

TTL_CLASSES: Final = (250 * MILLISECOND, 1 * SECOND, 5 * SECOND)
QUOTE_LIFE_MAX: Final = 60 * SECOND
STANDING_LEVELS_MAX: Final = 20
REQUESTS_OPEN_MAX: Final = 100
PAGE_MAX: Final = (1 << 32) - 1
"""The escrow numbers its pages so."""
WITHDRAWALS_OPEN_MAX: Final = 4
"""Withdrawals of one account that are neither paid nor given back: each occupies the operator, who pays for it on chain."""
DEPOSITS_MAX: Final = 100
"""Deposits that are credited by one command: a few milliseconds in which nobody else has a turn."""
KEY_LENGTH_MAX: Final = 64
NAME_LENGTH_MAX: Final = 64
KEYS_KEPT: Final = 24 * 3_600 * SECOND
SIZE_MAX: Final = 10**12
PRICE_MAX: Final = 10**12
PROTECTION_WINDOW_MAX: Final = 60 * SECOND
FILLS_PER_REQUEST_MAX: Final = 50
FILLS_BY_PRICE_MAX: Final = 25
"""Fills of one request that go by price alone. After these an offer must bring its share of what is left, so that no heap of tiny
levels at the best prices uses the fills up before the request reaches the levels that could fill it."""

MAKERS_ASKED_MAX: Final = 64
"""Makers that one request asks; `matcher.asking` says which when there are more."""
MAKERS_LOOKED_MAX: Final = 256
"""Makers that are looked at for one request, and that an auction of the exchange asks, at most."""
MAKER_EQUITY_MIN: Final = MicroUsdc(100_000_000)
"""Equity of a maker that requests ask, at least: places are not to be had for dust."""
SILENCES_MAX: Final = 3
"""Requests that a maker may let pass in silence before requests no longer wait for it."""
SPEECHES_PER_SILENCE: Final = 16
"""Answers or passes in time that make up for one silence."""

KEYS_SURE: Final = 300 * SECOND
"""Every final answer is kept at least so long for repeats of its key: ten times as long as the SDK repeats. What would need more room
than there is, is refused before it is asked (`Code.TOO_MANY_ANSWERS_KEPT`)."""
FILLED_KEPT: Final = 100_000
"""Final answers with fills, which cost a fee, that one account may have kept: 50 to 70 MB. Older than `KEYS_SURE`, up to `KEYS_KEPT`,
the newest stay."""
UNFILLED_KEPT: Final = 30_000
"""The same without fills, which cost nothing: 100 requests a second without end, about 13 MB."""
UNFILLED_KEPT_IN_ALL: Final = 1_000_000
"""The same over all accounts, about 440 MB: when there are so many, whoever has its share asks nothing new. Less than twice as many
are kept, since who has less goes on."""
UNFILLED_KEPT_LEAST: Final = 100
"""No account's share is smaller."""
UNFILLED_KEPT_BEYOND: Final = 1_000
"""Answers without fills that one account may have kept beyond all these, of requests that only shrink a position: three a second
without end, half a megabyte for each who has deposited and holds one."""
UNFILLED_KEPT_LONG: Final = 1_000
"""Answers without fills that are kept beyond `KEYS_SURE`, up to `KEYS_KEPT`, of an account whose share is not smaller."""
FORGOTTEN_AT_ONCE: Final = 100
"""Final answers that are forgotten by one request at most, of each kind and account: about 30 microseconds."""
TRANSFERS_KEPT: Final = 10_000
"""Transfers of one account and its sub-accounts that are kept for repeats of their key, besides `KEYS_KEPT`."""
BATCHES_KEPT: Final = 10_000
CONFIDENCE_MAX: Final = 20_000
"""Widest index confidence (ppm of the price) at which the index is not uncertain, whoever judged it."""
AUCTION_TTL: Final = TTL_CLASSES[0]
"""How long makers have to bid for a slice of an account that is liquidated."""
AUCTION_PAUSE: Final = 2 * SECOND
"""Before the next auction of an account for which nobody bid, or whose market may not fill; twice as long each further time."""
AUCTION_PAUSE_MAX: Final = 32 * SECOND
"""An auction in vain is two records, so an account that nobody wants adds about 230 an hour and not 3,200."""
SWITCH_MAX: Final = 3_600 * SECOND
SETTLEMENT_PATIENCE: Final = 3_600 * SECOND
"""How long a cut, or a market's end, waits for another market's index to be believed: one dead feed must not keep everybody's winnings
off the chain."""
LATE_LEAST: Final = 2 * SETTLEMENT_PATIENCE
"""How far behind the chain may always be: a cut that waits for an index is no halt. An escrow whose exit delay is shorter protects
nobody against one."""
DELISTING_NOTICE: Final = 24 * 3_600 * SECOND
"""How long before its end a delisting is announced, and the market takes nothing that opens: time for all to leave at a price."""
WHY_LENGTH_MAX: Final = 200
