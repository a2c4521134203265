"""The journal on a real disk: nothing synced is lost, nothing unsynced is shown, damage is named."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.accounts import INSURANCE, TREASURY
from core.custody_events import AcceptedSlot, ChainAccepted, ExitDelaySeen, SettlementLate
from core.debt_events import DebtCovered
from core.events import (
    DURABLE,
    DepositCredited,
    Event,
    HourEnded,
    IndexUpdated,
    MarketListed,
    MarketStatusSet,
    MarkUpdated,
    PremiumSampled,
    SessionsRevoked,
    WithdrawalReserved,
)
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitMatured, ExitReleased, ExitRequested
from core.liquidation import LiquidationTerms
from core.liquidation_events import FundStanding, Handover, InsuranceFloorSet, MarginWarned
from core.loss_limit_events import NO_LIMIT, LossLimitsSeen
from core.margin_terms import MarginTerms, Tier
from core.mark_price import Basis
from core.market_limits import MarketLimits
from core.open_interest import JumpAlarm
from core.operator_events import (
    DelistingAnnounced,
    LimitsSet,
    MarketSettled,
    OpenInterestJumped,
    ReviewOrdered,
    SaleOrdered,
    SettledPosition,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from core.premium import PremiumRule
from core.quantities import SECOND
from core.validity import Validity
from matcher.apply import apply
from matcher.journal import Journal
from matcher.records import decode, encode, record_at
from matcher.recovery import End, JournalCorrupt, replay
from matcher.segments import UNFINISHED, WATERMARK, JournalInUse, NextSegment, lock, segments
from matcher.state import Exchange
from matcher.tail import Tail

FIXTURES = Path(__file__).parent / "fixtures"


def event(number: int) -> DepositCredited:
    return DepositCredited(number, 16, number, f"key-{number}")


async def write(directory: Path, count: int, *, start: int = 1, segment_bytes: int = 1 << 16) -> None:
    """Append `count` records to the journal in `directory` and wait until they are synced."""
    directory.mkdir(exist_ok=True)
    end = replay(directory, 0, lambda *_: None)
    done = asyncio.Event()
    journal = Journal(
        directory,
        end,
        asyncio.get_running_loop(),
        lambda sequence: done.set() if sequence == start + count - 1 else None,
        segment_bytes,
    )
    for number in range(start, start + count):
        journal.append([event(number)])
    await done.wait()
    journal.close()


def read(directory: Path, after: int = 0) -> tuple[list[int], End]:
    found: list[int] = []

    def visit(sequence: int, read_event: object) -> None:
        assert read_event == event(sequence)
        found.append(sequence)

    return found, replay(directory, after, visit)


async def test_what_was_synced_comes_back_and_goes_on(tmp_path):
    await write(tmp_path / "j", 50)
    await write(tmp_path / "j", 50, start=51)
    assert read(tmp_path / "j")[0] == list(range(1, 101))
    assert read(tmp_path / "j", after=60)[0] == list(range(61, 101))


async def test_segments_follow_each_other(tmp_path):
    await write(tmp_path / "j", 200, segment_bytes=1_000)
    for start in range(201, 211):
        await write(tmp_path / "j", 1, start=start, segment_bytes=100)
    assert len(segments(tmp_path / "j")) > 3
    assert read(tmp_path / "j")[0] == list(range(1, 211))
    assert read(tmp_path / "j", after=205)[0] == list(range(206, 211))


async def test_a_missing_segment_stops_the_start(tmp_path):
    for start in range(1, 6):
        await write(tmp_path / "j", 1, start=start, segment_bytes=60)
    files = [path for _, path in segments(tmp_path / "j")]
    assert len(files) == 5
    files[2].unlink()
    with pytest.raises(JournalCorrupt, match="record 3"):
        read(tmp_path / "j")
    files[0].unlink()
    with pytest.raises(JournalCorrupt, match="begins at record 2"):
        read(tmp_path / "j")


def test_one_writer_at_a_time(tmp_path):
    held = lock(tmp_path)
    with pytest.raises(JournalInUse, match="another process"):
        lock(tmp_path)
    os.close(held)
    os.close(lock(tmp_path))


def raw_journal(directory: Path, unsynced: list[int]) -> tuple[Path, list[int]]:
    """A segment of records with the given `unsynced` counts; returns it and the offset at which each record ends."""
    directory.mkdir(exist_ok=True)
    data = b""
    ends = []
    for number, count in enumerate(unsynced, 1):
        data += encode(number, count, event(number))
        ends.append(len(data))
    path = directory / f"{1:020d}.journal"
    path.write_bytes(data + bytes(500))
    return path, ends


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tail_cut_anywhere_loses_only_what_was_cut(tmp_path, data):
    path, ends = raw_journal(tmp_path / "j", [0, 0, 1, 2, 0])
    at = data.draw(st.integers(0, ends[-1]))
    content = bytearray(path.read_bytes())
    content[at:] = bytes(len(content) - at)
    path.write_bytes(content)
    found, end = read(tmp_path / "j")
    whole = sum(stop <= at for stop in ends)
    assert len(found) in (whole, whole + 1)
    assert end.sequence == len(found)
    assert read(tmp_path / "j") == (found, end)
    assert not any(path.read_bytes()[end.offset :])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_synced_record_is_named_and_changes_nothing(tmp_path, at, bit):
    path, ends = raw_journal(tmp_path / "j", [0, 0, 0, 0])
    at %= ends[2]
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)
    damaged = next(number for number, stop in enumerate(ends, 1) if at < stop)
    with pytest.raises(JournalCorrupt, match=f"record {damaged} is damaged"):
        read(tmp_path / "j")
    assert path.read_bytes() == content


def test_a_hole_among_records_that_were_never_synced_is_a_torn_tail(tmp_path):
    path, ends = raw_journal(tmp_path / "j", [0, 0, 1, 2, 3])
    content = bytearray(path.read_bytes())
    content[ends[2] + 4] ^= 1
    path.write_bytes(content)
    assert read(tmp_path / "j")[0] == [1, 2, 3]


def test_a_record_from_a_later_program_is_not_guessed_at(tmp_path):
    path, _ends = raw_journal(tmp_path / "j", [0])
    stored = record_at(memoryview(path.read_bytes()), 0)
    assert stored is not None
    with pytest.raises(ValueError, match="version 9"):
        decode(msgspec.structs.replace(stored, version=9))


def golden(name: str) -> list[Event]:
    """The events of a journal that an older program wrote."""
    events = []
    data = memoryview((FIXTURES / f"{name}.journal").read_bytes())
    offset = 0
    while (stored := record_at(data, offset)) is not None:
        events.append(decode(stored))
        offset = stored.end
    return events


def test_golden_journals_stay_readable():
    found = {path.stem: golden(path.stem) for path in FIXTURES.glob("golden-*.journal")}
    assert {name: len(events) for name, events in found.items()} == {
        "golden-v1": 14,
        "golden-v1-funding": 5,
        "golden-v1-liquidation": 7,
        "golden-v1-breakers": 5,
        "golden-v1-fund-orders": 3,
        "golden-v1-held": 2,
        "golden-v1-delisting": 2,
        "golden-v1-loss-limits": 1,
        "golden-v1-debts": 2,
        "golden-v1-destinations": 2,
        "golden-v1-sharing": 1,
        "golden-v1-exits": 4,
        "golden-v1-custody": 4,
        "golden-v1-matured": 2,
        "golden-v1-making": 2,
        "golden-v1-marks": 3,
        "golden-v1-sessions": 1,
        "golden-v1-subaccounts": 4,
        "golden-v1-validity": 4,
    }
    assert {type(event) for events in found.values() for event in events} == set(get_args(DURABLE))


def test_markets_of_journals_without_margin_terms_keep_their_highest_leverage():
    listed = next(found.market for found in golden("golden-v1") if isinstance(found, MarketListed))
    assert (listed.margin, listed.thin_only_reduces) == (None, False)
    assert listed.margin_terms == MarginTerms((Tier(0, listed.initial_fraction),))


def test_a_golden_revocation_names_its_account_and_generation():
    assert golden("golden-v1-sessions") == [SessionsRevoked(1_760_000_000_000_000_000, 17, 2)]


def test_golden_sub_accounts_come_back_with_their_parent_and_their_collateral():
    state = Exchange()
    for found in golden("golden-v1-subaccounts"):
        apply(state, found)
    parent, sub = state.accounts[16], state.accounts[17]
    assert (sub.parent, sub.market, sub.name, sub.owner) == (parent, 2, "desk/ETH-PERP", parent.owner)
    assert (parent.balance, sub.balance) == (-2_000_000_000, 2_000_000_000)
    assert [(kept.key, kept.giver, kept.receiver, kept.amount) for kept in state.transfers[16]] == [
        ("stake-1", 16, 17, 2_500_000_000),
        ("home-1", 17, 16, 500_000_000),
    ]
    assert (parent.number, sub.number) == (4, 3)


def test_golden_breakers_say_what_was_decided():
    at, terms = (
        1_760_000_000_000_000_000,
        MarginTerms((Tier(0, 20_000), Tier(10**12, 40_000)), 10**13, 10**14),
    )
    alarm = JumpAlarm(200_000, 3_600 * SECOND, True)
    ends = (SettledPosition(16, 5, -700, 200), SettledPosition(17, -5, 700, -150))
    limits = MarketLimits(50, 400, 5_000, 1_000, 2_000, terms, True, alarm)
    assert golden("golden-v1-breakers") == [
        MarketStatusSet(at, 1, 2, "ada", "a thin book"),
        LimitsSet(at + 1, 1, limits, True, "ada", "a thin book"),
        OpenInterestJumped(at + 2, 1, 10, 500),
        WithdrawalsHeld(at + 3, True, "ada", "odd fills"),
        MarketSettled(at + 4, 1, 600_123, ends, 50, 7, True, "ada", "its source is gone"),
    ]


def test_golden_orders_about_the_fund_and_accounts_say_who_and_why():
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-fund-orders") == [
        InsuranceFloorSet(at, 5_000_000_000, "ada", "the fund has grown"),
        SaleOrdered(at + 1, 2, "ada", "a quiet hour"),
        ReviewOrdered(at + 2, 17, "bob", "a customer asks"),
    ]


def test_a_golden_order_to_share_a_debt_says_whose_and_who_gave_it():
    order = SharingOrdered(1_760_000_000_000_000_000, 17, "ada", "nobody else is left")
    assert golden("golden-v1-sharing") == [order]


def test_a_floor_in_an_older_journal_names_nobody():
    (floor,) = [found for found in golden("golden-v1-liquidation") if isinstance(found, InsuranceFloorSet)]
    assert (floor.who, floor.why) == ("", "")


def test_a_golden_hold_of_settlement_says_who_and_why():
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-held") == [
        SettlementHeld(at, True, "operator", "slot 0/2 differs"),
        SettlementHeld(at + 1, False, "ada", "explained"),
    ]


def test_a_golden_delisting_says_when_it_was_to_be_and_what_was_averaged():
    at, end = 1_760_000_000_000_000_000, 1_760_086_800_000_000_000
    sides = SettledPosition(16, -10, -20, 0), SettledPosition(17, 10, 20, -5)
    by = "ada", "nobody quotes it"
    assert golden("golden-v1-delisting") == [
        DelistingAnnounced(at, 2, end, *by),
        MarketSettled(at + 1, 2, 300_002, sides, 3, 0, False, *by, end, 3_599_000_000_000),
    ]


def test_golden_loss_limits_say_what_settlement_may_take():
    parts = ((16, 5_000_000, 1_250_000), (17, 9_000_000, -3), (24, NO_LIMIT, 0))
    assert golden("golden-v1-loss-limits") == [LossLimitsSeen(1_760_000_000_000_000_000, parts)]


def test_golden_exits_say_who_leaves_with_what_and_what_a_page_could_not_do():
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-exits") == [
        ExitRequested(at, 16, 5_000_000, 1_760_259_200),
        ExitReleased(at + 1, 16, 5_000_000, 1_760_259_200),
        ExitClaimed(at + 2, 17, 7_000_000, "claim:sig:0", ((24, 2_000_000),)),
        DeltasUnapplied(at + 3, 9, 0, ((16, 12, 12), (17, -3, -5))),
    ]


def test_golden_custody_says_what_was_taken_over_from_the_chain_and_since_when_it_is_behind():
    at = 1_760_000_000_000_000_000
    slots = (AcceptedSlot(16, -400, 0), AcceptedSlot(17, 250, -7, 1_000_000))
    assert golden("golden-v1-custody") == [
        ExitDelaySeen(at, 259_200),
        SettlementLate(at + 1, True, at - 9, 259_200),
        ChainAccepted(at + 2, slots, 90, 60, 60, ((0, 9), (3, 104)), "ada", "the key was stolen"),
        SettlementLate(at + 3, False, at + 2, 259_200),
    ]


def test_golden_withdrawals_say_where_they_go_and_older_ones_to_the_owner():
    at, elsewhere = 1_760_000_000_000_000_000, "8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR"
    assert golden("golden-v1-destinations") == [
        WithdrawalReserved(at, 1, 16, 5_000_000, "w1", elsewhere),
        WithdrawalReserved(at + 1, 2, 16, 6_000_000, "w2", ""),
    ]
    older = [found for found in golden("golden-v1") if isinstance(found, WithdrawalReserved)]
    assert [found.destination for found in older] == [""]


def test_a_golden_maturity_says_whose_request_the_chain_may_pay():
    at = 1_760_000_000_000_000_000
    assert golden("golden-v1-matured") == [
        ExitRequested(at, 16, 5_000_000, 1_760_259_200),
        ExitMatured(at + 1, 16),
    ]


def test_a_status_in_an_older_journal_names_nobody():
    (set_,) = [found for found in golden("golden-v1") if isinstance(found, MarketStatusSet)]
    assert (set_.who, set_.why) == ("", "")


def test_golden_debts_say_who_paid():
    ended, covered = golden("golden-v1-debts")
    assert isinstance(ended, HourEnded)
    assert (ended.hour, ended.charge, ended.treasury_share) == (489_001, 67_500_000, 100_000)
    assert covered == DebtCovered(1_700_000_001, 16, 1_000, 600, 300, ((17, 60), (18, 30)), 10)


def test_golden_hours_say_who_stood_with_how_much_and_older_ones_share_by_account():
    at, hour = 1_760_000_000_000_000_000, 488_889
    impact = (600_150_000_000, 600_160_000_000)
    sampled = PremiumSampled(
        at, 1, hour, 250_000_000, 600_000, *impact, 2, (), stood=((16, 10_000), (24, 2_500))
    )
    rates = (250_000_000, 31_250_000, 250_000_000, 187_500_000)
    ended = HourEnded(at + 1, 1, hour, 1, 250_000_000, 2, 700, 900, *rates, 100_000, by_owner=True)
    assert golden("golden-v1-making") == [sampled, ended]
    older = [*golden("golden-v1-funding"), *golden("golden-v1-debts")]
    assert {found.stood for found in older if isinstance(found, PremiumSampled)} == {()}
    assert {found.by_owner for found in older if isinstance(found, HourEnded)} == {False}


def test_golden_marks_bring_back_what_they_said():
    state = Exchange()
    for found in golden("golden-v1-marks"):
        apply(state, found)
    listed, mark = state.markets[1], state.marks[1]
    assert listed.margin == MarginTerms((Tier(0, 20_000), Tier(10**12, 40_000)), 10**13, 10**14, 500_000)
    assert (state.mark_price(1), state.bases[1]) == (600_123, Basis(123_456_789, 21))
    assert (mark.initial_of(1_000_000), mark.maintenance_of(1_000_000)) == (220_049_200_000, 110_024_600_000)


def test_golden_judgements_keep_the_mark_that_was_made_with_mids_outside():
    events = golden("golden-v1-validity")
    state = Exchange()
    for found in events:
        apply(state, found)
    assert [type(found) for found in events] == [MarketListed, IndexUpdated, MarkUpdated, IndexUpdated]
    assert (events[1].validity, events[1].held) == (Validity.LONE, False)
    assert events[2] == MarkUpdated(21, 1, 600_123, 600_123, 0, 123_456_789, 600_200)
    assert state.indexes[1] == IndexUpdated(22, 1, 600_000, 5, 22, "pyth", Validity.DISPUTED, True)
    assert (state.mark_price(1), state.bases, state.values_until) == (600_123, {}, -1)


def test_golden_indexes_from_before_judgements_are_valid():
    indexes = [found for name in ("golden-v1", "golden-v1-marks") for found in golden(name)]
    found = [index for index in indexes if isinstance(index, IndexUpdated)]
    assert found
    assert {(index.validity, index.held) for index in found} == {(Validity.VALID, False)}


def test_golden_liquidations_bring_back_what_they_said():
    warned, started, sliced, taken, deleveraged, ended, floor = golden("golden-v1-liquidation")
    handed = Handover(2, 1, 590_000, 100_000, 587_000_000_000, 0, -13_000_000_000, 587_000_000_000, 0)
    assert warned == MarginWarned(1, 16, 800_000, 6_000_000_000, 5_000_000_000)
    assert (started.liquidation, started.positions) == (7, ((1, 100_000, 592_500),))
    assert (sliced.fee, sliced.fills, sliced.terms) == (
        591_652_000,
        (9, 10),
        LiquidationTerms(1, 2, 3, 4, 5, 6),
    )
    assert (taken.fund, taken.parts) == (FundStanding(10**10, 1, 2), (handed,))
    assert (deleveraged.greedy, deleveraged.left, deleveraged.parts) == (True, -7, (handed, handed))
    assert (ended.why, floor.floor) == ("taken_over", 5_000_000_000)


def test_golden_funding_pays_what_it_said():
    state = Exchange()
    for found in golden("golden-v1-funding"):
        apply(state, found)
    terms, funding = state.markets[1].funding, state.funding[1]
    assert (terms.interest, terms.treasury_share, terms.rule) == (90_000_000, 150_000, PremiumRule.MIDDLE)
    assert {account.id: account.balance for account in state.accounts.values() if account.balance} == {
        TREASURY: 10_125,
        INSURANCE: 1,
        16: -67_501,
        17: 57_375,
    }
    assert (funding.settled, funding.rate, funding.kept[489_001].paid) == (489_001, 90_000_000, 67_501)
    assert [state.accounts[id].number for id in (16, 17)] == [2, 2]


async def test_a_damaged_last_record_that_was_synced_stops_the_start(tmp_path):
    await write(tmp_path / "j", 6)
    ((_, path),) = segments(tmp_path / "j")
    content = bytearray(path.read_bytes())
    content[read(tmp_path / "j")[1].offset - 1] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(
            JournalCorrupt, match=r"up to record 5 only, but record 6 had been written safely"
        ):
            read(tmp_path / "j")
    assert path.read_bytes() == content
    (tmp_path / "j" / WATERMARK).unlink()
    assert read(tmp_path / "j")[0] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_missing_last_segments_stop_the_start(tmp_path, kept):
    for start in range(1, 4):
        await write(tmp_path / "j", 1, start=start, segment_bytes=60)
    for _, path in segments(tmp_path / "j")[kept:]:
        path.unlink()
    with pytest.raises(
        JournalCorrupt, match=rf"up to record {kept} only, but record 3 had been written safely"
    ):
        read(tmp_path / "j")


@pytest.mark.parametrize("empty", [False, True])
async def test_a_snapshot_ahead_of_the_journal_stops_the_start(tmp_path, empty):
    await write(tmp_path / "j", 3)
    (tmp_path / "j" / WATERMARK).unlink()
    if empty:
        segments(tmp_path / "j")[0][1].unlink()
    with pytest.raises(
        JournalCorrupt, match=rf"ends at record {0 if empty else 3}, but the snapshot in use is of record 4"
    ):
        read(tmp_path / "j", after=4)


@pytest.mark.parametrize("torn", [1, 10, 30])
async def test_a_torn_tail_after_the_last_synced_record_is_repaired(tmp_path, torn):
    await write(tmp_path / "j", 6)
    end = read(tmp_path / "j")[1]
    assert end.path is not None
    content = bytearray(end.path.read_bytes())
    part = encode(7, 0, event(7))[:torn]
    content[end.offset : end.offset + torn] = part
    end.path.write_bytes(content)
    assert read(tmp_path / "j") == ([1, 2, 3, 4, 5, 6], end)
    assert not any(end.path.read_bytes()[end.offset :])
    await write(tmp_path / "j", 1, start=7)
    assert read(tmp_path / "j")[0] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_follower_sees_synced_records_only_and_in_order(tmp_path):
    directory = tmp_path / "j"
    directory.mkdir()
    loop = asyncio.get_running_loop()
    synced: list[int] = []
    journal = Journal(directory, End(0, None, 0), loop, synced.append, 2_000)
    tail = Tail(directory, 0)
    seen: list[int] = []
    written = 0
    while len(seen) < 300:
        for _ in range(random.Random(written).randint(0, 20)):
            if written < 300:
                written += 1
                journal.append([event(written)])
        await asyncio.sleep(0)
        batch = tail.read(limit=7)
        assert all(sequence <= tail.synced for sequence, _ in batch)
        seen += [sequence for sequence, _ in batch]
    assert seen == list(range(1, 301))
    late = Tail(directory, 250)
    assert [sequence for sequence, _ in late.read()] == list(range(251, 301))
    for follower in (tail, late):
        follower.close()
    journal.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from core.events import DepositCredited
from matcher.journal import Journal
from matcher.recovery import replay
async def main():
    directory = Path(sys.argv[1]); directory.mkdir(exist_ok=True)
    end = replay(directory, 0, lambda *_: None)
    def synced(sequence):
        print(sequence, flush=True)
    journal = Journal(directory, end, asyncio.get_running_loop(), synced, 1 << 14)
    number = end.sequence
    while True:
        for _ in range(3):
            number += 1
            journal.append([DepositCredited(number, 16, number, f"key-{number}")])
        await asyncio.sleep(0)
asyncio.run(main())
"""


