"""Proofs that a fill, or an account's balance, is in a batch whose root the escrow program keeps on chain."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.access import SESSION_ERRORS, EdgeGiven, ProofCaller, errors
from api.errors import ApiError
from api.schemas import ProofAnswer, ProofStep
from api.streams import HistoryUnavailable
from ledger.batch_roots import Proof

router = APIRouter(prefix="/api/v1/account", tags=["proofs"])
Number = Annotated[int, Path(ge=1, le=(1 << 62) - 1)]


@router.get(
    "/fills/{number}/proof",
    responses=errors(*SESSION_ERRORS, "fill_unknown", "not_batched", "history_unavailable"),
)
async def fill_proof(number: Number, caller: ProofCaller, edge: EdgeGiven) -> ProofAnswer:
    """Path from one of the caller's fills to its batch's root."""
    try:
        row = await edge.reads.fill(number)
        if row is None or caller not in (row.taker, row.maker):
            raise ApiError("fill_unknown")
        proof = await edge.reads.prove_fill(number)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    if proof is None:
        raise ApiError("not_batched")
    return _answer(proof)


@router.get(
    "/batches/{number}/proof", responses=errors(*SESSION_ERRORS, "not_batched", "history_unavailable")
)
async def balance_proof(number: Number, caller: ProofCaller, edge: EdgeGiven) -> ProofAnswer:
    """Path from the caller's balance and equity at a batch's cut to the batch's root."""
    try:
        proof = await edge.reads.prove_account(number, caller)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    if proof is None:
        raise ApiError("not_batched")
    return _answer(proof)


def _answer(proof: Proof) -> ProofAnswer:
    path = [ProofStep(left=left, hash=sibling.hex()) for left, sibling in proof.path]
    return ProofAnswer(
        batch=proof.batch,
        leaf=proof.leaf.hex(),
        path=path,
        root=proof.root.hex(),
        seal=proof.seal or None,
    )
