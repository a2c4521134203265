"""Money in and out while processes die: each deposit is credited once, each withdrawal is paid once or given back."""

import asyncio
import base64
from typing import Any

import pytest
import pytest_asyncio
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from chain.events import Deposited, Withdrawn
from chain.keys import KeypairSigner
from fault_proxy import Fault
from matcher.commands import RegisterAgent
from workflows.withdrawal_state import CLOSED, WithdrawalRequest, WithdrawalState, WithdrawalStatus
from workflows.withdrawals import WithdrawalWorkflow

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
USDC = 1_000_000
Handle = WorkflowHandle[WithdrawalWorkflow, WithdrawalState]


class Saver:
    """An owner with an account that never trades."""

    def __init__(self, network: Any, until: Any) -> None:
        self.network, self.until = network, until
        self.owner = KeypairSigner(Keypair())
        self.account = 0

    async def register(self) -> None:
        """With tokens in the wallet, and a slot that the worker opened."""
        registered = await self.network.door.command(RegisterAgent(str(self.owner.pubkey), "saver"))
        self.account = registered.event("AgentRegistered")["account"]
        await self.network.give(self.owner.pubkey, 100 * USDC)

        async def placed() -> bool:
            return await self.network.escrow.view.slot_of(self.account) is not None

        await self.until(placed)

    async def deposit(self, amount: int) -> None:
        place = await self.network.escrow.view.slot_of(self.account)
        await self.network.land(
            self.network.escrow.build_deposit(self.owner, place.page, place.slot.index, amount)
        )

    async def credited(self) -> None:
        """Everything that came in on chain is in the engine."""

        async def all_of_it() -> bool:
            state = await self.network.escrow.view.snapshot()
            return (await self.network.door.state()).deposits == state.state.deposits

        await self.until(all_of_it)

    async def withdraw(self, key: str, amount: int, destination: str = "") -> Handle:
        request = WithdrawalRequest(self.account, str(self.owner.pubkey), amount, key, destination)
        return await self.network.client.start_workflow(
            WithdrawalWorkflow.run, request, id=f"withdrawal-{key}", task_queue="perpdex-withdrawals"
        )

    async def sign(self, handle: Handle) -> None:
        """Sign one message that is handed out; one that is no longer wanted is let go."""
        try:
            message = await handle.execute_update(WithdrawalWorkflow.message_to_sign)
            signature = await self.owner.sign(base64.b64decode(message.message))
            await handle.execute_update(WithdrawalWorkflow.signed, str(signature))
        except WorkflowUpdateFailedError:
            await asyncio.sleep(0.2)

    async def closed(self, handle: Handle) -> WithdrawalState:
        """Sign whenever asked, until it is over."""

        async def over() -> bool:
            state = await handle.query(WithdrawalWorkflow.state)
            if state.status == WithdrawalStatus.AWAITING_SIGNATURE:
                await self.sign(handle)
            return state.status in CLOSED

        await self.until(over)
        return await handle.result()

    async def wallet(self) -> int:
        wallet = self.network.escrow.wallet_of(self.owner.pubkey)
        return int((await self.network.rpc.get_token_account_balance(wallet, "confirmed")).value.amount)

    def moved(self, kind: type[Deposited] | type[Withdrawn]) -> list[int]:
        """Amounts that the escrow logged, as of the last agreement."""
        events = [event for events in self.network.receipts.values() for event in events]
        return [one.amount for one in events if isinstance(one, kind) and one.account == self.account]


@pytest_asyncio.fixture(loop_scope="module")
async def saver(network: Any, until: Any) -> Saver:
    saver = Saver(network, until)
    await saver.register()
    return saver


@pytest.mark.cell("watch_deposits: credit", "killed before")
@pytest.mark.cell("watch_deposits: credit", "killed after")
async def test_deposits_are_credited_once_while_worker_and_api_die(network, agree, until, saver):
    other = Saver(network, until)
    await other.register()
    for number, process in enumerate((network.worker, network.api, network.worker, network.api)):
        await saver.deposit(USDC + number)
        await other.deposit(USDC - number)
        process.kill()
        process.start()
    await network.serves()
    await saver.credited()
    await agree()
    cut = await network.door.cut((await network.newest())[0])
    balances = {one.account: one.balance for one in cut.accounts}
    assert balances[saver.account] == sum(saver.moved(Deposited)) == 4 * USDC + 6
    assert balances[other.account] == sum(other.moved(Deposited)) == 4 * USDC - 6


@pytest.mark.cell("pay", "killed after")
async def test_a_payment_is_made_once_when_all_die_before_they_hear_that_it_landed(
    network, agree, until, saver
):
    await saver.deposit(50 * USDC)
    await saver.credited()
    await network.quiet()
    handle = await saver.withdraw("landed", 20 * USDC)
    await handle.execute_update(WithdrawalWorkflow.reserved)
    network.proxy.fail("sendTransaction", Fault.LOSE_ANSWER, seconds=60)
    await saver.sign(handle)

    async def on_chain() -> bool:
        return await saver.wallet() == 70 * USDC

    await until(on_chain)
    network.worker.kill()
    network.api.kill()
    network.worker.start()
    network.api.start()
    assert (await saver.closed(handle)).status == WithdrawalStatus.PAID
    await network.serves()
    await agree()
    assert saver.moved(Withdrawn) == [20 * USDC]
    assert await saver.wallet() == 70 * USDC


@pytest.mark.cell("pay", "killed before")
async def test_a_payment_is_made_once_when_the_worker_dies_before_it_is_sent(network, agree, until, saver):
    await saver.deposit(50 * USDC)
    await saver.credited()
    await network.quiet()
    handle = await saver.withdraw("unsent", 20 * USDC)
    await handle.execute_update(WithdrawalWorkflow.reserved)
    network.proxy.fail("sendTransaction", Fault.REFUSE, seconds=60)
    await saver.sign(handle)

    async def held() -> bool:
        return network.proxy.waiting() == 0

    await until(held)
    network.worker.kill()
    assert await saver.wallet() == 50 * USDC
    network.worker.start()
    assert (await saver.closed(handle)).status == WithdrawalStatus.PAID
    await agree()
    assert saver.moved(Withdrawn) == [20 * USDC]
    assert await saver.wallet() == 70 * USDC


async def test_what_the_chain_refuses_is_given_back(network, agree, saver):
    await saver.deposit(50 * USDC)
    await saver.credited()
    handle = await saver.withdraw("refused", 20 * USDC, destination=str(Pubkey.new_unique()))
    ended = await saver.closed(handle)
    assert ended.status == WithdrawalStatus.RELEASED
    assert ended.code
    await agree()
    assert saver.moved(Withdrawn) == []
    again = await saver.closed(await saver.withdraw("all of it", 50 * USDC))
    assert again.status == WithdrawalStatus.PAID
    await agree()
    assert saver.moved(Withdrawn) == [50 * USDC]
