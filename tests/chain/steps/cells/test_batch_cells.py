"""Every step of a batch through every fault: it is done once, and ledger and chain say the same of it."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from crash_faults import Faults
from fault_proxy import Fault


class TestBatch(Faults):
    """Pages that give and pages that take are settled by one step."""

    STEPS = {  # noqa: RUF012
        "open_batch": "open_batch",
        "settle_page: debits": "settle_page",
        "settle_page: credits": "settle_page",
        "seal_batch": "seal_batch",
    }


@pytest.mark.cell("open_batch", "RPC lies")
@pytest.mark.cell("settle_page", "RPC lies")
@pytest.mark.cell("seal_batch", "RPC lies")
async def test_the_node_says_that_a_page_took_other_deltas(scene: Any) -> None:
    """What is not signed is not known: a batch of ours is not taken for another's, which would have it settled once more."""
    await scene.before("seal_batch")
    # The last one is begun anew on a sealed batch, as its workflow is when it has grown long.
    for step in ("settle_page: debits", "settle_page: credits", "seal_batch", "open_batch"):
        scene.proxy.fail("getTransaction", Fault.FORGE)
        with pytest.raises(ApplicationError) as unknown:
            await scene.worker().do(step)
        assert (unknown.value.type, scene.proxy.waiting()) == ("node_lies", 0)
        await scene.worker().persist(step)
    for step in TestBatch.STEPS:
        await scene.done_once(step)
