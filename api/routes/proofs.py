"""Proofs that a fill, or an account's balance, is in a batch whose root the escrow program keeps on chain.

A leaf says more than anyone may read elsewhere: who stood on the other side of a fill, what each side realized, and an account's
balance beside its equity. So proofs go to those whom they are about, who may show them to whom they like.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.access import SESSION_ERRORS, EdgeGiven, ProofCaller, errors
from api.collaborators import Edge
from api.errors import ApiError
from api.schemas import ProofAnswer, ProofStep
from api.streams import HistoryUnavailable
from ledger.batch_roots import Proof

router = APIRouter(prefix="/api/v1", tags=["proofs"])
Number = Annotated[int, Path(ge=1, le=(1 << 62) - 1)]
Batch = Annotated[
    int | None,
    Query(ge=1, le=(1 << 62) - 1, description="By default the newest whose root is on chain."),
]


@router.get(
    "/fills/{number}/proof",
    responses=errors(*SESSION_ERRORS, "fill_unknown", "not_batched", "history_unavailable"),
)
async def fill_proof(number: Number, caller: ProofCaller, edge: EdgeGiven) -> ProofAnswer:
    """Path from a fill of the caller's, or of one of its sub-accounts, to its batch's root. Other fills are `fill_unknown`."""
    try:
        row = await edge.reads.fill(number)
        if row is None or _own(edge, caller).isdisjoint((row.taker, row.maker)):
            raise ApiError("fill_unknown")
        proof = await edge.reads.prove_fill(number)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    if proof is None:
        raise ApiError("not_batched")
    return _answer(proof)


@router.get(
    "/accounts/{number}/proof", responses=errors(*SESSION_ERRORS, "not_batched", "history_unavailable")
)
async def balance_proof(
    number: Number, caller: ProofCaller, edge: EdgeGiven, batch: Batch = None
) -> ProofAnswer:
    """Path from balance and equity of the caller's account, or of one of its sub-accounts, at a batch's cut to the batch's root.

    Other accounts are `account_unknown`.
    """
    if number not in _own(edge, caller):
        raise ApiError("account_unknown")
    try:
        proof = await edge.reads.prove_account(batch, number)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    if proof is None:
        raise ApiError("not_batched")
    return _answer(proof)


def _own(edge: Edge, caller: int) -> set[int]:
    return {caller, *(sub.id for sub in edge.engine.state.accounts[caller].subs)}


def _answer(proof: Proof) -> ProofAnswer:
    path = [ProofStep(left=left, hash=sibling.hex()) for left, sibling in proof.path]
    return ProofAnswer(
        batch=proof.batch,
        leaf=proof.leaf.hex(),
        path=path,
        root=proof.root.hex(),
        seal=proof.seal or None,
    )
