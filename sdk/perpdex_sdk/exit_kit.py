"""The exit kit: all that an agent needs to get its money out of the escrow with the operator gone, kept in a file.

The money lies in a slot of a page that belongs to the owner's key, so the way out needs that key, the addresses, and a Solana node.
The proof says besides what the agent had at the last cut, should the operator have vanished between a cut and its landing.
"""

import hashlib
import struct
from itertools import chain, count
from pathlib import Path
from typing import Final

import msgspec
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from perpdex_sdk import files, own_slot, reading
from perpdex_sdk.answers import Escrow, Place, Proof
from perpdex_sdk.errors import NotProven
from perpdex_sdk.funds import page_address
from perpdex_sdk.proofs import ProvenBalance, proven_balance
from perpdex_sdk.rpc import Rpc

_PAGE: Final = hashlib.sha256(b"account:Page").digest()[:8]
_PAGE_HEAD: Final = struct.Struct("<8s32s32sQII16s")
_SLOT: Final = struct.Struct("<32s3Qq8I")
"""Owner, balance, what is asked for; the account is the sixth field, the second of the claim the eighth."""


class Meta(msgspec.Struct, frozen=True):
    """An account of an instruction."""

    key: str
    signer: bool
    writable: bool


class Call(msgspec.Struct, frozen=True):
    """An instruction for any tool that can sign with the owner's key; `data` is hexadecimal."""

    program: str
    accounts: tuple[Meta, ...]
    data: str


class WayOut(msgspec.Struct, frozen=True):
    """To send in this order: `ask` for everything, and after the escrow's exit delay `token_account` (make it) with `claim`."""

    ask: Call
    token_account: Call
    claim: Call


class ExitKit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`owner` (base58) holds slot `place` of the escrow as the exchange's `account`. `format` is 2; 1 had no `way_out`.

    `proof` is of its balance and equity at the cut of a final batch, the last that can have changed them; None before there is one.
    """

    owner: str
    account: int
    escrow: Escrow
    place: Place
    proof: Proof | None
    way_out: WayOut | None = None
    format: int = 2


def kit_of(owner: Pubkey, account: int, escrow: Escrow, place: Place, proof: Proof | None) -> ExitKit:
    """The kit with its way out."""
    return ExitKit(str(owner), account, escrow, place, proof, _way_out(owner, escrow, place))


def _way_out(owner: Pubkey, escrow: Escrow, place: Place) -> WayOut:
    return WayOut(
        _call(own_slot.request_withdrawal(escrow, place, owner, own_slot.EVERYTHING)),
        _call(own_slot.create_token_account(escrow, owner)),
        _call(own_slot.claim_withdrawal(escrow, place, owner)),
    )


def _call(instruction: Instruction) -> Call:
    metas = tuple(Meta(str(one.pubkey), one.is_signer, one.is_writable) for one in instruction.accounts)
    return Call(str(instruction.program_id), metas, bytes(instruction.data).hex())


class OnChain(msgspec.Struct, frozen=True):
    """What the chain holds for the kit's owner, finally, at its slot `seen`; money in micro-USDC.

    Up to `pending` may be claimed from second `exit_at` on; 0: nothing was asked for. `loss_limit` is the one that was set last,
    whole USDC, 2^32 - 1 for none; a lower one takes effect later.
    """

    seen: int
    page: str
    balance: int
    last_batch: int
    pending: int
    exit_at: int
    loss_limit: int


def save(path: Path, kit: ExitKit) -> None:
    """Replace the kit at once. One that is there already is never replaced by an older one, and one that `load` refuses is set aside
    under its own name, the code of the refusal and, from the second one on, a number. Raises `NotProven` for another account's,
    `OSError`."""
    before = _kept(path)
    if before is not None:
        ours = (before.owner, before.account, before.escrow.escrow) == (
            kit.owner,
            kit.account,
            kit.escrow.escrow,
        )
        if not ours:
            raise NotProven(
                "file_of_another", f"{path} is the exit kit of account {before.account} of {before.owner}"
            )
        if before.proof is not None and (kit.proof is None or kit.proof.batch < before.proof.batch):
            return
    files.write(path, kit)


def _kept(path: Path) -> ExitKit | None:
    """The kit that is there. One that cannot be used must not keep a good one from being kept, and is nobody's to throw away."""
    if not path.exists():
        return None
    try:
        return load(path)
    except NotProven as refused:
        path.replace(_unused(path.with_name(f"{path.name}.{refused.code}")))
        return None


def _unused(path: Path) -> Path:
    """`path`, or with the first number from 2 on under which nothing is kept yet."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return next(one for one in chain([path], numbered) if not one.exists())


def load(path: Path) -> ExitKit:
    """Raises `NotProven` for what is no exit kit, or one whose way out is not its owner's; `OSError`."""
    kit = files.read(path, ExitKit)
    if kit.format not in (1, 2):
        raise NotProven("file_newer", f"{path} has the format {kit.format}, which this program does not know")
    try:
        derived = _way_out(Pubkey.from_string(kit.owner), kit.escrow, kit.place)
    except (ValueError, struct.error) as error:
        raise NotProven("file_damaged", f"{path} is no exit kit: {error}") from error
    if kit.way_out not in (None, derived):
        raise NotProven(
            "kit_altered",
            f"{path} has another way out than that of slot {kit.place} of {kit.owner}: it was altered",
        )
    return kit


async def on_chain(kit: ExitKit, rpc_url: str) -> OnChain:
    """What the owner can claim. Raises `NotProven` when the slot is not the owner's, `Unreachable`, `ChainRefused`."""
    page = page_address(kit.escrow, kit.place.page)
    rpc = Rpc(rpc_url)
    try:
        seen, account = await reading.account(rpc, str(page))
    finally:
        await rpc.close()
    if account is None or account.program != kit.escrow.program:
        raise NotProven("slot_wrong", f"{page} is no page of the program {kit.escrow.program}")
    data = account.data
    at = _PAGE_HEAD.size + kit.place.slot * _SLOT.size
    if data[:8] != _PAGE or len(data) < at + _SLOT.size:
        raise NotProven("slot_wrong", f"{page} is no page with a slot {kit.place.slot}")
    last_batch = _PAGE_HEAD.unpack_from(data)[3]
    owner, balance, pending, _, _, number, _, exit_at, limit, _, next_limit, next_at, _ = _SLOT.unpack_from(
        data, at
    )
    if (str(Pubkey(owner)), number) != (kit.owner, kit.account):
        raise NotProven(
            "slot_wrong", f"slot {kit.place.slot} of {page} is not account {kit.account} of {kit.owner}"
        )
    return OnChain(
        seen,
        str(page),
        balance,
        last_batch,
        pending,
        exit_at,
        next_limit if next_at else limit,
    )


async def proven(kit: ExitKit, rpc_url: str) -> ProvenBalance:
    """What the owner had at the batch of the kit's proof. Raises `NotProven`, `Unreachable`, `ChainRefused`."""
    if kit.proof is None:
        raise NotProven("not_final", "no batch was final when the kit was kept")
    return await proven_balance(kit.proof, kit.proof.batch, kit.account, kit.escrow, rpc_url)
