"""The chain pays a number once: of one withdrawal, messages of two numbers would both be paid, whenever they were signed."""

import base64
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey

from api.collaborators import WithdrawalView
from matcher import commands as c
from perpdex_sdk import Agent, MessageRefused, NotProven
from perpdex_sdk.answers import Escrow, Place
from perpdex_sdk.funds import TOKEN_PROGRAM, WITHDRAW, page_address, token_account, vault_address
from perpdex_sdk.signed_numbers import SignedNumbers

OWNER, OPERATOR = Keypair(), Keypair()
PLACE = Place(0, 2)
AMOUNT = 25_000_000


def message(escrow: Escrow, number: int, price: int) -> bytes:
    """The operator's, to pay `AMOUNT` to the owner as withdrawal `number`."""
    owner = OWNER.pubkey()
    accounts = [
        (Pubkey.from_string(escrow.escrow), False),
        (page_address(escrow, PLACE.page), False),
        (owner, True),
        (OPERATOR.pubkey(), True),
        (token_account(owner, Pubkey.from_string(escrow.mint)), False),
        (vault_address(escrow.program, escrow.escrow), False),
        (TOKEN_PROGRAM, False),
    ]
    pay = Instruction(
        Pubkey.from_string(escrow.program),
        WITHDRAW + struct.pack("<HQQ", PLACE.slot, AMOUNT, number),
        [AccountMeta(key, is_signer=signs, is_writable=not signs) for key, signs in accounts],
    )
    return bytes(Message([set_compute_unit_price(price), pay], OPERATOR.pubkey()))


class Gateway:
    """Offers one message after the other, each until its signature is handed in; then the withdrawal is paid."""

    def __init__(self) -> None:
        self.offered: list[bytes] = []
        self.signed: list[str] = []

    def offers(self, escrow: Escrow, *numbers: int) -> None:
        self.offered = [message(escrow, number, price) for price, number in enumerate(numbers)]
        self.signed = []

    async def start(
        self, account: int, owner: str, amount: int, key: str, destination: str
    ) -> WithdrawalView:
        id = f"withdrawal-{account}-{key}"
        self._asked = WithdrawalView(id, account, amount, destination, "starting", None, None, None)
        return self._asked

    async def read(self, id: str) -> WithdrawalView:
        if len(self.signed) == len(self.offered):
            return self._asked._replace(status="paid")
        offered = base64.b64encode(self.offered[len(self.signed)]).decode()
        return self._asked._replace(status="awaiting_signature", message=offered)

    async def sign(self, id: str, signature: str) -> WithdrawalView:
        self.signed.append(signature)
        return self._asked._replace(status="paying")


Withdraw = Callable[..., Awaitable[str]]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def withdraw(new_exchange: Any, gateway: Gateway, tmp_path: Path) -> Withdraw:
    """Withdraw under a key while the gateway offers messages of these numbers in turn; the status.

    Every time by a new agent of the owner's, which keeps what it must in `tmp_path`: as after a restart.
    """
    exchange = await new_exchange(withdrawals=gateway)

    async def connected() -> Agent:
        return await Agent.connect(exchange.server.http_url, OWNER, "withdrawer", folder=tmp_path)

    first = await connected()
    await exchange.engine.ask(c.BindSlot(first.account, PLACE.page, PLACE.slot))
    await exchange.engine.ask(c.CreditDeposit(first.account, 4 * AMOUNT, "deposit"))
    await first.close()

    async def withdraw(key: str, *numbers: int) -> str:
        agent = await connected()
        try:
            gateway.offers(agent.escrow, *numbers)
            return (await agent.withdraw("25", key=key)).status
        finally:
            await agent.close()

    return withdraw


async def test_one_withdrawal_is_never_signed_under_two_numbers(withdraw: Withdraw, gateway: Gateway) -> None:
    with pytest.raises(MessageRefused, match="withdrawal 42, and 41 was signed"):
        await withdraw("once", 41, 41, 42)
    assert len(gateway.signed) == 2
    with pytest.raises(MessageRefused, match="withdrawal 42, and 41 was signed"):
        await withdraw("once", 42)
    assert gateway.signed == []
    assert await withdraw("once", 41) == "paid"
    # Another withdrawal has another number.
    assert await withdraw("twice", 42) == "paid"


async def test_what_cannot_be_kept_is_not_signed(
    withdraw: Withdraw, gateway: Gateway, tmp_path: Path
) -> None:
    assert await withdraw("once", 41) == "paid"
    (folder,) = tmp_path.glob("signed-withdrawals-*")
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    with pytest.raises(NotProven):
        await withdraw("once", 42)
    kept.unlink()
    folder.rmdir()
    folder.write_text("not a folder")
    with pytest.raises(NotADirectoryError):
        await withdraw("once", 42)
    assert gateway.signed == []


def test_of_two_agents_at_once_the_second_keeps_the_firsts_number(tmp_path: Path) -> None:
    first, second = (SignedNumbers(tmp_path, "escrow") for _ in range(2))
    first.must_be_first(16, "once", 41)
    with pytest.raises(MessageRefused, match="withdrawal 42, and 41 was signed"):
        second.must_be_first(16, "once", 42)
    second.must_be_first(17, "once", 42)


def test_without_a_folder_it_is_known_as_long_as_the_agent_runs() -> None:
    numbers = SignedNumbers(None, "escrow")
    numbers.must_be_first(16, "once", 41)
    numbers.must_be_first(16, "once", 41)
    with pytest.raises(MessageRefused):
        numbers.must_be_first(16, "once", 42)
