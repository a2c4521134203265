"""A stranger's escrow of the same program, with a mint of his own: nothing that happens there is taken for ours.

One transaction that names our vault, for nothing, is enough to have it read.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from solana.rpc.core import RPCException
from solana.rpc.types import TxOpts
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction
from spl.token import instructions as spl
from spl.token.constants import MINT_LEN
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN

from chain.deposits import deposits_of
from chain.escrow import EscrowClient
from chain.events import Deposited, WithdrawalClaimed, parse_events
from chain.keys import KeypairSigner
from chain.limits import Limits
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import CONFIRMED, FINALIZED
from chain.send import Landed, send_until
from core.quantities import MONEY_MAX
from owner_transactions import OwnerTransactions

HASTE = Limits(
    hour_floor=0,
    day_floor=0,
    hour_share=0,
    day_share=0,
    exit_delay=1,
    timelock=3,
    loss_window=60,
    limit_delay=1,
)
NOTHING = bytes((2, 0, 0, 0)) + bytes(8)
"""A transfer of 0 lamports."""


class Stranger:
    """An escrow of his own in which he has slot 2 as account 16 and slot 3 as account 17, and worthless tokens without end."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.key, self.mint = Keypair(), Keypair()
        self.signer = KeypairSigner(self.key)
        world.node.call("requestAirdrop", str(self.signer.pubkey), 10**12)
        self.escrow = EscrowClient(world.escrow.client, PROGRAM_ID, self.signer.pubkey, self.mint.pubkey())
        self.wallet = spl.get_associated_token_address(self.signer.pubkey, self.mint.pubkey())

    async def settle_in(self) -> None:
        me, token = self.signer.pubkey, self.mint.pubkey()
        created = CreateAccountParams(
            from_pubkey=me, to_pubkey=token, lamports=10**9, space=MINT_LEN, owner=TOKEN
        )
        await self.send(
            [
                create_account(created),
                spl.initialize_mint(spl.InitializeMintParams(6, TOKEN, token, me)),
                spl.create_associated_token_account(me, me, token),
                spl.mint_to(spl.MintToParams(TOKEN, token, self.wallet, me, 2**63)),
            ],
            self.mint,
        )
        others = {"treasury": Pubkey.new_unique(), "insurance": Pubkey.new_unique()}
        await self.land(
            self.escrow.build_initialize(self.signer, operator=me, guardian=me, limits=HASTE, **others)
        )
        for account in (16, 17):
            await self.land(self.escrow.build_open_account(self.signer, 0, me, account))

    async def land(self, building: Any) -> None:
        fate = await send_until(self.escrow.client, await building, FINALIZED, poll_s=0.01)
        assert isinstance(fate, Landed), fate

    async def send(self, instructions: list[Instruction], *signers: Keypair) -> str:
        """Signature of the transaction, which names our vault and is final."""
        client, me = self.escrow.client, self.signer.pubkey
        vault = AccountMeta(self.world.escrow.addresses.vault, False, False)
        names = [AccountMeta(me, True, True), AccountMeta(me, False, True), vault]
        recent = (await client.get_latest_blockhash()).value.blockhash
        message = Message.new_with_blockhash([*instructions, Instruction(SYSTEM, NOTHING, names)], me, recent)
        signed = Transaction([self.key, *signers], message, recent)
        sent = await client.send_raw_transaction(
            bytes(signed), TxOpts(skip_confirmation=True, preflight_commitment=CONFIRMED)
        )
        signature = Signature.from_string(str(sent.value))
        while True:
            (status,) = (await client.get_signature_statuses([signature])).value
            if status is not None and "Finalized" in str(status.confirmation_status):
                assert status.err is None, status
                return str(signature)
            await asyncio.sleep(0.02)

    def instruction(self, name: str, *args: int) -> Instruction:
        at = self.escrow.addresses
        money = {"source": self.wallet, "target": self.wallet, "vault": at.vault, "token_program": TOKEN}
        place = {"escrow": at.escrow, "page": at.page(0), "owner": self.signer.pubkey}
        return self.escrow._building.instruction(name, {**place, **money}, args)

    async def claim(self) -> str:
        """Signature of the claim, once the chain's clock has got there."""
        while True:
            try:
                return await self.send([self.instruction("claim_withdrawal", 2)])
            except RPCException as early:
                if "6045" not in str(early):
                    raise
                await asyncio.sleep(0.2)


@pytest.fixture
async def stranger(world: Any) -> Stranger:
    stranger = Stranger(world)
    await stranger.settle_in()
    return stranger


async def test_deposits_and_claims_of_a_strangers_escrow_are_not_ours(world: Any, stranger: Stranger) -> None:
    victim = await world.agent(16, 7_000_000)
    await world.agent(17, 0)
    await world.land(world.escrow.build_deposit(victim, 0, 2, 5_000_000), FINALIZED)
    forged = [stranger.instruction("deposit", 3, MONEY_MAX - 10), stranger.instruction("deposit", 2, 9)]
    paid_in = await stranger.send(forged)
    await stranger.land(OwnerTransactions(stranger.escrow).build_request_withdrawal(stranger.signer, 0, 2))
    claimed = await stranger.claim()
    honest = await world.land(world.escrow.build_deposit(victim, 0, 2, 2_000_000), FINALIZED)

    scan = await world.escrow.view.deposits_since(None)
    assert [one.deposit for one in scan.deposits] == [
        Deposited(0, 2, victim.pubkey, 16, 5_000_000, 1),
        Deposited(0, 2, victim.pubkey, 16, 2_000_000, 2),
    ]
    assert scan.claims == ()
    assert scan.cursor == honest.signature

    # To the stranger, they are his.
    logs = [(await world.escrow.view.receipt(one)).logs for one in (paid_in, claimed)]
    theirs = [event for lines in logs for event in parse_events(lines, stranger.escrow.addresses)]
    assert [type(event) for event in theirs] == [Deposited, Deposited, WithdrawalClaimed]
    assert [event for lines in logs for event in parse_events(lines, world.escrow.addresses)] == []


async def test_a_strangers_deposit_is_not_ours_where_logs_were_cut(world: Any, stranger: Stranger) -> None:
    await world.agent(16, 0)
    paid_in = await stranger.send([stranger.instruction("deposit", 2, 9)])
    call = world.escrow.client.get_transaction(Signature.from_string(paid_in), "base64", FINALIZED, 0)
    whole = (await call).value
    meta = SimpleNamespace(
        log_messages=["Log truncated"],
        inner_instructions=whole.transaction.meta.inner_instructions,
        loaded_addresses=whole.transaction.meta.loaded_addresses,
    )
    inner = SimpleNamespace(meta=meta, transaction=whole.transaction.transaction)
    shown = SimpleNamespace(slot=whole.slot, transaction=inner)
    for at, deposits in ((world.escrow.addresses, 0), (stranger.escrow.addresses, 1)):
        assert len(await deposits_of(shown, paid_in, at, world.escrow.view._slots())) == deposits
