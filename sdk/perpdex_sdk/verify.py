"""Checking a proof that somebody hands over, with nothing but its file and a Solana node.

    python -m perpdex_sdk.verify FILE --rpc URL

The file says which escrow it is about, and anyone may run one of their own with the same program: whoever checks must compare the
escrow's address with the one that they know, or give it.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from perpdex_sdk import files
from perpdex_sdk.answers import Escrow, Proof
from perpdex_sdk.errors import ChainRefused, NotProven, Unreachable
from perpdex_sdk.proofs import ProvenBalance, ProvenFill, proven_balance, proven_fill

PROVEN, NOT_PROVEN, UNKNOWN = 0, 1, 2


class ProofFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proof with the addresses of the escrow whose root it leads to. `format` is 1."""

    program: str
    escrow: str
    proof: Proof
    format: int = 1


def save(path: Path, proof: Proof, escrow: Escrow) -> None:
    """Keep a proof for somebody else to check. Raises `OSError`."""
    files.write(path, ProofFile(escrow.program, escrow.escrow, proof))


def load(path: Path) -> ProofFile:
    """Raises `NotProven` for what is no proof, `OSError`."""
    found = files.read(path, ProofFile)
    if found.format != 1:
        raise NotProven(
            "file_newer", f"{path} has the format {found.format}, which this program does not know"
        )
    return found


async def verified(file: ProofFile, rpc_url: str, escrow: str | None = None) -> ProvenFill | ProvenBalance:
    """What the proof proves, once the chain holds its root. `escrow`: the address that it must be about, None for any.

    Raises `NotProven`, `Unreachable`, `ChainRefused`.
    """
    if escrow is not None and escrow != file.escrow:
        raise NotProven("proof_of_another", f"the proof is about the escrow {file.escrow}")
    where = Escrow(program=file.program, escrow=file.escrow, vault="", mint="", rpc_url="")
    try:
        leaf = bytes.fromhex(file.proof.leaf)
    except ValueError as error:
        raise NotProven("proof_false", f"that is no proof: {error}") from error
    number = int.from_bytes(leaf[1:9], "big")
    if leaf[:1] == b"F":
        return await proven_fill(file.proof, number, where, rpc_url)
    if leaf[:1] == b"A":
        account = int.from_bytes(leaf[9:17], "big")
        if number != file.proof.batch:
            raise NotProven(
                "proof_false", f"the leaf is of batch {number} and the proof says {file.proof.batch}"
            )
        return await proven_balance(file.proof, number, account, where, rpc_url)
    raise NotProven("proof_false", "the leaf is neither a fill nor a balance")


def run(path: Path, rpc_url: str, escrow: str | None) -> int:
    """Print what is proven; 0 when it is, 1 when it is not, 2 when the file or the node could not be read."""
    try:
        file = load(path)
        proven = asyncio.run(verified(file, rpc_url, escrow))
    except NotProven as error:
        print(f"NOT PROVEN: {error}", file=sys.stderr)
        return NOT_PROVEN
    except (Unreachable, ChainRefused, OSError) as error:
        print(f"could not be checked: {error}", file=sys.stderr)
        return UNKNOWN
    told = {"proven": type(proven).__name__, "program": file.program, "escrow": file.escrow}
    print(msgspec.json.format(msgspec.json.encode(told | msgspec.to_builtins(proven)), indent=2).decode())
    if escrow is None:
        print("compare the escrow's address with the one you know: anyone may run another", file=sys.stderr)
    return PROVEN


def main() -> None:
    parser = argparse.ArgumentParser(description="Check a proof of a fill or a balance against Solana.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rpc", required=True, help="URL of a Solana node")
    parser.add_argument("--escrow", help="address of the escrow that it must be about")
    given = parser.parse_args()
    sys.exit(run(given.file, given.rpc, given.escrow))


if __name__ == "__main__":
    main()
