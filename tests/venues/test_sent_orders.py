"""Orders kept before they are sent: the first one stays, whoever was second; only what nobody can take any more is replaced."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from core.market import Side
from core.tickets import SizeE8
from venues.sent_orders import Sent, SentOrders

FIRST = Sent("c1", "0x1", "71", Side.SELL, SizeE8(500), "{}", 100, 0)
SECOND = replace(FIRST, order_id="0x2", body='{"b": 1}', at=200)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "sent.db"


def test_what_is_kept_is_found_by_either_name_in_any_process(file):
    assert SentOrders(file, "0xa").keep(FIRST) == FIRST
    again = SentOrders(file, "0xa")
    assert again.by_client_id("c1") == again.by_order_id("0x1") == FIRST
    assert again.by_client_id("c2") is again.by_order_id("0x2") is None


def test_accounts_do_not_see_each_other(file):
    SentOrders(file, "0xa").keep(FIRST)
    other = SentOrders(file, "0xb")
    assert other.by_client_id("c1") is None
    assert other.keep(SECOND) == SECOND
    assert SentOrders(file, "0xa").by_client_id("c1") == FIRST


@pytest.mark.parametrize(
    ("expires", "taken", "stays"),
    [(0, False, True), (201, False, True), (200, False, False), (150, False, False), (150, True, True)],
)
def test_only_what_has_expired_untaken_gives_way(file, expires, taken, stays):
    kept = SentOrders(file, "0xa")
    first = kept.keep(replace(FIRST, expires=expires))
    if taken:
        first = kept.was_taken(first)
        assert first.taken
    found = kept.keep(SECOND)
    assert found == (first if stays else SECOND)
    assert kept.by_client_id("c1") == found


def test_what_is_signed_anew_is_of_its_own_size(file):
    """Whoever only reduces may have less to sell by then."""
    kept = SentOrders(file, "0xa")
    kept.keep(replace(FIRST, expires=150))
    assert kept.keep(replace(SECOND, size=SizeE8(200))).size == 200


def test_what_the_venue_said_of_it_is_kept_and_the_first_instant_that_it_was_gone(file):
    kept = SentOrders(file, "0xa")
    first = kept.keep(FIRST)
    assert kept.was_taken(first, SizeE8(300)).told == 300
    assert kept.was_taken(first, SizeE8(200)).told == 300
    assert [kept.is_gone(first, at).gone for at in (700, 800)] == [700, 700]
    assert kept.was_taken(first).gone == 0


def test_a_file_of_before_is_read_and_goes_on(file):
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "create table sent (account text, client_id text, order_id text not null, symbol text not null, side integer not null,"
            " size integer not null, body text not null, at integer not null, expires integer not null,"
            " taken integer not null default 0, primary key (account, client_id))"
        )
        database.execute("insert into sent values ('0xa', 'c1', '0x1', '71', -1, 500, '{}', 100, 0, 1)")
    kept = SentOrders(file, "0xa")
    assert kept.by_client_id("c1") == replace(FIRST, taken=True)
    assert kept.is_gone(FIRST, 700).gone == 700
