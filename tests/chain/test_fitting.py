"""A journal and an escrow that do not belong together are not traded on: neither a new journal on a used escrow nor the reverse."""

import asyncio
from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from endings import sentence
from fitting import DoesNotFit, Known, compare_later, compared, misfit
from serving import serve_api
from settings import Settings

NEW = Known(cut=0, deposits=0, agents=0)
TRADED = Known(cut=9, deposits=2, agents=2)
ROOT = bytes(32)


@pytest.fixture
def settings(world, tmp_path):
    return Settings(
        solana_rpc_url=world.node.url,
        escrow_admin=str(world.operator.pubkey),
        perpdex_data=tmp_path / "data",
        database_url="postgresql://nobody@127.0.0.1:1/none",
        pyth_url="",
    )


async def test_a_used_escrow_takes_no_new_journal(world, settings):
    escrow = world.escrow
    assert await compared(settings, NEW)
    agent = await world.agent(16, 1_000)
    # A slot that the worker opened, before the deposit that it is for.
    assert await compared(settings, NEW)
    await world.land(escrow.build_deposit(agent, 0, 2, 1_000))
    assert await compared(settings, Known(cut=0, deposits=0, agents=1))
    with pytest.raises(
        DoesNotFit, match=r"up to batch 0 and deposit 1, .* meet other owners' slots"
    ) as refused:
        await serve_api(settings)
    assert sentence(refused.value) is not None
    await world.land(escrow.build_open_batch(world.operator, 1, ROOT, 1))
    await world.land(escrow.build_settle_page(world.operator, 1, 0, [(0, 1), (2, -1)]))
    await world.land(escrow.build_seal_batch(world.operator, 1))
    with pytest.raises(DoesNotFit, match="up to batch 1 and deposit 1"):
        await compared(settings, Known(cut=0, deposits=1, agents=1))
    assert await compared(settings, TRADED)


async def test_a_new_escrow_takes_no_used_journal(world, settings):
    with pytest.raises(DoesNotFit, match="credited 2 deposits, and the escrow has never taken one"):
        await compared(settings, TRADED)
    nobodys = settings.model_copy(update={"escrow_admin": str(Pubkey.new_unique())})
    with pytest.raises(DoesNotFit, match="there is no escrow: bring back the chain"):
        await compared(nobodys, TRADED)
    assert await compared(nobodys, NEW)


async def test_what_the_exchange_itself_puts_in_first_is_no_use(world):
    state, pages = await world.escrow.view.escrow_state(), await world.escrow.view.pages()
    assert misfit(NEW, replace(state, deposit_count=1), pages) == ""


async def test_a_silent_node_is_asked_until_it_answers(world, settings):
    world.node.process.stop()
    assert not await compared(settings, TRADED)
    stopped = asyncio.Event()
    later = asyncio.create_task(compare_later(settings, TRADED, stopped))
    await asyncio.to_thread(world.node.process.start)
    async with asyncio.timeout(60):
        await stopped.wait()
    with pytest.raises(DoesNotFit, match="never taken one"):
        await later