def test_killed_at_random_instants_no_acknowledged_record_is_lost(tmp_path):
    rng = random.Random(7)
    acknowledged = 0
    for _ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "j")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline()
            time.sleep(rng.random() * 0.1)
            child.send_signal(signal.SIGKILL)
            lines = child.stdout.read().split("\n")
        whole = [int(line) for line in lines[:-1] if line]
        acknowledged = max([acknowledged, *whole])
        found, end = read(tmp_path / "j")
        assert found == list(range(1, end.sequence + 1))
        assert end.sequence >= acknowledged
    assert acknowledged > 100


async def test_segments_prepared_ahead_hold_every_record_in_order(tmp_path):
    directory = tmp_path / "j"
    directory.mkdir()
    done: asyncio.Queue[int] = asyncio.Queue()
    end = replay(directory, 0, lambda *_: None)
    journal = Journal(directory, end, asyncio.get_running_loop(), done.put_nowait, 400)
    for number in range(1, 41):
        journal.append([event(number)])
        await done.get()
    journal.close()
    assert len(segments(directory)) == 4
    assert {path.stat().st_size for _, path in segments(directory)} == {400}
    assert read(directory)[0] == list(range(1, 41))


def test_a_next_segment_that_was_prepared_in_another_size_is_not_used(tmp_path):
    following = NextSegment(tmp_path, 400)
    following.prepare()
    os.close(following.take(7, 900))
    assert [(first, path.stat().st_size) for first, path in segments(tmp_path)] == [(7, 900)]
    following.prepare()
    os.close(following.take(9, 400))
    assert [(first, path.stat().st_size) for first, path in segments(tmp_path)] == [(7, 900), (9, 400)]
    assert not (tmp_path / UNFINISHED).exists()


def test_a_next_segment_that_could_not_be_prepared_is_made_when_it_is_needed(tmp_path):
    directory = tmp_path / "later"
    following = NextSegment(directory, 400)
    following.prepare()
    following.close()
    following.prepare()
    with pytest.raises(FileNotFoundError):
        following.take(1, 400)
    directory.mkdir()
    os.close(following.take(1, 400))
    assert [first for first, _ in segments(directory)] == [1]
