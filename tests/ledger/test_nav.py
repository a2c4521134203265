"""Snapshots: what a vault held at an instant, at that instant's prices, whatever is recorded later or asked twice."""

import asyncio
from fractions import Fraction
from math import ceil, floor

import pytest
from sqlalchemy import text

from core.market import Side
from core.nav import NAMED
from core.nav_alerts import AlertLimits, Kind
from core.nav_snapshot import TransferKind
from core.quantities import SECOND
from core.risk_template import RiskTemplate
from core.tickets import leg_from, price_from, size_from
from core.vault_risk import VaultRisk
from core.vault_shares import SHARES_MIN
from ledger.database import open_pool
from ledger.named_prices import NamedPrice, NamedPrices
from ledger.nav import AHEAD_MAX, CARRIED, CARRIED_AGE_MAX, NavPrice, NavSnapshots
from ledger.nav_reads import NavReads
from ledger.vault_transfers import WAITING_MAX, Transfer, VaultTransfers
from ledger.vaults import Vault, Vaults
from ledger.venue_fills import Difference, TakenFill, VenueFills

HOUR = 3_600 * SECOND
T = 500_000 * HOUR
COMMON = RiskTemplate(frozenset({"hyper", "mock_gold"}), None, {})
ETH, GOLD = leg_from("hyper::ETH"), leg_from("mock_gold::XAU")
MANAGER, ANN, BOB = 16, 17, 18


class Books:
    """Everything of the ledger that a vault's day touches."""

    def __init__(self, pool):
        self.vaults = Vaults(pool, COMMON.venues, COMMON)
        self.transfers = VaultTransfers(pool)
        self.fills = VenueFills(pool)
        self.nav = NavSnapshots(pool)
        self.reads = NavReads(pool)
        self.cursors = {}

    async def vault(self, id="alpha", fee=200_000, at=T - 24 * HOUR):
        await self.vaults.make(
            Vault(id, MANAGER, "hyper", False, fee, 0, at, VaultRisk(COMMON.venues, COMMON)), "ada"
        )

    async def deposit(self, holder, dollars, key, at, vault="alpha"):
        return await self.transfers.ask(vault, asked(TransferKind.DEPOSIT, holder, key, at, dollars * 10**6))

    async def fill(self, leg, side, size, price, at, fee=0, vault="alpha"):
        since = self.cursors.get((vault, leg.venue), "")
        self.cursors[vault, leg.venue] = name = f"{since}."
        fill = TakenFill(name, "", "", leg.symbol, side, size_from(size), price_from(price), fee, at)
        assert await self.fills.record(vault, leg.venue, since, [fill], name, at)

    async def snapshot(self, at, **prices):
        """With prices as `hyper__ETH="2000"`, of the instant itself; "0" for none."""
        found = {
            leg_from(name.replace("__", "::")): NavPrice(price_from(text), at, "a test", "venue")
            for name, text in prices.items()
        }
        await self.nav.record_prices(at, found)
        return await self.nav.take(at, "", 100, at + SECOND)

    async def newest(self, vault="alpha"):
        return (await self.reads.history(vault, T * 2, 1))[0]


def asked(kind, holder, key, at, amount=0, shares=0, who="ada"):
    return Transfer(key, holder, kind, amount, shares, "waiting", "", who, at, 0)


def own(holder, key, shares, at=T):
    """A withdrawal that its holder asks for."""
    return asked(TransferKind.WITHDRAWAL, holder, key, at, shares=shares, who=f"account/{holder}")


@pytest.fixture
async def pool(postgres_url):
    pool = open_pool(postgres_url)
    yield pool
    await pool.dispose()


@pytest.fixture
def books(pool):
    return Books(pool)


