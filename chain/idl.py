"""The escrow program's interface description, as built with the program."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anchorpy import Idl

IDL_FILE: Final = Path(__file__).resolve().parents[1] / "contracts" / "solana" / "escrow" / "idl.json"


@cache
def escrow_idl() -> "Idl":
    # Here, because anchorpy brings pytest and much else: who reads the chain, or asks where something is, needs none of it.
    from anchorpy import Idl

    return Idl.from_json(IDL_FILE.read_text())


@cache
def _error_names() -> dict[int, str]:
    return {error["code"]: error["name"] for error in json.loads(IDL_FILE.read_text())["errors"]}


def error_name(code: int) -> str:
    """The program's name of an error, such as 6022: InsufficientBalance; `Custom(n)` for one of another program."""
    return _error_names().get(code, f"Custom({code})")
