"""An agent's own deposit against the real program on a local chain: the client's copy of the layout is right."""

import asyncio
import base64
from collections.abc import Callable
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from api.collaborators import EscrowInfo, WithdrawalView
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.localnet.genesis import PROGRAM_ID
from chain.send import Landed, send_until
from matcher import commands as c
from perpdex_sdk import Agent, DepositFailed, MessageRefused, Unreachable
from perpdex_sdk.agents.population import fund
from perpdex_sdk.answers import Escrow, Place
from perpdex_sdk.funds import deposit_instruction, must_pay_only, send_deposit, token_account
from perpdex_sdk.rpc import Rpc

POLL_S = 0.01


def info(escrow: EscrowClient, url: str) -> EscrowInfo:
    at = escrow.addresses
    return EscrowInfo(str(PROGRAM_ID), str(at.escrow), str(at.vault), str(escrow.mint), url)


async def test_the_clients_instruction_is_the_programs(escrow: Any) -> None:
    client, _, url = escrow
    owner = KeypairSigner(Keypair())
    built = await client.build_deposit(owner, 3, 7, 123_456)
    own = deposit_instruction(Escrow(**info(client, url)._asdict()), Place(3, 7), owner.pubkey, 123_456)
    assert own.data in built.raw
    for account in own.accounts:
        assert bytes(account.pubkey) in built.raw


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "0", "-1", "0.0000001"])
async def test_what_is_no_amount_is_not_sent(amount: str) -> None:
    nobody: Any = None
    with pytest.raises(DepositFailed, match=r"is not a positive multiple of 0\.000001 USDC"):
        await send_deposit(nobody, Keypair(), Decimal(amount), nobody, "http://127.0.0.1:1")


async def test_a_funded_agent_deposits_and_is_credited(new_exchange: Any, escrow: Any) -> None:
    client, operator, url = escrow
    exchange = await new_exchange(escrow=info(client, url))
    agent = await Agent.connect(exchange.server.http_url, Keypair(), "depositor")
    try:
        funding = asyncio.create_task(fund(agent, Decimal("250.5")))
        opened = await client.build_open_account(operator, 0, agent.keypair.pubkey(), agent.account)
        assert isinstance(await send_until(client.client, opened, "confirmed", poll_s=POLL_S), Landed)
        await exchange.engine.ask(c.BindSlot(agent.account, 0, 2))
        while await client.view.vault_amount() == 0:
            await asyncio.sleep(0.02)
        assert await client.view.vault_amount() == 250_500_000
        await exchange.engine.ask(c.CreditDeposit(agent.account, 250_500_000, "seen-on-chain"))
        await funding
        assert agent.balance == Decimal("250.5")
        await fund(agent, Decimal("250.5"))  # has it already
        with pytest.raises(DepositFailed):
            await agent.deposit("1000000")  # more than its token account holds
        with pytest.raises(DepositFailed, match="multiple"):
            await agent.deposit("0.0000001")
        assert await client.view.vault_amount() == 250_500_000
        rpc = Rpc(url)
        await rpc.call("perpdexMintTestUsdc", str(agent.keypair.pubkey()), 1_000_000)
        await rpc.close()
        signature = await agent.deposit("1", price=777)
        # For 60,000 units, rounded up.
        assert (await client.view.receipt(signature)).fee == 5_000 + 47
        await agent.set_loss_limit(7, price=777)
        (newest,) = (await client.client.get_signatures_for_address(agent.keypair.pubkey(), limit=1)).value
        assert (await client.view.receipt(str(newest.signature))).fee == 5_000 + 47
        assert await client.view.vault_amount() == 251_500_000
    finally:
        await agent.close()


async def test_no_chain_is_unreachable() -> None:
    rpc = Rpc("http://127.0.0.1:9")
    with pytest.raises(Unreachable):
        await rpc.latest_blockhash()
    await rpc.close()


def test_the_client_needs_nothing_of_the_exchange() -> None:
    spec = find_spec("perpdex_sdk")
    assert spec is not None
    assert spec.origin is not None
    ours = ("core", "matcher", "ledger", "chain", "oracles", "api", "workflows", "activities")
    for source in Path(spec.origin).parent.rglob("*.py"):
        for line in source.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in ours, (source, line)


async def test_only_the_withdrawal_that_was_asked_for_is_signed(escrow: Any) -> None:
    client, operator, url = escrow
    owner, at, place = KeypairSigner(Keypair()), Escrow(**info(client, url)._asdict()), Place(3, 7)
    other = Pubkey.new_unique()

    def check(message: bytes, place: Place | None = place, amount: int = 123, to: str | None = None) -> None:
        must_pay_only(message, at, place, owner.pubkey, amount, to)

    built = await client.withdraw_message(operator.pubkey, owner.pubkey, 3, 7, 123, 1)
    check(built.message)
    elsewhere = await client.withdraw_message(operator.pubkey, owner.pubkey, 3, 7, 123, 1, target=other)
    check(elsewhere.message, to=str(other))
    for message, changes in (
        (built.message, {"amount": 124}),
        (built.message, {"to": str(other)}),
        (built.message, {"place": Place(3, 8)}),
        (built.message, {"place": Place(2, 7)}),
        (built.message, {"place": None}),
        (elsewhere.message, {}),
        ((await client.withdraw_message(owner.pubkey, owner.pubkey, 3, 7, 123, 1)).message, {}),
        (with_a_transfer(built.message, owner.pubkey, other), {}),
        (b"\x01", {}),
        (b"", {}),
    ):
        with pytest.raises(MessageRefused):
            check(message, **changes)