async def test_a_vault_s_first_days_by_hand(books):
    """In: 10,000 of Ann. Bought: 1 ETH at 2,000 for a fee of 1, and 2 gold sold at 4,000.5. A fee of a fifth. Half goes back."""
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    assert (await books.newest()).nav == 0
    assert await books.transfers.holders("alpha") == {ANN: 10_000_000_000}
    await books.fill(ETH, Side.BUY, "1", "2000", T + 60 * SECOND, fee=1_000_000)
    await books.fill(GOLD, Side.SELL, "2", "4000.5", T + 61 * SECOND)
    await books.snapshot(T + HOUR, hyper__ETH="2100", mock_gold__XAU="4000.25")
    found = await books.newest()
    # 10,000 - 2,000 - 1 + 8,001 = 16,000 in cash; + 2,100 - 8,000.50.
    assert (found.cash, found.nav) == (16_000_000_000, 10_099_500_000)
    assert [(str(one.leg), one.size, one.value) for one in found.legs] == [
        ("hyper::ETH", 10**8, 2_100_000_000),
        ("mock_gold::XAU", -2 * 10**8, -8_000_500_000),
    ]
    assert {(one.source, one.standing, one.price_at) for one in found.legs} == {("a test", "venue", T + HOUR)}
    # A fifth of 99.5 is 19.9: shares worth that are 19.9 * 10,000 / 10,079.6 = 19.742846(9...), down.
    assert (found.fee, found.fee_shares) == (19_900_000, 19_742_846)
    assert await books.transfers.holders("alpha") == {MANAGER: 19_742_846, ANN: 10_000_000_000}
    back = asked(TransferKind.WITHDRAWAL, ANN, "half", T + HOUR, shares=5_000_000_000)
    await books.transfers.ask("alpha", back)
    await books.snapshot(T + 2 * HOUR, hyper__ETH="2100", mock_gold__XAU="4000.25")
    [half, first] = await books.transfers.transfers("alpha", 9)
    # 5,000 of 10,019.742846 shares, of 10,099.50: 5,039.800000(4...), down.
    assert (half.status, half.amount, half.dealt_at) == ("done", 5_039_800_000, T + 2 * HOUR)
    assert (first.status, first.shares) == ("done", 10_000_000_000)
    await books.snapshot(T + 3 * HOUR, hyper__ETH="2100", mock_gold__XAU="4000.25")
    found = await books.newest()
    assert found.nav == 10_099_500_000 - 5_039_800_000
    assert (await books.vaults.get("alpha")).shares == found.shares == 5_019_742_846


async def test_no_snapshot_is_taken_of_an_instant_that_has_not_come(books):
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    now = T - AHEAD_MAX
    assert (await books.nav.take(T + 1, "", 9, now)).vaults == 0
    # The rounds before that one go on, and Ann is not kept waiting.
    assert (await books.nav.take(T, "", 9, now)).vaults == 1
    assert [one.status for one in await books.transfers.transfers("alpha", 9)] == ["done"]


async def test_a_snapshot_is_of_its_instant_however_late_it_is_taken(books):
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "2000", T + HOUR)
    await books.fill(ETH, Side.BUY, "2", "2000", T + HOUR + 1)
    assert await books.fills.correct(
        "alpha", "hyper", Difference("ETH", 3 * 10**8, 7, price_from("1")), T + 2 * HOUR
    )
    assert await books.nav.unpriced(T + HOUR) == [ETH]
    await books.snapshot(T + HOUR, hyper__ETH="2000")
    found = await books.newest()
    assert [one.size for one in found.legs] == [10**8]
    assert (found.cash, found.nav) == (8_000_000_000, 10_000_000_000)
    assert await books.nav.unpriced(T) == await books.nav.unpriced(T + HOUR) == []


