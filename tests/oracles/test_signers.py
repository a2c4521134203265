"""Signers from a configured list of hand-overs, against every recorded update: what verifies, and each way of signing it wrongly."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.accumulator import verify
from oracles.refusal import Reason, Refused
from oracles.signers import ROUTERS, anchored, named_signers, read_hand_overs, trusted_now

_SIGNATURES_AT = 10 + 6
_SIGNATURE = 66


def refused(data: bytes, trusted) -> Reason:
    with pytest.raises(Refused) as error:
        verify(data, trusted)
    return error.value.reason


def resigned(update: bytes, signatures: list[bytes]) -> bytes:
    """A recorded update with other signatures."""
    count = update[_SIGNATURES_AT - 1]
    body = update[_SIGNATURES_AT + count * _SIGNATURE :]
    size = int.from_bytes(update[8:10], "big") + (len(signatures) - count) * _SIGNATURE
    head = update[:8] + size.to_bytes(2, "big") + update[10 : _SIGNATURES_AT - 1]
    return head + bytes([len(signatures)]) + b"".join(signatures) + body


def signatures_of(update: bytes) -> list[bytes]:
    count = update[_SIGNATURES_AT - 1]
    whole = update[_SIGNATURES_AT : _SIGNATURES_AT + count * _SIGNATURE]
    return [whole[at : at + _SIGNATURE] for at in range(0, len(whole), _SIGNATURE)]


@pytest.fixture
def updates(pyth) -> list[bytes]:
    """Every update that guardians signed."""
    return [
        bytes.fromhex(item["data"])
        for item in pyth("hermes-accumulator-updates")["items"]
        if str(item["guardian_signatures_valid"]).startswith("13/13")
        and all(leaf["merkle_proof_ok"] for leaf in item["decoded_here"]["updates"])
    ]


def test_each_recorded_update_is_believed_or_refused_as_it_must_be(pyth, guardians):
    believed = 0
    for item in pyth("hermes-accumulator-updates")["items"]:
        data, decoded = bytes.fromhex(item["data"]), item["decoded_here"]
        signed = str(item["guardian_signatures_valid"]).startswith("13/13")
        if signed and all(leaf["merkle_proof_ok"] for leaf in decoded["updates"]):
            assert verify(data, guardians).sequence == decoded["vaa"]["sequence"]
            believed += 1
        elif signed:
            assert refused(data, guardians) is Reason.WRONG_PROOF
        else:  # of upstream's own test guardians, or from documentation
            assert refused(data, guardians) in {
                Reason.UNKNOWN_SIGNER_SET,
                Reason.UNKNOWN_EMITTER,
                Reason.UNSUPPORTED_VERSION,
            }
    assert believed >= 17


def test_wrongly_signed_copies_of_every_recorded_update_are_refused(updates, guardians):
    for update in updates:
        good = signatures_of(update)
        assert resigned(update, good) == update
        assert refused(resigned(update, good[1:]), guardians) is Reason.NO_QUORUM
        assert refused(resigned(update, []), guardians) is Reason.NO_QUORUM
        assert refused(resigned(update, [*good[:-1], good[0]]), guardians) is Reason.SIGNATURE_ORDER
        assert refused(resigned(update, good[::-1]), guardians) is Reason.SIGNATURE_ORDER
        nobody = bytes([19]) + good[-1][1:]
        assert refused(resigned(update, [*good[:-1], nobody]), guardians) is Reason.SIGNATURE_ORDER
        swapped = [good[0][:1] + good[1][1:], good[1][:1] + good[0][1:], *good[2:]]
        assert refused(resigned(update, swapped), guardians) is Reason.WRONG_SIGNATURE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is read, never changed
@given(st.data())
def test_any_changed_bit_of_any_signature_is_refused(updates, guardians, data):
    update = data.draw(st.sampled_from(updates))
    bit = data.draw(st.integers(0, 13 * _SIGNATURE * 8 - 1))
    at = _SIGNATURES_AT + bit // 8
    spoiled = update[:at] + bytes([update[at] ^ 1 << bit % 8]) + update[at + 1 :]
    assert refused(spoiled, guardians) in {Reason.WRONG_SIGNATURE, Reason.SIGNATURE_ORDER}


def test_signatures_of_one_update_do_not_sign_another(updates, guardians):
    for one, other in zip(updates, updates[1:] + updates[:1], strict=True):
        if signatures_of(one) != signatures_of(other) and one[11:15] == other[11:15]:
            assert refused(resigned(one, signatures_of(other)), guardians) is Reason.WRONG_SIGNATURE


def test_the_configured_list_decides_whom_to_believe(hand_overs, updates):
    text = f"""
    # Wormhole mainnet
    {hand_overs[0].hex()}   # set 3
    {base64.b64encode(hand_overs[1]).decode()}
    """
    assert read_hand_overs(text) == tuple(hand_overs)
    anchor = anchored("guardians", read_hand_overs(text)[0])
    now = trusted_now(read_hand_overs(text)[1:], anchor)
    assert (anchor.index, now.index, now.quorum) == (3, 4, 13)
    outcomes = set()
    for update in updates:
        index = int.from_bytes(update[11:15], "big")
        try:
            verify(update, [now])
            outcomes.add((index, "believed"))
        except Refused as error:
            outcomes.add((index, error.reason))
    # Who has handed over is not believed any more, however well they sign.
    assert outcomes == {(4, "believed"), (3, Reason.UNKNOWN_SIGNER_SET)}


def test_a_list_that_does_not_follow_from_its_anchor_is_refused(hand_overs):
    anchor = anchored("guardians", hand_overs[0])
    for listed, start in (
        (hand_overs, anchor),
        (hand_overs[::-1], anchor),
        (hand_overs, ROUTERS),
        (hand_overs[1:] * 2, anchor),
    ):
        with pytest.raises(Refused) as error:
            trusted_now(listed, start)
        assert error.value.reason is Reason.UNKNOWN_SIGNER_SET
    spoiled = bytearray(hand_overs[1])
    spoiled[-1] ^= 1
    with pytest.raises(Refused) as error:
        trusted_now([bytes(spoiled)], anchor)
    assert error.value.reason is Reason.WRONG_SIGNATURE


def test_a_line_that_is_no_message_is_named():
    with pytest.raises(Refused, match="line 3"):
        read_hand_overs("# a list\n00ff\nwhat is this?\n")
    assert read_hand_overs("\n# nothing\n") == ()
    assert read_hand_overs("0x00FF") == (b"\x00\xff",)


def test_guardians_are_those_that_the_operator_names_and_whom_they_hand_over_to(
    hand_overs, guardians, tmp_path
):
    file = tmp_path / "guardians.txt"
    file.write_text("\n".join(one.hex() for one in hand_overs))
    assert named_signers(file, None) == guardians[-1]
    file.write_text(hand_overs[0].hex())
    later = tmp_path / "later.txt"
    later.write_text(hand_overs[1].hex())
    assert named_signers(file, later) == guardians[-1]
    assert named_signers(None, None) == ROUTERS
    file.write_text("# nobody\n")
    with pytest.raises(Refused, match="holds no hand-over"):
        named_signers(file, None)
