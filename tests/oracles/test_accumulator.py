"""Real price updates verify; every way of spoiling one is refused for its own reason."""

from dataclasses import replace

import pytest
from coincurve import PrivateKey, PublicKey
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import SECOND
from oracles.accumulator import MAGIC, to_price, verify
from oracles.price import Price
from oracles.refusal import Reason, Refused
from oracles.signers import PYTHNET, ROUTERS, ROUTERS_EMITTER, named_in, rotated, trusted_now
from oracles.vaa import SignerSet, keccak256, parse_vaa

KEYS = [PrivateKey(bytes([number]) * 32) for number in range(1, 6)]


def address(key: PrivateKey) -> bytes:
    return keccak256(key.public_key.format(compressed=False)[1:])[-20:]


FIVE = SignerSet("five", 7, tuple(map(address, KEYS)), 3, PYTHNET, ROUTERS_EMITTER)


def signed(body: bytes, numbers=(0, 2, 4), index: int = 7, keys=KEYS) -> bytes:
    digest = keccak256(keccak256(body))
    signatures = b"".join(bytes([n]) + keys[n].sign_recoverable(digest, hasher=None) for n in numbers)
    return b"\1" + index.to_bytes(4, "big") + bytes([len(numbers)]) + signatures + body


def body(payload: bytes, chain: int = PYTHNET, emitter: bytes = ROUTERS_EMITTER) -> bytes:
    return bytes(8) + chain.to_bytes(2, "big") + emitter + (5).to_bytes(8, "big") + b"\1" + payload


def price_leaf(exponent: int = -8, published: int = 1_800_000_000, feed: int = 7) -> bytes:
    numbers = [
        (6_000_000_000_000, 8),
        (1_000_000, 8),
        (exponent, 4),
        (published, 8),
        (published, 8),
        (1, 8),
        (1, 8),
    ]
    return b"\0" + bytes([feed]) * 32 + b"".join(n.to_bytes(size, "big", signed=True) for n, size in numbers)


def root_of(one: bytes, two: bytes) -> tuple[bytes, bytes, bytes]:
    left, right = (keccak256(b"\0" + leaf)[:20] for leaf in (one, two))
    return keccak256(b"\1" + min(left, right) + max(left, right))[:20], left, right


def update(one: bytes | None = None, **how) -> bytes:
    one, two = one or price_leaf(), price_leaf(feed=8)
    root, left, right = root_of(one, two)
    payload = b"AUWV\0" + (99).to_bytes(8, "big") + bytes(4) + root
    vaa = signed(body(payload), **how)
    pairs = b"".join(
        len(leaf).to_bytes(2, "big") + leaf + b"\1" + sibling for leaf, sibling in ((one, right), (two, left))
    )
    return MAGIC + b"\1\0\0\0" + len(vaa).to_bytes(2, "big") + vaa + b"\2" + pairs


def refused(data: bytes, *trusted: SignerSet) -> Reason:
    with pytest.raises(Refused) as error:
        verify(data, trusted)
    return error.value.reason


def real(pyth):
    return [
        item
        for item in pyth("hermes-accumulator-updates")["items"]
        if str(item.get("guardian_signatures_valid")).startswith("13/13")
    ]


def test_every_recorded_update_verifies_to_the_values_others_decoded(pyth, guardians):
    items = real(pyth)
    assert len(items) >= 17
    for item in items:
        verified = verify(bytes.fromhex(item["data"]), guardians)
        decoded = item["decoded_here"]
        assert verified.slot == decoded["vaa"]["slot"]
        assert verified.sequence == decoded["vaa"]["sequence"]
        prices = [leaf for leaf in decoded["updates"] if leaf["message_type"] == 0]
        assert len(verified.prices) + verified.others == decoded["num_updates"]
        for message, leaf in zip(verified.prices, prices, strict=True):
            assert message.feed == leaf["feed_id"]
            assert [message.price, message.confidence] == [int(leaf["price"]), int(leaf["conf"])]
            assert [message.exponent, message.publish_time] == [leaf["expo"], leaf["publish_time"]]
            assert [message.ema_price, message.ema_confidence] == [
                int(leaf["ema_price"]),
                int(leaf["ema_conf"]),
            ]


def test_recorded_updates_are_refused_without_their_own_set(pyth, guardians):
    for item in real(pyth):
        data, index = bytes.fromhex(item["data"]), item["decoded_here"]["vaa"]["guardian_set_index"]
        other = tuple(one for one in guardians if one.index != index)
        assert refused(data, *other) is Reason.UNKNOWN_SIGNER_SET
        assert refused(data, ROUTERS) is Reason.UNKNOWN_EMITTER
        # Good signatures, but of others than the set of this index has at their numbers.
        addresses = other[0].addresses
        shifted = replace(other[0], index=index, addresses=addresses[1:] + addresses[:1])
        assert refused(data, shifted) is Reason.WRONG_SIGNATURE


def test_no_byte_of_a_recorded_update_can_change(pyth, guardians):
    data = bytes.fromhex(real(pyth)[0]["data"])
    free = {5}  # the minor version: newer ones stay readable
    for at in range(0, len(data), 7):
        if at in free:
            continue
        spoiled = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Refused):
            verify(spoiled, guardians)
    for end in range(0, len(data), 61):
        assert refused(data[:end], *guardians) is Reason.TRUNCATED