async def test_asked_again_nothing_is_dealt_twice_and_no_price_changes(books):
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    assert (await books.snapshot(T)).vaults == 1
    await books.fill(ETH, Side.BUY, "1", "2000", T + 1)
    await books.deposit(BOB, 100, "second", T + 1)
    await books.snapshot(T + HOUR, hyper__ETH="2000")
    before = await books.newest(), await books.transfers.holders("alpha")
    again = await books.snapshot(T + HOUR, hyper__ETH="9000")
    assert (again.through, again.vaults) == ("alpha", 0)
    # One of an instant before, that somebody takes up late, leaves everything as it is, too.
    assert (await books.snapshot(T + HOUR - 1, hyper__ETH="9000")).vaults == 0
    assert (await books.newest(), await books.transfers.holders("alpha")) == before
    repeated = await books.deposit(BOB, 100, "second", T + 9)
    assert (repeated.status, repeated.shares) == ("done", 100_000_000)
    assert await books.deposit(BOB, 101, "second", T + 9) == "key_conflict"
    assert await books.deposit(BOB, 1, "third", T, vault="nobody") == "vault_unknown"


async def test_everybody_deals_up_to_the_limits_that_the_operator_set(books, pool):
    """Down by exactly a fifth is no jump where that is the limit; up by a millionth more nobody deals."""
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "2000", T + 1)
    await books.snapshot(T + HOUR, hyper__ETH="2000")
    await books.deposit(BOB, 100, "second", T + HOUR + 1)
    books.nav = NavSnapshots(pool, AlertLimits(jump_ppm=200_000))
    beyond = await books.snapshot(T + 2 * HOUR, hyper__ETH="4000.01")
    assert [(vault, alert.kind) for vault, alert in beyond.alerts] == [("alpha", Kind.JUMP)]
    assert (await books.transfers.transfers("alpha", 1))[0].status == "waiting"
    assert (await books.snapshot(T + 3 * HOUR, hyper__ETH="1600.008")).alerts == []
    assert (await books.transfers.transfers("alpha", 1))[0].status == "done"


async def test_a_price_is_carried_for_a_week_from_when_it_was_of_hour_by_hour(books):
    """Each round's row is new, and the price in it is not."""
    nobody = NavPrice(0, 0, "nobody", "none")
    await books.nav.record_prices(T, {ETH: NavPrice(price_from("2000"), T - 1, "t", "venue")})
    await books.vault()
    await books.fill(ETH, Side.BUY, "1", "2000", T)
    for hour in range(1, 8 * 24):
        await books.nav.record_prices(T + hour * HOUR, {ETH: nobody})
        if hour in (7 * 24 - 1, 7 * 24, 8 * 24 - 1):
            await books.nav.take(T + hour * HOUR, "", 9, T + hour * HOUR)
    kept = [one.legs[0] for one in await books.reads.history("alpha", T * 2, 9)]
    assert [(one.standing, one.price, one.price_at) for one in reversed(kept)] == [
        (CARRIED, price_from("2000"), T - 1),
        ("none", 0, 0),
        ("none", 0, 0),
    ]


async def test_a_demo_price_is_never_carried_into_a_snapshot_that_has_none(books):
    """It would be somebody's word there; the one before it is carried instead, while it is of the last week."""
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.fill(GOLD, Side.BUY, "1", "4000", T + 1)
    await books.snapshot(T + HOUR, mock_gold__XAU="4001")
    demo = NavPrice(price_from("3900"), T + 2 * HOUR, "generated, seed 1", "demo")
    await books.nav.record_prices(T + 2 * HOUR, {GOLD: demo})
    await books.nav.take(T + 2 * HOUR, "", 100, T + 2 * HOUR)
    [leg] = (await books.newest()).legs
    assert (leg.price, leg.source, leg.standing) == (demo.price, "generated, seed 1", "demo")
    await books.snapshot(T + 3 * HOUR, mock_gold__XAU="0")
    [leg] = (await books.newest()).legs
    assert (leg.price, leg.price_at, leg.standing) == (price_from("4001"), T + HOUR, "carried")


