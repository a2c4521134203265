"""Chainlink rounds through web3 from a real JSON-RPC server that encodes as a node does; recorded rounds, and every lie of a node."""

import csv
import gzip
from dataclasses import astuple, replace
from itertools import pairwise

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import SECOND, Nanos
from oracles.chainlink import SOURCE, Aggregator, Chainlink, Round, checked, to_price
from oracles.polling import SourceFailed
from oracles.price import Price
from oracles.refusal import Reason, Refused

BTC = "0xF4030086522a5bEEa4988F8cA5B36dbC97BeE88c"
ETH = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"
AGGREGATORS = {
    "BTC-PERP": Aggregator(BTC, "BTC / USD", 3_600),
    "ETH-PERP": Aggregator(ETH.lower(), "ETH / USD", 3_600),
}
NOW = 1_697_327_900
ROUND = Round(110_680_464_442_257_316_046, 2_686_193_209_395, NOW - 93, NOW - 93, 110_680_464_442_257_316_046)


@pytest.fixture
def node(site, chainlink_node):
    chainlink_node.head["timestamp"] = NOW
    chainlink_node.say(BTC, "BTC / USD", astuple(ROUND))
    chainlink_node.say(ETH, "ETH / USD", astuple(replace(ROUND, answer=155_500_000_000)))
    site.routes["/"] = chainlink_node.handle
    return chainlink_node


@pytest.fixture
def chainlink(site, http, node) -> Chainlink:
    return Chainlink(http, site.url, AGGREGATORS, lambda: NOW * SECOND)


async def test_all_feeds_are_read_as_of_one_block(node, chainlink):
    prices = {
        "BTC-PERP": Price("BTC-PERP", ROUND.answer, -8, 0, Nanos(ROUND.updated_at * SECOND), SOURCE),
        "ETH-PERP": Price("ETH-PERP", 155_500_000_000, -8, 0, Nanos(ROUND.updated_at * SECOND), SOURCE),
    }
    assert await chainlink.latest() == prices
    assert {block for name, block in node.asked if not name.startswith("eth_")} == {hex(18_000_000)}
    node.asked.clear()
    assert await chainlink.latest() == prices  # a round said again is the same price
    assert [name for name, _ in node.asked] == ["eth_getBlockByNumber", "latestRoundData", "latestRoundData"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": 0}, Reason.OUT_OF_RANGE),
        ({"answer": -1}, Reason.OUT_OF_RANGE),
        ({"updated_at": 0}, Reason.ROUND_INCOMPLETE),
        ({"started_at": 0}, Reason.ROUND_INCOMPLETE),
        ({"answer": 0, "started_at": 0, "updated_at": 0}, Reason.ROUND_INCOMPLETE),
        ({"answered_in": ROUND.number - 1}, Reason.CARRIED_OVER),
        ({"started_at": ROUND.updated_at + 1}, Reason.OUT_OF_RANGE),
        ({"updated_at": NOW + 1}, Reason.OUT_OF_RANGE),
    ],
)
async def test_a_bad_round_is_refused_for_its_reason_and_the_other_feed_counts(
    node, chainlink, change, reason
):
    node.say(BTC, "BTC / USD", astuple(replace(ROUND, **change)))
    read = await chainlink.latest()
    assert isinstance(read["BTC-PERP"], Refused)
    assert read["BTC-PERP"].reason is reason
    assert isinstance(read["ETH-PERP"], Price)
    node.say(BTC, "BTC / USD", astuple(ROUND))
    assert isinstance((await chainlink.latest())["BTC-PERP"], Price)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": ROUND.number - 1, "answered_in": ROUND.number - 1}, Reason.WENT_BACK),
        (
            {
                "number": ROUND.number + 1,
                "answered_in": ROUND.number + 1,
                "updated_at": NOW - 94,
                "started_at": NOW - 94,
            },
            Reason.WENT_BACK,
        ),
        ({"answer": ROUND.answer + 1}, Reason.CONTRADICTS),
        ({"updated_at": ROUND.updated_at + 1}, Reason.CONTRADICTS),
    ],
)
async def test_a_node_that_goes_back_or_changes_its_mind_is_refused(node, chainlink, change, reason):
    await chainlink.latest()
    node.say(BTC, "BTC / USD", astuple(replace(ROUND, **change)))
    read = await chainlink.latest()
    assert isinstance(read["BTC-PERP"], Refused)
    assert read["BTC-PERP"].reason is reason


