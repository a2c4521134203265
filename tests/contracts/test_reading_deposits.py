"""Reading deposits where somebody makes that dear: logs that are cut, and transactions that name the vault and say nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chain.addresses import EscrowAddresses
from chain.deposits import _DEPOSIT
from chain.escrow_view import EscrowView
from chain.rpc import ChainUnavailable

CUT = ["Log truncated"]


class Node:
    """What a node answers of finalized transactions, the oldest first, and of accounts; `asked` are the calls."""

    def __init__(self, escrow: Any) -> None:
        self.escrow = escrow
        self.landed: list[Signature] = []
        self.transactions: dict[Signature, Any] = {}
        self.asked: list[str] = []
        self.lists_left = 10**6

    def land(self, logs: list[str], deposits: int = 0) -> str:
        owner = self.escrow.owners[0]
        data = _DEPOSIT + (2).to_bytes(2, "little") + (1).to_bytes(8, "little")
        keys = [self.escrow.address, self.escrow.page(0), owner.pubkey()]
        metas = [AccountMeta(key, key == owner.pubkey(), True) for key in keys]
        calls = [Instruction(self.escrow.id, data, metas)] * deposits
        blockhash = Hash(len(self.landed).to_bytes(32, "big"))
        signed = VersionedTransaction(Message.new_with_blockhash(calls, owner.pubkey(), blockhash), [owner])
        meta = SimpleNamespace(log_messages=logs, loaded_addresses=None, inner_instructions=None)
        signature = signed.signatures[0]
        self.landed.append(signature)
        self.transactions[signature] = SimpleNamespace(
            slot=len(self.landed),
            transaction=SimpleNamespace(meta=meta, transaction=signed),
        )
        return str(signature)

    async def get_signatures_for_address(
        self, address: Pubkey, before: Any, until: Any, limit: int, commitment: str
    ) -> Any:
        if not self.lists_left:
            raise ValueError("no answer")
        self.lists_left -= 1
        self.asked.append("list")
        first = self.landed.index(until) + 1 if until else 0
        last = self.landed.index(before) if before else len(self.landed)
        newest = self.landed[first:last][::-1][:limit]
        return SimpleNamespace(value=[SimpleNamespace(signature=one, err=None) for one in newest])

    async def get_transaction(self, signature: Signature, *_: Any, **options: Any) -> Any:
        self.asked.append("read")
        return SimpleNamespace(value=self.transactions[signature])

    async def get_multiple_accounts(self, keys: list[Pubkey], commitment: str) -> Any:
        self.asked.append("page")
        data = [SimpleNamespace(data=self.escrow.svm.get_account(key).data) for key in keys]
        return SimpleNamespace(context=SimpleNamespace(slot=1), value=data)


@pytest.fixture
def node(escrow: Any) -> Node:
    return Node(escrow)


@pytest.fixture
def view(node: Node) -> EscrowView:
    return EscrowView(node, EscrowAddresses(node.escrow.id, node.escrow.admin.pubkey()))


async def test_a_page_is_read_once_for_all_deposits_whose_logs_are_cut(node: Node, view: EscrowView) -> None:
    node.land(CUT, deposits=31)
    scan = await view.deposits_since(None)
    assert [one.deposit.account for one in scan.deposits] == [16] * 31
    assert node.asked == ["list", "read", "page"]


async def test_transactions_that_say_nothing_are_listed_and_read_once_however_many_looks_it_takes(
    node: Node, view: EscrowView
) -> None:
    for _ in range(2_500):
        node.land([])
    cursor, complete, looks = None, False, 0
    while not complete:
        scan = await view.deposits_since(cursor)
        cursor, complete, looks = scan.cursor, scan.complete, looks + 1
    assert looks == 13
    assert (node.asked.count("list"), node.asked.count("read")) == (4, 2_500)
    last = node.land(CUT, deposits=1)
    node.asked.clear()
    scan = await view.deposits_since(cursor)
    assert (len(scan.deposits), scan.cursor, scan.complete) == (1, last, True)
    # Another reader that is not so far.
    assert len((await view.deposits_since(str(node.landed[2_400]))).deposits) == 1
    assert node.asked == ["list", "read", "page", "list"]


async def test_a_listing_that_takes_too_long_is_gone_on_with_by_the_next_look(
    node: Node, view: EscrowView
) -> None:
    for _ in range(2_500):
        node.land([])
    node.lists_left = 2
    with pytest.raises(ChainUnavailable):
        await view.deposits_since(None)
    last = node.land(CUT, deposits=1)
    node.lists_left = 1
    assert (await view.deposits_since(None)).cursor == str(node.landed[199])
    node.lists_left = 1
    scan = await view.deposits_since(str(node.landed[2_400]))
    assert (len(scan.deposits), scan.cursor, scan.complete) == (1, last, True)


async def test_what_a_node_left_out_is_found_once_its_list_is_forgotten(node: Node, view: EscrowView) -> None:
    hidden = node.land(CUT, deposits=1)
    shown = node.land(CUT, deposits=1)
    whole, node.landed = node.landed, node.landed[1:]
    assert [one.signature for one in (await view.deposits_since(None)).deposits] == [shown]
    node.landed = whole
    assert (await view.deposits_since(None)).deposits[0].signature == shown
    view.forget_vault()
    assert [one.signature for one in (await view.deposits_since(None)).deposits] == [hidden, shown]
