"""Limits of the exchange, in one place. All are tested at their edge and described to clients by the API."""

from typing import Final

from core.quantities import MILLISECOND, SECOND

TTL_CLASSES: Final = (250 * MILLISECOND, 1 * SECOND, 5 * SECOND)
QUOTE_LIFE_MAX: Final = 60 * SECOND
STANDING_LEVELS_MAX: Final = 20
REQUESTS_OPEN_MAX: Final = 100
WITHDRAWALS_OPEN_MAX: Final = 4
"""Withdrawals of one account that are neither paid nor given back: each occupies the operator, who pays for it on chain."""
KEY_LENGTH_MAX: Final = 64
NAME_LENGTH_MAX: Final = 64
KEYS_KEPT: Final = 24 * 3_600 * SECOND
SIZE_MAX: Final = 10**12
PRICE_MAX: Final = 10**12
PROTECTION_WINDOW_MAX: Final = 60 * SECOND
FILLS_PER_REQUEST_MAX: Final = 50

MAKERS_ASKED_MAX: Final = 64
"""Makers that one request asks; when more may be asked, requests take turns through them, those who speak first."""
SILENCES_MAX: Final = 3
"""Requests in a row that a maker may let pass in silence before requests no longer wait for it."""

ANSWERS_KEPT: Final = 100_000
"""Final answers kept per account for repeats of their key, besides `KEYS_KEPT`."""
BATCHES_KEPT: Final = 10_000
CONFIDENCE_MAX: Final = 20_000
"""Widest index confidence (ppm of the price) at which fills go on."""
SWITCH_MAX: Final = 3_600 * SECOND