async def test_a_feed_of_something_else_is_never_priced(node, chainlink):
    node.say(BTC, "ETH / USD", astuple(ROUND))
    for _ in range(2):
        read = await chainlink.latest()
        assert isinstance(read["BTC-PERP"], Refused)
        assert read["BTC-PERP"].reason is Reason.WRONG_FEED


async def test_a_round_number_that_was_made_up_once_ends_no_feed(node, chainlink):
    said = NOW - 3_600
    lie = replace(ROUND, number=1 << 79, answered_in=1 << 79, started_at=said, updated_at=said)
    node.say(BTC, "BTC / USD", astuple(lie))
    assert isinstance((await chainlink.latest())["BTC-PERP"], Price)
    honest = replace(
        ROUND, number=ROUND.number + 1, answered_in=ROUND.number + 1, started_at=NOW, updated_at=NOW
    )
    # A heartbeat after it, the limit included, the made-up number still counts.
    node.say(BTC, "BTC / USD", astuple(honest))
    read = (await chainlink.latest())["BTC-PERP"]
    assert isinstance(read, Refused)
    assert read.reason is Reason.WENT_BACK
    node.head["timestamp"] = NOW + 1
    node.say(BTC, "BTC / USD", astuple(replace(honest, updated_at=NOW + 1)))
    read = (await chainlink.latest())["BTC-PERP"]
    assert isinstance(read, Price)
    assert read.published_at == (NOW + 1) * SECOND


@pytest.mark.parametrize(("shift", "code"), [(-181, "behind"), (6, "ahead")])
async def test_a_node_that_stands_still_or_runs_ahead_is_no_source(node, chainlink, shift, code):
    node.head["timestamp"] = NOW + shift
    with pytest.raises(SourceFailed) as error:
        await chainlink.latest()
    assert error.value.code == code


@pytest.mark.parametrize(
    ("method", "broken", "code"),
    [
        ("eth_getBlockByNumber", "<html>", "nonsense"),
        ("eth_getBlockByNumber", [], "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1}, "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1, "result": None}, "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1, "result": {}}, "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1, "result": {"number": "x", "timestamp": "y"}}, "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1, "result": [1]}, "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "busy"}}, "nonsense"),
        ("eth_getBlockByNumber", {"jsonrpc": "2.0", "id": 1, "error": "busy"}, "nonsense"),
        ("eth_getBlockByNumber", '{"x":' + "[" * 100_000, "nonsense"),
        ("eth_getBlockByNumber", '{"jsonrpc":"2.0","id":1,"result":{"number":"0x1","timestamp":1e999}}', "nonsense"),
        ("eth_getBlockByNumber", 500, "failing"),
        ("eth_getBlockByNumber", 429, "rate_limited"),
        ("latestRoundData", {"jsonrpc": "2.0", "id": 1, "result": "zz"}, "nonsense"),
    ],
)  # fmt: skip
async def test_whatever_shape_nonsense_has_it_is_a_failure_with_a_code(node, chainlink, method, broken, code):
    node.broken[method] = broken
    with pytest.raises(SourceFailed) as error:
        await chainlink.latest()
    assert error.value.code == code
    node.broken.clear()
    assert isinstance((await chainlink.latest())["BTC-PERP"], Price)


REVERT = {"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "execution reverted", "data": "0x"}}


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("latestRoundData", REVERT),
        ("latestRoundData", {"jsonrpc": "2.0", "id": 1, "result": "0x"}),
        ("latestRoundData", {"jsonrpc": "2.0", "id": 1, "result": "0x1234"}),
        ("latestRoundData", {"jsonrpc": "2.0", "id": 1, "result": 7}),
        ("decimals", {"jsonrpc": "2.0", "id": 1, "result": "0x" + "ff" * 32}),
        ("description", {"jsonrpc": "2.0", "id": 1, "result": "0x" + "ff" * 64}),
    ],
)
async def test_an_address_that_is_no_aggregator_spoils_only_its_own_market(node, chainlink, method, answer):
    node.broken[BTC.lower(), method] = answer
    read = await chainlink.latest()
    assert isinstance(read["BTC-PERP"], Refused)
    assert read["BTC-PERP"].reason is Reason.WRONG_ACCOUNT
    assert isinstance(read["ETH-PERP"], Price)


