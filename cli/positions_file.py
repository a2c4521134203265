"""The file `positions.json`: cash and signed sizes of vaults, as an earlier system kept them.

``{"vault-1": {"cash": 1000000, "positions": {"hyper::ETH": 1.5, "XAU": -0.8}}}``. Numbers are taken as they are written, never as
floats; of one that is too fine for that, what a float adds behind the fifteenth figure is left away (0.1 + 0.2 is written
0.30000000000000004). A symbol without a venue, as all were once, is at the default one.
"""

import json
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any, Final

from core.quantities import USDC_UNIT, NotAQuantity, units_from_decimal
from core.tickets import NotATicket, leg_from, size_from

FLOAT: Final = Context(prec=15)
"""The figures that every float keeps."""
Held = tuple[str, dict[str, str]]
"""Cash in USDC, and sizes by ``venue::symbol``, as exact decimal strings."""


class NotAFile(ValueError):
    """What is no such file; the text says where."""


def read_positions(text: str, default_venue: str) -> dict[str, Held]:
    """What each vault holds, in the order of the file. Raises `NotAFile`."""
    try:
        document = json.loads(text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=_once)
    except ValueError as error:
        raise NotAFile(str(error)) from None
    if not isinstance(document, dict) or not document:
        raise NotAFile("it has no vaults")
    return {vault: _held(vault, held, default_venue) for vault, held in document.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotAFile("it says something twice")
    return found


def _held(vault: str, held: Any, default_venue: str) -> Held:
    if not isinstance(held, dict) or not held.keys() <= {"cash", "positions"}:
        raise NotAFile(f"{vault}: a vault has cash and positions, and nothing else")
    positions = held.get("positions", {})
    if not isinstance(positions, dict):
        raise NotAFile(f"{vault}: positions are sizes by symbol")
    found: dict[str, str] = {}
    try:
        cash = _plain(held.get("cash", Decimal(0)), lambda text: units_from_decimal(text, USDC_UNIT))
        for name, size in positions.items():
            leg = str(leg_from(name, default_venue))
            if leg in found:
                raise NotAFile(f"{vault}: {leg} is there twice")
            found[leg] = _plain(size, size_from)
    except (NotAQuantity, NotATicket) as error:
        raise NotAFile(f"{vault}: {error}") from None
    return cash, found


def _plain(value: Any, check: Callable[[str], object]) -> str:
    """Without exponent. Raises `NotAQuantity` for what is no number, or none that `check` takes."""
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > 30:
        raise NotAQuantity(f"{value!r} is no number in range")
    exact = format(value, "f")
    try:
        check(exact)
    except NotAQuantity:
        if len(value.as_tuple().digits) <= FLOAT.prec:
            raise
        exact = format(FLOAT.plus(value), "f")
        check(exact)
    return exact