async def test_an_operator_s_price_lets_everybody_deal_until_there_is_one_again(books, pool):
    named = NamedPrices(pool)
    wrong = NamedPrice(price_from("1900"), "ada", "a guess", T + HOUR)
    await books.vault(fee=0)
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "2000", T + 1)
    await books.snapshot(T + HOUR, hyper__ETH="2000")
    # Its price is fresh, or it is held nowhere: nothing to name.
    assert await named.name("alpha", ETH, wrong) is None
    assert await named.name("alpha", GOLD, wrong) is None
    assert await named.name("beta", ETH, wrong) is None
    await books.snapshot(T + 2 * HOUR, hyper__ETH="0")
    assert (await books.newest()).doubts == ["stale_leg"]
    assert await named.name("alpha", ETH, wrong._replace(at=T + 3 * HOUR + 1)) == 10**8
    await books.transfers.ask("alpha", own(ANN, "out", 10**9, T + 2 * HOUR))
    await books.snapshot(T + 3 * HOUR, hyper__ETH="0")
    # It was named after that snapshot's instant.
    assert (await books.newest()).doubts == ["stale_leg"]
    assert await named.name("alpha", ETH, NamedPrice(price_from("1950"), "bob", "three say so", T + 4 * HOUR)) == 10**8  # fmt: skip
    await books.snapshot(T + 4 * HOUR, hyper__ETH="0")
    found = await books.newest()
    assert (found.doubts, found.nav) == ([], 9_950_000_000)
    [leg] = found.legs
    assert (leg.price, leg.standing, leg.source, leg.price_at) == (
        price_from("1950"), NAMED, "bob: three say so", T + 4 * HOUR,
    )  # fmt: skip
    [out, _] = await books.transfers.transfers("alpha", 9)
    assert (out.status, out.amount) == ("done", 995_000_000)
    # For a day to the nanosecond, and it is carried nowhere.
    await books.snapshot(T + 28 * HOUR, hyper__ETH="0")
    assert (await books.newest()).legs[0].standing == NAMED
    await books.snapshot(T + 28 * HOUR + 1, hyper__ETH="0")
    assert ((await books.newest()).legs[0].standing, (await books.newest()).legs[0].price) == (
        CARRIED,
        price_from("2000"),
    )
    # Nothing is what it is worth when it is lost; a stale price does not end that, a fresh one does.
    await named.name("alpha", ETH, NamedPrice(0, "bob", "it is lost", T + 29 * HOUR))
    await books.nav.record_prices(
        T + 29 * HOUR, {ETH: NavPrice(price_from("9"), T + 28 * HOUR, "t", "oracle")}
    )
    await books.nav.take(T + 29 * HOUR, "", 9, T + 29 * HOUR)
    assert ((await books.newest()).nav, (await books.newest()).legs[0].source) == (
        7_005_000_000,
        "bob: it is lost",
    )
    await books.snapshot(T + 30 * HOUR, hyper__ETH="1990")
    assert (await books.newest()).legs[0].standing == "venue"
    await books.snapshot(T + 31 * HOUR, hyper__ETH="0")
    assert (await books.newest()).legs[0].standing == CARRIED
    # Withdrawn, it counts no more.
    await named.name("alpha", ETH, NamedPrice(price_from("1980"), "bob", "again", T + 31 * HOUR))
    await books.vault("beta")
    taken_back = await named.withdraw("beta", ETH, "ada", "no", T + 31 * HOUR + 5)
    assert taken_back == NamedPrice(price_from("1980"), "bob", "again", T + 31 * HOUR)
    assert await named.withdraw("alpha", ETH, "ada", "no", T + 31 * HOUR + 5) is None
    await books.snapshot(T + 32 * HOUR, hyper__ETH="0")
    assert (await books.newest()).legs[0].standing == CARRIED
    # Whose word counted there is told where it was named, too.
    [last], [same] = await books.vaults.changes("alpha", 1), await books.vaults.changes("beta", 1)
    assert last[:4] == same[:4] == ("hyper::ETH counted at no named price", "ada", "no", T + 31 * HOUR + 5)