def test_upstreams_own_good_and_bad_cases(pyth):
    cases = [item for item in pyth("hermes-accumulator-updates")["items"] if item["id"].startswith("aptos:")]
    made = bytes.fromhex(next(item["data"] for item in cases if item["id"] == "aptos:TEST_ACCUMULATOR"))
    guardian = _only_signer(made)
    outcomes = {}
    for item in cases:
        try:
            verify(bytes.fromhex(item["data"]), [guardian])
            outcomes[item["id"].removeprefix("aptos:TEST_ACCUMULATOR")] = "verified"
        except Refused as error:
            outcomes[item["id"].removeprefix("aptos:TEST_ACCUMULATOR")] = error.reason
    assert outcomes == {
        "": "verified",
        "_3_MSGS": "verified",
        "_INCREASED_MINOR_VERSION": "verified",
        "_INVALID_ACC_MSG": Reason.WRONG_PROOF,
        "_INVALID_WH_MSG": Reason.WRONG_PAYLOAD,
        "_INVALID_MAJOR_VERSION": Reason.UNSUPPORTED_VERSION,
    }


def _only_signer(data: bytes) -> SignerSet:
    """Upstream's test guardian, recovered from the first case; the others must be of the same one."""
    vaa = parse_vaa(data[10 : 10 + int.from_bytes(data[8:10], "big")])
    key = PublicKey.from_signature_and_message(vaa.signatures[0][1], vaa.digest, hasher=None)
    signer = keccak256(key.format(compressed=False)[1:])[-20:]
    return SignerSet("test", 0, (signer,), 1, vaa.emitter_chain, vaa.emitter_address)


def test_three_of_five_suffice_and_fewer_repeated_or_foreign_ones_do_not():
    assert verify(update(), [FIVE]).slot == 99
    assert len(verify(update(numbers=(0, 1, 2, 3, 4)), [FIVE]).prices) == 2
    assert refused(update(numbers=(0, 1)), FIVE) is Reason.NO_QUORUM
    assert refused(update(numbers=()), FIVE) is Reason.NO_QUORUM
    assert refused(update(numbers=(0, 0, 0)), FIVE) is Reason.SIGNATURE_ORDER
    assert refused(update(numbers=(2, 1, 0)), FIVE) is Reason.SIGNATURE_ORDER
    assert refused(update(), replace(FIVE, addresses=FIVE.addresses[:4])) is Reason.SIGNATURE_ORDER
    assert refused(update(keys=KEYS[::-1], numbers=(0, 1, 2)), FIVE) is Reason.WRONG_SIGNATURE


def test_a_proven_price_that_no_market_could_have_is_refused():
    for leaf in (price_leaf(exponent=31), price_leaf(exponent=-2_000_000_000), price_leaf(published=-1)):
        message = verify(update(leaf), [FIVE]).prices[0]
        with pytest.raises(Refused) as error:
            to_price("BTC-PERP", message, "here")
        assert error.value.reason is Reason.OUT_OF_RANGE
    price = to_price("BTC-PERP", verify(update(), [FIVE]).prices[0], "here")
    assert price == Price("BTC-PERP", 6_000_000_000_000, -8, 1_000_000, 1_800_000_000 * SECOND, "here")
    assert refused(update(price_leaf()[:60]), FIVE) is Reason.TRUNCATED


@given(st.binary(max_size=400))
def test_noise_is_refused_not_an_accident(noise):
    for data in (noise, MAGIC + b"\1\0\0\0" + noise):
        with pytest.raises(Refused):
            verify(data, [FIVE])


def hand_over(installs: int, to, **how) -> bytes:
    payload = b"Core".rjust(32, b"\0") + b"\2\0\0" + installs.to_bytes(4, "big") + bytes([len(to)])
    return signed(body(payload + b"".join(map(address, to)), chain=1, emitter=bytes(31) + b"\4"), **how)


def test_guardians_hand_over_as_recorded(guardians, hand_overs):
    three, four = guardians
    assert [len(three.addresses), three.quorum, len(four.addresses), four.quorum] == [19, 13, 19, 13]
    assert rotated(three, hand_overs[1]) == four
    with pytest.raises(Refused) as error:
        rotated(three, hand_overs[0])  # signed by set 2
    assert error.value.reason is Reason.UNKNOWN_SIGNER_SET


def test_a_hand_over_needs_the_quorum_of_the_set_before_and_the_next_index():
    keys = [PrivateKey(bytes([number]) * 32) for number in range(11, 16)]
    after = rotated(FIVE, hand_over(8, keys))
    assert after == replace(FIVE, index=8, addresses=tuple(map(address, keys)))
    for data, reason in (
        (hand_over(9, keys), Reason.UNKNOWN_SIGNER_SET),
        (hand_over(8, keys, index=6), Reason.UNKNOWN_SIGNER_SET),
        (hand_over(8, keys, numbers=(0, 1)), Reason.NO_QUORUM),
        (hand_over(8, keys, keys=keys), Reason.WRONG_SIGNATURE),
        (hand_over(8, []), Reason.WRONG_PAYLOAD),
        (hand_over(8, keys[:1] * 5), Reason.WRONG_PAYLOAD),
        (hand_over(8, keys) + b"\0", Reason.WRONG_PAYLOAD),
        (signed(body(b"Core".rjust(32, b"\0") + b"\1\0\0")), Reason.UNKNOWN_EMITTER),
    ):
        with pytest.raises(Refused) as error:
            rotated(FIVE, data)
        assert error.value.reason is reason


def test_the_routers_are_five_of_whom_three_must_agree():
    assert [len(set(ROUTERS.addresses)), ROUTERS.quorum, ROUTERS.index] == [5, 3, 1]
    assert trusted_now([]) == ROUTERS
    assert named_in(hand_over(3, KEYS)) == (3, FIVE.addresses)
