"""A batch, and a step of the worker, signed by a key that another machine keeps."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from temporalio.exceptions import ApplicationError

from activities.landing import Lander
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.send import Landed, send_until
from chain.signers.opening import open_signer
from chain.transactions import SignatureRefused, SignedTransaction
from ledger.database import open_pool
from ledger.settlement import Settlement

ROOT = bytes(range(32))


class Remote:
    """An escrow whose operator is the service's key."""

    def __init__(self, service: Any, operator: Any, client: AsyncClient) -> None:
        self.service = service
        self.operator = operator
        self.escrow = EscrowClient(client, PROGRAM_ID, operator.pubkey, USDC_MINT)

    async def land(self, building: Any) -> None:
        fate = await send_until(self.escrow.client, await building, poll_s=0.01)
        assert isinstance(fate, Landed), fate


@pytest.fixture
async def remote(service: Any, node: Any, client: AsyncClient) -> AsyncIterator[Remote]:
    async with open_signer(service.place) as operator:
        node.call("requestAirdrop", str(operator.pubkey), 10**12)
        remote = Remote(service, operator, client)
        others = {"treasury": Pubkey.new_unique(), "insurance": Pubkey.new_unique()}
        key = operator.pubkey
        await remote.land(remote.escrow.build_initialize(operator, operator=key, guardian=key, **others))
        yield remote


async def test_a_batch_settles(remote: Remote, node: Any) -> None:
    escrow, operator, agent = remote.escrow, remote.operator, node.funded(1_000)
    await remote.land(escrow.build_open_account(operator, 0, agent.pubkey, 16))
    await remote.land(escrow.build_deposit(agent, 0, 2, 1_000))
    await remote.land(escrow.build_open_batch(operator, 1, ROOT, 1))
    await remote.land(escrow.build_settle_page(operator, 1, 0, [(0, 10), (2, -10)]))
    await remote.land(escrow.build_seal_batch(operator, 1))
    await remote.land(escrow.build_withdraw(operator, agent, 0, 2, 900, 1))
    state, page = await escrow.view.escrow_state(), await escrow.view.page(0)
    assert state is not None
    assert page is not None
    assert state.sealed_batch == 1
    assert page.slots[2].balance == 90


async def test_guardian_and_admin_sign_where_their_keys_are(remote: Remote, command: Any) -> None:
    place, admin = remote.service.place, {"ESCROW_ADMIN": str(remote.operator.pubkey)}
    remote.service.trouble = "denied"
    code, said = await command("escrow", "pause", "--guardian", place, **admin)
    assert (code, "the key does not sign" in said, "signer_denied" in said) == (1, True, True), said
    remote.service.trouble = ""
    code, said = await command("escrow", "pause", "--guardian", place, **admin)
    assert code == 0, said
    code, said = await command("escrow", "propose", "limits", "--hour-floor", "7", "--admin", place, **admin)
    assert code == 0, said
    state = await remote.escrow.view.escrow_state()
    assert state is not None
    assert state.proposal is not None
    assert (state.paused, state.proposal.settings.limits.hour_floor) == (True, 7_000_000)


async def test_nothing_is_kept_or_sent_until_it_is_signed(remote: Remote, postgres_url: str) -> None:
    """Throttled, then unreachable, then signed: the step lands once, and the worker was told each reason by its code."""
    pool = open_pool(postgres_url)
    ledger = Settlement(pool)
    lander = Lander(ledger, remote.escrow)

    async def build(fee: int) -> SignedTransaction:
        return await remote.escrow.build_create_page(remote.operator, 1, price=fee)

    async def done() -> bool:
        return await remote.escrow.view.page(1) is not None

    try:
        for trouble, code in (("throttled", "signer_throttled"), ("cut", "signer_unreachable")):
            remote.service.trouble = trouble
            with pytest.raises(ApplicationError) as failed:
                await lander.land("page/1", build, done)
            assert failed.value.type == code
            assert not failed.value.non_retryable
            assert await ledger.submissions("page/1") == []
        remote.service.trouble = ""
        await lander.land("page/1", build, done)
        assert [one.status for one in await ledger.submissions("page/1")] == ["landed"]
    finally:
        await pool.dispose()
    assert await done()


async def test_nobody_is_asked_to_sign_what_others_have_not_signed_rightly(remote: Remote, node: Any) -> None:
    agent, asked = node.funded(1_000), remote.service.asked
    message = await remote.escrow.withdraw_message(remote.operator.pubkey, agent.pubkey, 0, 2, 5, 1)
    forged = Keypair().sign_message(message.message)
    with pytest.raises(SignatureRefused, match="does not match"):
        await remote.escrow.combine_withdraw(message, remote.operator, agent.pubkey, forged)
    stranger = KeypairSigner(Keypair())
    with pytest.raises(SignatureRefused, match="not those"):
        await remote.escrow.combine_withdraw(
            message, remote.operator, stranger.pubkey, await stranger.sign(message.message)
        )
    assert remote.service.asked == asked
