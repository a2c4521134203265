"""Statements over random histories of the real rules: they add up exactly, and say what the chain holds at every final batch.

The chain is a table of slots here: deposits and paid withdrawals as the engine's records have them, deltas as the ledger stored them,
less what a batch now and then could not take from a slot and so held back from another.
"""

import random
from collections import defaultdict

import base58
import pytest

from core import events as e
from core.accounts import INSURANCE, TREASURY
from core.batches import BatchStatus
from core.events import DURABLE
from core.market import market
from core.pages import plan_pages
from core.postings import Why, postings
from core.quantities import SECOND
from core.validity import Validity
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import LANDED, AccountAtCut, Settlement
from ledger.statements import FILL
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.rejections import Rejection, Repeated
from matcher.state import Exchange

START = 1_700_000_000 * SECOND
AGENTS = range(16, 21)
BTC = market(
    1, "BTC-PERP", "0.1", "0.0001", max_leverage=50, position_cap="500", open_interest_cap="1000", feed=""
)
STEPS = 300


class History:
    """A random life of an exchange, its journal, and what the chain holds after each batch."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.state, self.now, self.price = Exchange(), START, 600_000
        self.journal: list[tuple[int, e.Event]] = []
        self.chain: dict[int, int] = defaultdict(int)
        self.after: dict[int, dict[int, int]] = {}
        self.undone: dict[int, dict[int, int]] = {}
        self.unapplied: dict[int, int] = defaultdict(int)
        self.thief, self.thefts = random.Random(seed), 0
        self.cuts: list[tuple[object, list[tuple[int, int, int]], tuple[AccountAtCut, ...]]] = []
        self.do(c.StartEpoch())
        self.do(c.ListMarket(BTC))
        self.index()
        for account in AGENTS:
            self.do(c.RegisterAgent(base58.b58encode(account.to_bytes(32, "big")).decode(), "a"))
            self.do(c.BindSlot(account, account % 2, account - 14))
            self.do(c.CreditDeposit(account, self.rng.choice([5 * 10**8, 10**11]), f"first{account}:0"))
        for step in range(STEPS):
            self.now += self.rng.randrange(20 * SECOND)
            self.step(step)
        self.settle()

    def do(self, command):
        outcome = decide(self.state, command, self.now)
        if isinstance(outcome, Rejection | Repeated):
            return []
        for event in outcome:
            apply(self.state, event)
            if isinstance(event, DURABLE):
                self.journal.append((self.state.seq, event))
                self.land(event)
        return outcome

    def land(self, event):
        match event:
            case e.DepositCredited(account=account, amount=amount):
                self.chain[account] += amount
            case e.WithdrawalFinished(account=account, amount=amount, paid=True):
                self.chain[account] -= amount

    def index(self):
        self.do(c.UpdateIndex(1, self.price, 0, self.now, "test", Validity.VALID))

    def step(self, step):
        rng, account = self.rng, self.rng.choice(AGENTS)
        self.price = max(300_000, self.price + rng.randrange(-9_000, 9_001))
        self.index()
        while self.do(c.Advance()):
            pass
        match rng.randrange(12):
            case 0:
                self.do(
                    c.CreditDeposit(
                        rng.choice([*AGENTS, TREASURY, INSURANCE]), rng.randrange(1, 10**8), f"s{step}:0"
                    )
                )
            case 1:
                self.do(c.ReserveWithdrawal(account, rng.randrange(1, 10**8), f"w{step}"))
            case 2 if self.state.withdrawals:
                self.do(
                    c.FinishWithdrawal(
                        rng.choice(list(self.state.withdrawals)), rng.random() < 0.7, f"paid{step}"
                    )
                )
            case 3:
                self.settle()
            case 4:
                for due in self.state.funding[1].owed(self.now):
                    self.do(c.SettleFunding(1, due.number))
            case _:
                maker = rng.choice([one for one in AGENTS if one != account])
                side, size = rng.choice((1, -1)), rng.randrange(1, 3_000)
                level = ((self.price + side * 5, size),)
                sides = ((), level) if side > 0 else (level, ())
                self.do(c.SetQuotes(maker, 1, *sides, self.now + SECOND))
                self.do(c.OpenRequest(account, f"r{step}", 1, side, size, self.price + side * 900, SECOND))

    def settle(self):
        """Cut and land a batch as settlement does."""
        number = self.state.cut.batch + 1 if self.state.cut is not None else 1
        if not self.do(c.CutSettlement(number)):
            return
        cut = self.state.cut
        places = {id: (self.state.accounts[id].page, self.state.accounts[id].slot) for id in cut.balances}
        deltas = [(*places[id], cut.deltas.get(id, 0)) for id in cut.balances]
        held = tuple(AccountAtCut(id, cut.balances[id], cut.equities[id]) for id in cut.balances)
        self.cuts.append((cut, deltas, held))
        landing = (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED) if cut.deltas else ()
        for status in landing:
            self.do(c.AdvanceBatch(number, status, (f"seal{number}",)))
        undone = self.undone[number] = self.fall_short(cut.deltas)
        for id, amount in undone.items():
            self.unapplied[id] += amount
            page, slot = places[id]
            self.do(c.TakeUnapplied(number, page, ((slot, self.unapplied[id]),)))
        self.do(c.AdvanceBatch(number, BatchStatus.FINAL, (f"seal{number}",)))
        for id, delta in cut.deltas.items():
            self.chain[id] += delta - undone.get(id, 0)
        reserved = defaultdict(int)
        for one in self.state.withdrawals.values():
            reserved[one.account] += one.amount
        # What is reserved has left the account and not yet the chain.
        self.after[number] = {id: self.chain[id] - reserved[id] for id in places}
        self.rob()

    def rob(self):
        """Now and then a thief settles from one slot into another, a slot of nobody's and none at all, and has some of it paid out;
        the books take that over."""
        accounts = [self.state.accounts[id] for id in AGENTS if not self.state.accounts[id].withdrawals_open]
        if len(accounts) < 2 or self.thief.random() < 0.6:
            return
        victim, thief = self.thief.sample(accounts, 2)
        loot, burnt, lost = (self.thief.randrange(max(1, victim.settled // 8)) for _ in range(3))
        paid = self.thief.randrange(loot + 1)
        stolen = c.HeldSlot(
            victim.id, victim.settled, victim.settled - loot - burnt - lost, victim.unapplied - 1
        )
        held = c.HeldSlot(thief.id, thief.settled, thief.settled + loot - paid, thief.unapplied, 10**9)
        found = (c.ForeignWithdrawal(thief.id, paid, f"thief{self.state.seq}"),) if paid else ()
        self.do(c.HoldSettlement(True, who="ada", why="a theft"))
        accepted = c.AcceptChain(
            (stolen, held), burnt, lost, lost, ((0, 9),), found, who="ada", why="a theft"
        )
        assert self.do(accepted)
        self.do(c.HoldSettlement(False, who="ada", why="taken over"))
        self.chain[victim.id] -= loot + burnt + lost
        self.chain[thief.id] += loot
        self.unapplied[victim.id] -= 1
        self.thefts += 1

    def fall_short(self, deltas):
        """Of some batches a part of the largest debit cannot be taken: what that leaves undone, by account."""
        loser, winner = (by((id for id in AGENTS), key=lambda id: deltas.get(id, 0)) for by in (min, max))
        most = min(-deltas.get(loser, 0), deltas.get(winner, 0))
        if most <= 0 or self.rng.random() < 0.7:
            return {}
        missing = self.rng.randint(1, most)
        return {loser: -missing, winner: missing}


@pytest.fixture(params=range(3))
async def played(request, postgres_url):
    """A history, its ledger with all batches stored, and the queries."""
    history = History(request.param)
    projector = Projector(postgres_url)
    projector.apply(history.journal)
    projector.close()
    pool = open_pool(postgres_url)
    settlement = Settlement(pool)
    for cut, deltas, held in history.cuts:
        pages = [(plan, b"deltas") for plan in plan_pages(deltas, cut.left_over)]
        await settlement.store_batch(cut.batch, cut.at, cut.previous_seq, cut.seq, held, pages)
        for plan, _ in pages:
            signature = f"{cut.batch}.{plan.page}"
            await settlement.add_submission(signature, f"batch/{cut.batch}/page/{plan.page}", b"raw", 9, 0)
            await settlement.close_submission(signature, LANDED, 5)
    yield history, Queries(pool)
    await pool.dispose()


async def read(queries, account, start, end, limit):
    of = await queries.period(account, start, end, None)
    found, batches, after, balance = [], {}, of.after_seq, of.opening
    while True:
        lines, last, settled = await queries.statement_lines(of, after, balance, limit)
        found += lines
        batches |= {one.batch: one for one in settled}
        if not last:
            return of, found, batches
        after, balance = last, lines[-1].balance if lines else balance


def expected(history, account, start, end):
    """Amounts by record and kind, from the journal itself; fills once, also those that moved nothing."""
    found = []
    for seq, event in history.journal:
        if not start <= event.at < end:
            continue
        trade = isinstance(event, e.Filled) and account in (event.taker, event.maker)
        if trade:
            taker = account == event.taker
            found.append((seq, FILL, event.taker_realized if taker else event.maker_realized))
        for one in postings(event):
            if account in (one.debit, one.credit) and not (trade and one.why == Why.REALIZED):
                found.append((seq, one.why, one.amount if account == one.credit else -one.amount))
    return found


async def test_opening_and_lines_are_closing_in_any_period_read_in_any_pieces(played):
    history, queries = played
    rng = history.rng
    for account in (*AGENTS, TREASURY, INSURANCE):
        for _ in range(4):
            start, end = sorted(rng.randrange(START - SECOND, history.now + SECOND) for _ in range(2))
            of, lines, _ = await read(queries, account, start, end, rng.choice([5, 30, 1000]))
            assert [(line.seq, line.kind, line.amount) for line in lines] == expected(
                history, account, start, end
            )
            balance = sum(amount for _, _, amount in expected(history, account, 0, start))
            assert of.opening == balance
            for line in lines:
                balance += line.amount
                assert line.balance == balance
            assert of.closing == balance
            assert sum(of.sums.values()) == of.closing - of.opening


async def test_at_every_final_batch_the_statement_s_equity_is_what_the_page_holds(played):
    history, queries = played
    seen = short = 0
    for account in AGENTS:
        of, lines, batches = await read(queries, account, START, history.now + 1, 50)
        assert of.closing == history.state.accounts[account].balance
        for number, one in batches.items():
            cut, _, _ = history.cuts[number - 1]
            assert (one.balance, one.equity) == (cut.balances[account], cut.equities[account])
            assert one.on_chain == history.after[number][account]
            if min(cut.equities.values()) >= 0:
                undone = history.undone[number].get(account, 0)
                assert one.on_chain == one.equity - undone
                seen += undone == 0
                short += undone != 0
            before = [line.balance for line in lines if line.seq <= one.seq]
            assert before[-1] == one.balance
            moves = any(page == of.page and delta for page, _, delta in history.cuts[number - 1][1])
            assert one.signature == (f"{number}.{of.page}" if moves else f"seal{number}")
        last = await queries.last_settled(of)
        assert last.batch == len(history.cuts)
        assert last.on_chain == history.after[last.batch][account]
    assert seen > 20
    assert short


async def test_the_ledger_counts_what_the_chain_holds_as_the_engine_does(played):
    history, queries = played
    rng = random.Random(1)
    settled, cut_seqs = {}, [cut.seq for cut, _, _ in history.cuts]
    replayed = Exchange()
    for seq, event in history.journal:
        apply(replayed, event)
        if seq in cut_seqs or rng.random() < 0.05:
            settled[seq] = {
                id: (one.settled, one.balance, one.unapplied, one.foreign)
                for id, one in replayed.accounts.items()
                if one.page >= 0
            }
    for seq, accounts in settled.items():
        books = await queries.books(seq)
        assert books.seq == seq
        known = {id: one for id, one in books.accounts.items() if id in accounts}
        said = {id: (one.settled, one.balance, one.unapplied, one.foreign) for id, one in known.items()}
        assert said == accounts
    assert history.thefts
    assert books.strangers == {(0, 9)}


async def test_deposits_and_payments_carry_their_own_transactions(played):
    history, queries = played
    paid = {}
    for _, event in history.journal:
        if isinstance(event, e.WithdrawalFinished) and event.paid:
            paid[event.withdrawal] = event.signature
    signatures = {}
    for seq, event in history.journal:
        if isinstance(event, e.DepositCredited):
            signatures[seq] = event.key.partition(":")[0]
        elif isinstance(event, e.WithdrawalReserved):
            signatures[seq] = paid.get(event.withdrawal, "")
    for account in AGENTS:
        _, lines, _ = await read(queries, account, START, history.now + 1, 9)
        for line in lines:
            money = line.kind in (Why.DEPOSIT, Why.WITHDRAWAL)
            assert line.signature == (signatures[line.seq] if money else "")


async def test_a_statement_does_not_move_while_it_is_read(played):
    history, queries = played
    account = AGENTS[0]
    middle = history.journal[len(history.journal) // 2][0]
    whole = await queries.period(account, START, history.now + 1, middle)
    later = await queries.period(account, START, history.now + 1, None)
    assert whole.through_seq == middle < later.through_seq
    lines, last, _ = await queries.statement_lines(whole, 0, whole.opening, 10_000)
    assert last == 0
    assert max(line.seq for line in lines) <= middle
    assert lines[-1].balance == whole.closing
    assert await queries.period(99, 0, 1, None) is None