async def test_what_a_market_ended_at_is_no_doubt_however_old_and_though_it_be_nothing(books):
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "0.5", T + 1)
    await books.fill(GOLD, Side.BUY, "2", "0.5", T + 1)
    ended = {
        leg: NavPrice(price_from(price), T + HOUR, "polymarket resolution", "resolved")
        for leg, price in ((ETH, "0"), (GOLD, "1"))
    }
    await books.nav.record_prices(T + HOUR, ended)
    await books.nav.take(T + HOUR, "", 100, T + HOUR)
    found = await books.newest()
    # 10,000 - 0.5 - 1 in cash, and two that count for a dollar.
    assert (found.cash, found.nav, found.doubts) == (9_998_500_000, 10_000_500_000, [])
    await books.deposit(BOB, 100, "second", T + HOUR + 1)
    # Nobody answers: what ended stays ended.
    taken = await books.snapshot(T + 26 * HOUR, hyper__ETH="0", mock_gold__XAU="0")
    found = await books.newest()
    assert (taken.alerts, found.nav, found.doubts) == ([], 10_000_500_000, [])
    assert {(one.price, one.price_at, one.standing) for one in found.legs} == {
        (0, T + HOUR, "resolved"),
        (10**8, T + HOUR, "resolved"),
    }
    assert (await books.transfers.transfers("alpha", 9))[0].status == "done"


async def test_at_a_doubtful_value_nobody_deals_and_no_fee_is_charged(books):
    await books.vault()
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "2000", T + 1)
    await books.deposit(BOB, 100, "second", T + 1)
    # Nobody knows a price, and nobody ever did.
    taken = await books.snapshot(T + HOUR, hyper__ETH="0")
    assert [(vault, alert.kind) for vault, alert in taken.alerts] == [("alpha", Kind.NO_PRICE)]
    found = await books.newest()
    assert (found.nav, found.doubts) == (None, ["no_price"])
    assert [one.status for one in await books.transfers.transfers("alpha", 1)] == ["waiting"]
    await books.snapshot(T + 2 * HOUR, hyper__ETH="2000")
    assert [one.status for one in await books.transfers.transfers("alpha", 1)] == ["done"]
    await books.deposit(BOB, 100, "third", T + 2 * HOUR)
    # A jump: the next one shows that it stays, and a fifth of the 2,000 that it brought is charged for only then.
    for hour, doubts, fee in ((3, ["jump"], 0), (4, [], 400_000_000)):
        assert [one.status for one in await books.transfers.transfers("alpha", 1)] == ["waiting"]
        await books.snapshot(T + hour * HOUR, hyper__ETH="4000")
        found = await books.newest()
        assert (found.nav, found.doubts, found.fee) == (12_100_000_000, doubts, fee)
    assert [one.status for one in await books.transfers.transfers("alpha", 1)] == ["done"]
    # None again: the last price is carried, and said to be stale.
    taken = await books.snapshot(T + 5 * HOUR, hyper__ETH="0")
    assert [(alert.kind, alert.leg) for _, alert in taken.alerts] == [(Kind.STALE_LEG, "hyper::ETH")]
    [leg] = (await books.newest()).legs
    assert (leg.price, leg.price_at, leg.standing) == (price_from("4000"), T + 4 * HOUR, CARRIED)
    taken = await books.snapshot(T + 6 * HOUR + CARRIED_AGE_MAX, hyper__ETH="0")
    assert [alert.kind for _, alert in taken.alerts] == [Kind.NO_PRICE]
    said = await books.reads.alerts("alpha", T * 2, 9)
    assert [one.kind for one in said] == ["no_price", "stale_leg", "jump", "no_price"]