async def test_no_revert_sends_us_to_another_address(site, node, chainlink):
    """EIP-3668: a contract asks the client to fetch a URL of its choice."""
    arguments = [BTC, [f"{site.url}/look-up"], b"", b"abcd", b""]
    data = encode(["address", "string[]", "bytes", "bytes4", "bytes"], arguments).hex()
    error = {"code": 3, "message": "execution reverted", "data": "0x556f1830" + data}
    node.broken["latestRoundData"] = {"jsonrpc": "2.0", "id": 1, "error": error}
    assert {type(read) for read in (await chainlink.latest()).values()} == {Refused}
    assert {request.path for request in site.asked} == {"/"}


async def test_a_node_that_is_not_there(http):
    nowhere = Chainlink(http, "http://127.0.0.1:1", AGGREGATORS, lambda: NOW * SECOND)
    with pytest.raises(SourceFailed) as error:
        await nowhere.latest()
    assert error.value.code == "unreachable"


def test_a_round_is_believed_for_its_heartbeat_and_a_little(chainlink):
    limits = chainlink.limits("BTC-PERP")
    assert limits is not None
    assert limits.ages.full == (3_600 + 300) * SECOND
    assert chainlink.limits("DOGE-PERP") is None


def recorded_rounds(path) -> list[Round]:
    with gzip.open(path, "rt") as text:
        return [Round(*map(int, row)) for row in list(csv.reader(text))[1:]]


@pytest.mark.parametrize(("asset", "least", "most"), [("BTC", 24_000, 33_000), ("ETH", 1_500, 2_200)])
def test_every_recorded_round_follows_the_one_before(data, asset, least, most):
    rounds = recorded_rounds(data(f"chainlink/mainnet-{asset}-USD-rounds-to-2023-10-14.csv.gz"))
    with pytest.raises(Refused) as error:  # the real empty round that begins the phase
        checked(None, rounds[0], 3_600)
    assert error.value.reason is Reason.ROUND_INCOMPLETE
    before = None
    for one in rounds[1:]:
        late = 0 if before is None else one.updated_at - before.updated_at
        assert late <= 3_600 + 300  # none came later than a round is believed
        before = checked(before, one, 3_600)
        assert least * 10**8 < to_price("x", one, 8).value < most * 10**8
    assert len(rounds) > 6_000


def test_recorded_rounds_replayed_backwards_are_refused(data):
    rounds = recorded_rounds(data("chainlink/mainnet-BTC-USD-rounds-to-2023-10-14.csv.gz"))[1:]
    for before, after in pairwise(rounds[:300]):
        with pytest.raises(Refused) as error:
            checked(after, before, 3_600)
        assert error.value.reason is Reason.WENT_BACK


ROUNDS = st.builds(
    Round, st.integers(0, 6), st.integers(-1, 3), st.integers(0, 4), st.integers(0, 4), st.integers(0, 6)
)


@given(st.lists(ROUNDS, max_size=20))
def test_what_is_believed_never_goes_back_and_never_changes(rounds):
    believed: list[Round] = []
    for one in rounds:
        try:
            believed.append(checked(believed[-1] if believed else None, one, 2))
        except Refused:
            continue
    for before, after in pairwise(believed):
        assert before.updated_at <= after.updated_at
        assert before.number <= after.number or after.updated_at > before.updated_at + 2
        assert before.number != after.number or before == after
    assert all(one.answer > 0 and one.answered_in >= one.number and one.updated_at > 0 for one in believed)


def test_a_scale_that_no_price_has():
    with pytest.raises(Refused):
        to_price("BTC-PERP", ROUND, 31)