def rebuilt(
    raw: bytes, change: Callable[[list[AccountMeta], bytes], tuple[list[AccountMeta], bytes]]
) -> bytes:
    """The same message with the accounts and the data of its payment changed."""
    message = Message.from_bytes(raw)
    signers, instructions = set(message.signer_keys()), []
    for one in message.instructions:
        program = message.account_keys[one.program_id_index]
        keys = [message.account_keys[index] for index in one.accounts]
        metas, data = [AccountMeta(key, key in signers, True) for key in keys], bytes(one.data)
        if program == PROGRAM_ID:
            metas, data = change(metas, data)
        instructions.append(Instruction(program, data, metas))
    return bytes(Message(instructions, message.account_keys[0]))


async def test_every_account_of_a_payment_is_the_one_that_is_derived(escrow: Any) -> None:
    client, operator, url = escrow
    owner, place = Keypair().pubkey(), Place(3, 7)
    # What the exchange says of the vault counts for nothing.
    at = Escrow(**info(client, url)._replace(vault=str(Pubkey.new_unique()))._asdict())
    sent = (await client.withdraw_message(operator.pubkey, owner, 3, 7, 123, 1)).message
    must_pay_only(rebuilt(sent, lambda metas, data: (metas, data)), at, place, owner, 123, None)
    others = (
        Pubkey.new_unique(),
        owner,
        token_account(owner, client.mint),
        token_account(operator.pubkey, client.mint),
    )
    for index in range(7):
        for other in others:

            def swap(metas: list[AccountMeta], data: bytes, at: int = index, key: Pubkey = other) -> Any:
                return [*metas[:at], AccountMeta(key, metas[at].is_signer, True), *metas[at + 1 :]], data

            swapped = rebuilt(sent, swap)
            if bytes(swapped) != rebuilt(sent, lambda metas, data: (metas, data)):
                with pytest.raises(MessageRefused):
                    must_pay_only(swapped, at, place, owner, 123, None)
    for change in (
        lambda metas, data: (metas[:-1], data),
        lambda metas, data: ([*metas, metas[4]], data),
        lambda metas, data: (metas, data + b"\0"),
        lambda metas, data: (metas, data[:18]),
    ):
        with pytest.raises(MessageRefused):
            must_pay_only(rebuilt(sent, change), at, place, owner, 123, None)
    for raw in (sent.replace(bytes(PROGRAM_ID), bytes(others[0])), sent + b"\0", b"\x80" + sent, sent[:-1]):
        with pytest.raises(MessageRefused):
            must_pay_only(raw, at, place, owner, 123, None)


class LatePayments:
    """A process host whose first two messages come too late; the third one is paid. `signed` are the signatures handed in."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages
        self.signed: list[str] = []

    async def start(
        self, account: int, owner: str, amount: int, key: str, destination: str
    ) -> WithdrawalView:
        self._asked = WithdrawalView(
            f"withdrawal-{account}-{key}", account, amount, destination, "starting", None, None, None
        )
        return self._asked

    async def read(self, id: str) -> WithdrawalView | None:
        if len(self.signed) == len(self._messages):
            return self._asked._replace(status="paid", signature="landed")
        message = base64.b64encode(self._messages[len(self.signed)]).decode()
        return self._asked._replace(status="awaiting_signature", message=message)

    async def sign(self, id: str, signature: str) -> WithdrawalView | None:
        self.signed.append(signature)
        return self._asked._replace(status="paying")


async def test_a_withdrawal_is_signed_as_often_as_it_takes(new_exchange: Any, escrow: Any) -> None:
    client, operator, url = escrow
    owner = Keypair()
    # Prices differ, as they do after a transaction that expired: a higher fee of the operator's is no other payment.
    messages = [
        (
            await client.withdraw_message(operator.pubkey, owner.pubkey(), 0, 2, 25_500_000, 1, price=fee)
        ).message
        for fee in (0, 1_000, 2_000)
    ]
    late = LatePayments(messages)
    exchange = await new_exchange(escrow=info(client, url), withdrawals=late)
    agent = await Agent.connect(exchange.server.http_url, owner, "withdrawer")
    try:
        await exchange.engine.ask(c.BindSlot(agent.account, 0, 2))
        await exchange.engine.ask(c.CreditDeposit(agent.account, 51_000_000, "deposit"))
        view = await agent.withdraw("25.5")
        assert (view.status, view.signature) == ("paid", "landed")
        assert late.signed == [str(owner.sign_message(message)) for message in messages]
        late.signed.clear()
        assert (await agent.withdraw("25.5", patience_s=0)).status == "starting"
        assert late.signed == []
        messages[0] = with_a_transfer(messages[0], owner.pubkey(), Pubkey.new_unique())
        with pytest.raises(MessageRefused):
            await agent.withdraw("25.5")
        assert late.signed == []
    finally:
        await agent.close()


def with_a_transfer(raw: bytes, owner: Pubkey, to: Pubkey) -> bytes:
    """The same message, which also sends the owner's SOL away."""
    message = Message.from_bytes(raw)
    signers = set(message.signer_keys())
    instructions = [
        Instruction(
            message.account_keys[one.program_id_index],
            one.data,
            [
                AccountMeta(message.account_keys[index], message.account_keys[index] in signers, True)
                for index in one.accounts
            ],
        )
        for one in message.instructions
    ]
    stolen = transfer(TransferParams(from_pubkey=owner, to_pubkey=to, lamports=1))
    return bytes(Message([*instructions, stolen], message.account_keys[0]))