async def test_what_cannot_be_paid_is_refused_with_its_reason(books):
    await books.vault(fee=0)
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    # A short of 40,000: the cash is 50,000 then, and 4,000 of the 10,000 that the vault is worth stay behind it.
    await books.fill(ETH, Side.SELL, "20", "2000", T + 1)
    most, half = 10_000_000_000, 5_000_000_000
    too_much = asked(TransferKind.WITHDRAWAL, ANN, "all", T + 1, shares=most + 1)
    assert await books.transfers.ask("alpha", too_much) == "shares_short"
    await books.transfers.ask("alpha", asked(TransferKind.WITHDRAWAL, ANN, "half", T + 1, shares=half))
    # What waits counts.
    again = asked(TransferKind.WITHDRAWAL, ANN, "more", T + 1, shares=half + 1)
    assert await books.transfers.ask("alpha", again) == "shares_short"
    await books.snapshot(T + HOUR, hyper__ETH="2000")
    await books.transfers.ask("alpha", asked(TransferKind.WITHDRAWAL, ANN, "rest", T + HOUR, shares=half))
    await books.snapshot(T + 2 * HOUR, hyper__ETH="2000")
    [refused, paid, _] = await books.transfers.transfers("alpha", 9)
    assert (paid.status, paid.amount) == ("done", half)
    assert (refused.status, refused.code, refused.shares) == ("refused", "vault_cash_short", half)
    assert await books.transfers.holders("alpha") == {ANN: half}


async def test_a_holder_s_many_or_tiny_withdrawals_take_no_room_of_anybody_else_s(books):
    await books.vault(fee=0)
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.deposit(BOB, 1, "his", T - HOUR)
    await books.snapshot(T)
    ask = books.transfers.ask
    assert await ask("alpha", own(BOB, "dust", SHARES_MIN - 1)) == "too_few_shares"
    for number in range(WAITING_MAX):
        assert not isinstance(await ask("alpha", own(BOB, f"b{number}", SHARES_MIN)), str)
    assert await ask("alpha", own(BOB, "one more", SHARES_MIN)) == "too_many_transfers"
    # Asked again it is the one that waits; others, and the operator for him, go on.
    assert (await ask("alpha", own(BOB, "b9", SHARES_MIN))).status == "waiting"
    assert (await ask("alpha", own(ANN, "b9", 10**9))).status == "waiting"
    for number in range(WAITING_MAX + 1):
        await books.deposit(BOB, 1, f"b{number}", T)
    for_him = asked(TransferKind.WITHDRAWAL, BOB, "tiny", T, shares=1)
    assert (await ask("alpha", for_him)).status == "waiting"
    await books.snapshot(T + HOUR)
    done = await books.transfers.transfers("alpha", 99)
    assert {one.status for one in done} == {"done"}
    assert [one.who for one in done if one.key == "b9"] == ["ada", f"account/{ANN}", f"account/{BOB}"]
    # What is left of him is less than the least, and he may give back all of it.
    has = 12 * 10**6 - WAITING_MAX * SHARES_MIN - 1
    assert (await books.transfers.holders("alpha"))[BOB] == has
    assert (await ask("alpha", own(BOB, "most", has - 5, T + HOUR))).status == "waiting"
    assert await ask("alpha", own(BOB, "not all", 4, T + HOUR)) == "too_few_shares"
    assert (await ask("alpha", own(BOB, "all", 5, T + HOUR))).status == "waiting"
    await books.snapshot(T + 2 * HOUR)
    assert await books.transfers.holders("alpha") == {ANN: 9 * 10**9}


async def test_who_takes_back_after_an_instant_is_dealt_with_at_it_all_the_same(books):
    await books.vault()
    await books.deposit(ANN, 1_000, "first", T)
    await books.snapshot(T)
    back = await books.transfers.ask("alpha", own(ANN, "half", 500_000_000, T + 1))
    kept = await books.transfers.ask("alpha", own(ANN, "rest", 500_000_000, T + 2))
    at = T + HOUR
    # Whether prices are recorded by then or not: it is the instant that counts.
    await books.nav.record_prices(at, {ETH: NavPrice(price_from("2000"), at, "a test", "venue")})

    async def cancel(one, when):
        return await books.transfers.cancel("alpha", one.number, ANN, one.who, one.who, "dear", when)

    assert (await cancel(kept, at)).status == "cancelled"
    late = await cancel(back, at + 1)
    assert (late.status, late.dealt_at) == ("cancelled", at + 1)
    await books.nav.take(at, "", 9, at + 45 * SECOND)
    rest, half, _ = await books.transfers.transfers("alpha", 9)
    assert (half.status, half.amount, half.dealt_at) == ("done", 500_000_000, at)
    assert (rest.status, rest.amount, rest.dealt_at) == ("cancelled", 0, at)
    assert await books.transfers.shares_of("alpha", ANN) == 500_000_000
    assert await cancel(back, at + HOUR) == "transfer_not_waiting"
    # Of an instant that comes later nothing is left of it.
    await books.snapshot(at + HOUR)
    assert await books.transfers.transfers("alpha", 9) == [rest, half, _]


