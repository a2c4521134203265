"""The bytes of deltas: every limit at its edge, and one encoding for each list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.deltas import MAGNITUDE_MAX, SLOTS_PER_PAGE, DeltasRefused, decode_deltas, encode_deltas

magnitudes = st.integers(-MAGNITUDE_MAX, MAGNITUDE_MAX).filter(bool)
pages = st.dictionaries(st.integers(0, SLOTS_PER_PAGE - 1), magnitudes, min_size=1).map(
    lambda deltas: sorted(deltas.items())
)


@given(pages)
def test_what_was_encoded_is_decoded(deltas: list[tuple[int, int]]) -> None:
    assert decode_deltas(encode_deltas(deltas)) == deltas


@given(st.binary(max_size=40))
def test_bytes_that_decode_are_the_only_ones_for_their_deltas(data: bytes) -> None:
    try:
        deltas = decode_deltas(data)
    except DeltasRefused:
        return
    assert encode_deltas(deltas) == data


def test_golden_bytes() -> None:
    assert (
        encode_deltas([(0, 1), (1, -1), (7, 64), (104, -MAGNITUDE_MAX)]).hex()
        == "00020103078001" + "68" + "ff" * 6 + "7f"
    )


def test_the_largest_page_has_840_bytes() -> None:
    assert len(encode_deltas((slot, -MAGNITUDE_MAX) for slot in range(SLOTS_PER_PAGE))) == 840


@pytest.mark.parametrize(
    "deltas",
    [
        [],
        [(SLOTS_PER_PAGE, 1)],
        [(-1, 1)],
        [(3, 1), (3, 1)],
        [(3, 1), (2, 1)],
        [(0, 0)],
        [(0, MAGNITUDE_MAX + 1)],
        [(0, -MAGNITUDE_MAX - 1)],
    ],
)
def test_what_the_program_would_refuse_is_not_encoded(deltas: list[tuple[int, int]]) -> None:
    with pytest.raises(DeltasRefused):
        encode_deltas(deltas)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("nothing", ""),
        ("no delta", "00"),
        ("cut varint", "0080"),
        ("zero", "0000"),
        ("minus zero", "0001"),
        ("not the shortest form", "008200"),
        ("eight bytes", "00" + "ff" * 7 + "01"),
        ("slot beyond the page", "6e02"),
        ("same slot twice", "00020002"),
        ("descending slots", "01020002"),
    ],
)
def test_malformed_bytes_are_refused(name: str, data: str) -> None:
    with pytest.raises(DeltasRefused):
        decode_deltas(bytes.fromhex(data))
