"""Orders kept before they are sent: the first one stays, whoever was second; only what nobody can take any more is replaced."""

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
        kept.was_taken(first)
    found = kept.keep(SECOND)
    assert found == (replace(first, taken=taken) if stays else SECOND)
    assert kept.by_client_id("c1") == found
