"""Reading deposits where somebody makes that dear: logs that are cut, and transactions that name the vault and say nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.addresses import EscrowAddresses
from chain.deposits import _DEPOSIT
from chain.escrow_view import EscrowView

CUT = ["Log truncated"]


class Node:
    """What a node answers of finalized transactions, the oldest first, and of accounts; `asked` are the calls."""

    def __init__(self, escrow: Any) -> None:
        self.escrow = escrow
        self.landed: list[Signature] = []
        self.transactions: dict[Signature, Any] = {}
        self.asked: list[str] = []

    def land(self, logs: list[str], deposits: int = 0) -> str:
        page, owner = self.escrow.page(0), self.escrow.owners[0].pubkey()
        data = _DEPOSIT + (2).to_bytes(2, "little") + (1).to_bytes(8, "little")
        call = SimpleNamespace(program_id_index=0, accounts=bytes([1, 2, 3]), data=data)
        keys = [self.escrow.id, self.escrow.address, page, owner]
        message = SimpleNamespace(account_keys=keys, instructions=[call] * deposits)
        meta = SimpleNamespace(log_messages=logs, loaded_addresses=None, inner_instructions=None)
        signature = Signature((len(self.landed) + 1).to_bytes(64, "big"))
        self.landed.append(signature)
        self.transactions[signature] = SimpleNamespace(
            slot=len(self.landed),
            transaction=SimpleNamespace(meta=meta, transaction=SimpleNamespace(message=message)),
        )
        return str(signature)

    async def get_signatures_for_address(
        self, address: Pubkey, before: Any, until: Any, limit: int, commitment: str
    ) -> Any:
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
