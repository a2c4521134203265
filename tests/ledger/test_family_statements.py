"""Statements of who shares a slot, and of who had one: their lines name the transactions that settled their money."""

import base58
import pytest

from core import events as e
from core.batches import BatchStatus
from core.events import DURABLE
from core.market import DEFAULT_MARKETS
from core.pages import plan_pages
from core.quantities import SECOND
from core.validity import Validity
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import LANDED, AccountAtCut, Settlement
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.rejections import Rejection, Repeated
from matcher.state import Exchange

MARKET = DEFAULT_MARKETS[0]
PARENT, MAKER, LATER = 16, 17, 18
USDC, PRICE = 10**6, 600_000


class Network:
    """A parent with 700 USDC, whose sub-account buys of a maker with 300; batch 1 settles that."""

    def __init__(self) -> None:
        self.state, self.now = Exchange(), 1_700_000_000 * SECOND
        self.journal: list[tuple[int, e.Event]] = []
        self.do(c.StartEpoch(), c.ListMarket(MARKET))
        for account in (PARENT, MAKER, LATER):
            self.do(c.RegisterAgent(base58.b58encode(account.to_bytes(32, "big")).decode(), "a"))
        for account, page in ((PARENT, 0), (MAKER, 1)):
            self.do(c.BindSlot(account, page, 2), c.CreditDeposit(account, 1_000 * USDC, f"d{account}:0"))
        self.do(c.OpenSubAccount(PARENT, MARKET.id))
        self.sub = max(self.state.accounts)
        self.do(c.Transfer(PARENT, PARENT, self.sub, 300 * USDC, "key"))
        for price in (PRICE, PRICE + 1_000):
            self.do(c.UpdateIndex(MARKET.id, price, 0, self.now, "t", Validity.VALID))
            if price == PRICE:
                self.do(c.SetQuotes(MAKER, MARKET.id, (), ((PRICE, 10),), self.now + 9 * SECOND))
                self.do(c.OpenRequest(self.sub, "r", MARKET.id, 1, 10, PRICE, SECOND))
        self.do(c.CutSettlement(1))
        for status in (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED, BatchStatus.FINAL):
            self.do(c.AdvanceBatch(1, status, ("seal",)))

    def do(self, *commands: object) -> None:
        for command in commands:
            self.now += SECOND // 4
            outcome = decide(self.state, command, self.now)
            assert not isinstance(outcome, Rejection | Repeated), (command, outcome)
            for event in outcome:
                apply(self.state, event)
                if isinstance(event, DURABLE):
                    self.journal.append((self.state.seq, event))

    async def settle(self, settlement: Settlement) -> None:
        cut = self.state.cut
        moves = [
            (self.state.accounts[one].page, self.state.accounts[one].slot, delta)
            for one, delta in cut.deltas.items()
        ]
        held = [AccountAtCut(one, cut.balances[one], cut.equities[one]) for one in cut.balances]
        plans = [(plan, bytes([plan.page])) for plan in plan_pages(moves)]
        await settlement.store_batch(1, cut.at, cut.previous_seq, cut.seq, held, plans)
        for plan, _ in plans:
            reference = f"batch/1/page/{plan.page}"
            await settlement.add_submission(f"page{plan.page}", reference, b"raw", 9, 0)
            await settlement.close_submission(f"page{plan.page}", LANDED, 5_000)


@pytest.fixture
async def read(postgres_url):
    network = Network()
    projector = Projector(postgres_url)
    projector.apply(network.journal)
    pool = open_pool(postgres_url)
    await network.settle(Settlement(pool))
    queries = Queries(pool)

    async def settled(account):
        return await queries.last_settled(await queries.period(account, 0, network.now + 1, None))

    def project(*events):
        projector.apply(list(enumerate(events, network.journal[-1][0] + 1)))

    yield network, settled, project
    projector.close()
    await pool.dispose()


async def test_a_sub_account_s_money_is_in_its_parent_s_slot_and_settled_by_its_transaction(read):
    network, settled, _ = read
    parent, sub = await settled(PARENT), await settled(network.sub)
    assert (parent.balance, parent.equity) == (700 * USDC, 700 * USDC)
    assert sub.on_chain == 0
    assert parent.on_chain == parent.equity + sub.equity != 1_000 * USDC
    assert parent.signature == sub.signature == "page0"
    assert (await settled(MAKER)).signature == "page1"


async def test_the_lines_of_who_had_a_slot_keep_their_transactions(read):
    network, settled, project = read
    before = {account: await settled(account) for account in (PARENT, network.sub, MAKER)}
    slots = [e.SlotBound(network.now, LATER, page, 2) for page in (0, 1)]
    project(*slots)
    assert {account: await settled(account) for account in before} == before