async def test_what_a_vault_began_with_becomes_its_holder_s_once(books):
    await books.vault()
    held = {ETH: size_from("1.5"), GOLD: size_from("-0.8")}
    for _ in range(2):
        assert await books.transfers.begin_with("alpha", ANN, 10**12, held, "ada", T - HOUR)
    assert not await books.transfers.begin_with("alpha", BOB, 10**12, held, "ada", T)
    assert not await books.transfers.begin_with("nobody", BOB, 10**12, held, "ada", T)
    await books.snapshot(T, hyper__ETH="2000", mock_gold__XAU="4000")
    found = await books.newest()
    assert found.nav == 10**12 + 3_000_000_000 - 3_200_000_000
    assert await books.transfers.holders("alpha") == {ANN: found.nav}
    await books.vault("beta")
    await books.deposit(ANN, 1, "first", T, vault="beta")
    assert not await books.transfers.begin_with("beta", ANN, 1, {}, "ada", T)


async def test_vaults_are_taken_some_at_a_time_each_at_the_same_prices(books):
    for number in range(5):
        await books.vault(f"v{number}")
        await books.transfers.begin_with(f"v{number}", ANN, number, {ETH: 10**8 * (number + 1)}, "ada", T)
    await books.vault("later", at=T + 1)
    await books.nav.record_prices(T, {ETH: NavPrice(price_from("1999.99999999"), T, "a test", "venue")})
    through, found = "", []
    while True:
        taken = await books.nav.take(T, through, 2, T)
        if not taken.through:
            break
        through = taken.through
        found.append((taken.through, taken.vaults))
    assert found == [("v1", 2), ("v3", 2), ("v4", 1)]
    latest = await books.reads.latest(["v0", "v4", "later"])
    price = Fraction(199_999_999_999, 10**8)
    assert {vault: one.nav for vault, one in latest.items()} == {
        "v0": floor(price * 10**6),
        "v4": 4 + floor(5 * price * 10**6),
    }
    assert all(one.nav < 4 + ceil(5 * price * 10**6) for one in latest.values())


async def test_a_fill_that_is_recorded_while_a_snapshot_is_taken_is_in_it_whole_or_not_at_all(books, pool):
    await books.vault(fee=0)
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "2000", T + 1)
    await books.nav.record_prices(T + HOUR, {ETH: NavPrice(price_from("2000"), T + HOUR, "a test", "venue")})
    async with pool.connect() as recording, pool.connect() as looking:
        # It has read the positions when it is held up before the cash.
        await recording.execute(text("lock table vault_cash_moves in access exclusive mode"))
        taking = asyncio.create_task(books.nav.take(T + HOUR, "", 9, T + HOUR))
        waits = text(
            "select count(*) from pg_locks where not granted and relation = 'vault_cash_moves'::regclass"
        )
        while not (await looking.execute(waits)).scalar_one():
            await looking.rollback()
            await asyncio.sleep(0.01)
        fill = "'alpha', 'hyper', 'other', '', '', 'ETH', 1, 100000000, 200000000000, 0"
        await recording.execute(
            text(
                "insert into venue_fills (vault, venue, fill, ticket, venue_order_id, symbol, side, size, price, fee, at)"
                f" values ({fill}, {T + 2})"
            )
        )
        await recording.execute(text("update venue_positions set size_e8 = 200000000"))
        await recording.execute(
            text(
                "insert into vault_cash_moves (vault, venue, kind, reference, amount, at)"
                f" values ('alpha', 'hyper', 'trade', 'other', -2000000000, {T + 2})"
            )
        )
        await recording.execute(
            text("update vault_cash set amount = amount - 2000000000 where venue = 'hyper'")
        )
        await recording.commit()
        await taking
    found = await books.newest()
    assert (found.cash, found.nav) == (8_000_000_000, 10_000_000_000)


