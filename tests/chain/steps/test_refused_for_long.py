"""A step that the program refuses until a person has mended something: it is tried calmly, and not every try of it is kept."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.landing import OFTEN, UNHURRIED, Lander
from chain.transactions import SignedTransaction
from ledger.settlement import FAILED


async def test_after_a_few_tries_there_is_no_hurry(world: Any, ledger: Any) -> None:
    lander, stranger = Lander(ledger, world.escrow), await world.agent(16, 1)

    async def build(fee: int) -> SignedTransaction:
        signed: SignedTransaction = await world.escrow.build_open_batch(stranger, 1, bytes(32), 1, price=fee)
        return signed

    async def done() -> bool:
        return False

    async def refused(attempt: int) -> ApplicationError:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        with pytest.raises(ApplicationError) as caught:
            await environment.run(lander.land, "batch/1/open", build, done)
        return caught.value

    first, later = await refused(OFTEN), await refused(OFTEN + 1)
    assert (first.type, first.next_retry_delay) == ("escrow_NotOperator", None)
    assert (later.type, later.next_retry_delay) == ("escrow_NotOperator", UNHURRIED)
    assert {one.status for one in await ledger.submissions("batch/1/open")} == {FAILED}


async def test_who_waits_is_told_of_the_try_that_is_waited_for(
    world: Any, ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lander, reference = Lander(ledger, world.escrow), "batch/2/open"
    await ledger.add_submission("gone", reference, b"raw", 1, 0)
    await ledger.close_submission("gone", FAILED)
    monkeypatch.setattr("activities.landing.PATIENCE_S", 0)

    async def build(fee: int) -> SignedTransaction:
        signed: SignedTransaction = await world.escrow.build_open_batch(
            world.operator, 1, bytes(32), 1, price=fee
        )
        return signed

    async def done() -> bool:
        return False

    with pytest.raises(ApplicationError, match=r"sent for the 2\. time") as caught:
        await lander.land(reference, build, done)
    assert caught.value.type == "not_landed"