async def test_what_was_taken_over_from_a_venue_is_looked_at_for_a_snapshot_before_anybody_deals_at_it(pool):
    """A venue that had lost an account said that nothing was there, and depositors dealt at what that came to."""
    books = Books(pool)
    await books.vault(fee=0)
    await books.deposit(ANN, 10_000, "first", T - HOUR)
    await books.snapshot(T)
    await books.fill(ETH, Side.BUY, "1", "2000", T + 1)

    async def corrected(ours, theirs, at):
        found = Difference("ETH", size_from(ours), size_from(theirs), price_from("2000"), "venue")
        assert await books.fills.correct("alpha", "hyper", found, at)

    async def taken(at):
        said = (await books.snapshot(at, hyper__ETH="2000")).alerts
        return [(one.kind, one.leg) for _, one in said], (await books.newest()).doubts

    await corrected("1", "0", T + 2)
    await books.deposit(BOB, 500, "second", T + 3)
    assert await taken(T + HOUR) == ([(Kind.DIFFERENCE_LARGE, "hyper::ETH")], ["difference_large"])
    (second, _) = await books.transfers.transfers("alpha", 9)
    assert second.status == "waiting"
    assert await taken(T + 2 * HOUR) == ([], [])
    assert (await books.transfers.transfers("alpha", 9))[0].status == "done"
    # Ten dollars and a half of ten thousand and five hundred are said, and keep nobody from dealing; a cent more would.
    await corrected("0", "0.00525", T + 2 * HOUR + 1)
    assert await taken(T + 3 * HOUR) == ([(Kind.DIFFERENCE, "hyper::ETH")], [])
    # What comes between a snapshot's instant and its being taken is in none of it, and makes both doubtful.
    await corrected("0.00525", "0.0106", T + 4 * HOUR + 1)
    assert (await taken(T + 4 * HOUR))[1] == ["difference_large"]
    assert (await taken(T + 5 * HOUR))[1] == ["difference_large"]
    assert (await taken(T + 6 * HOUR))[1] == []


async def test_nobody_deals_while_a_venue_is_silent_where_something_may_be_missed(pool):
    books = Books(pool)
    for vault in ("alpha", "beta", "gone"):
        await books.vault(vault)
    await books.fill(ETH, 1, "1", "2000", T - HOUR, vault="alpha")
    await books.fill(ETH, 1, "1", "2000", T - HOUR, vault="gone")
    await books.fill(ETH, -1, "1", "2000", T - HOUR, vault="gone")
    silent = {("alpha", "hyper"): "down", ("gone", "hyper"): "down", ("gone", "mock_gold"): "down"}
    await books.fills.silent(silent, T)
    await books.fills.unpriced("beta", "mock_gold", {"XAU": "3 by its fills, 1 there"}, T)
    taken = await books.snapshot(T, hyper__ETH="2000")
    assert [(vault, one.kind, one.leg, one.sentence) for vault, one in taken.alerts] == [
        ("alpha", Kind.VENUE_SILENT, "hyper", "its fills are not told: down"),
        ("beta", Kind.DIFFERENCE_UNPRICED, "mock_gold::XAU", "3 by its fills, 1 there"),
    ]
    found = await books.reads.latest(["alpha", "beta", "gone"])
    assert {vault: one.doubts for vault, one in found.items()} == {
        "alpha": ["venue_silent"],
        "beta": ["difference_unpriced"],
        "gone": [],
    }
    await books.fills.silent({}, T)
    await books.fills.unpriced("beta", "mock_gold", {}, T)
    assert (await books.snapshot(T + 1, hyper__ETH="2000")).alerts == []
