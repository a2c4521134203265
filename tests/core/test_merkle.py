"""Every leaf of a root can be proven, and nothing else."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.merkle import (
    EMPTY,
    account_leaf,
    account_proof,
    batch_root,
    fill_leaf,
    fill_proof,
    proof,
    root,
    verify,
)

LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


@given(LEAVES, st.data())
def test_every_leaf_is_proven_and_another_is_not(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = proof(leaves, index)
    assert verify(leaves[index], path, root(leaves))
    assert not verify(leaves[index] + b"x", path, root(leaves))
    assert len(path) <= len(leaves).bit_length()


@given(LEAVES, st.data())
def test_changing_or_dropping_a_leaf_changes_the_root(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves[:index], leaves[index] + b"x", *leaves[index + 1 :]]
    assert root(changed) != root(leaves)
    assert root(leaves[:-1]) != root(leaves)


@given(st.lists(st.binary(max_size=40), max_size=20), LEAVES, st.data())
def test_fills_and_accounts_are_proven_to_the_root_of_their_batch(fills, accounts, data):
    whole = batch_root(fills, accounts)
    index = data.draw(st.integers(0, len(accounts) - 1))
    assert verify(accounts[index], account_proof(root(fills), accounts, index), whole)
    for place, fill in enumerate(fills):
        path = fill_proof(fills, root(accounts), place)
        assert verify(fill, path, whole)
        assert not verify(fill + b"x", path, whole)


def test_a_node_cannot_pass_for_a_leaf():
    leaves = [b"a", b"b", b"c", b"d"]

    left = sha256(b"\1" + sha256(b"\0a").digest() + sha256(b"\0b").digest()).digest()
    right = sha256(b"\1" + sha256(b"\0c").digest() + sha256(b"\0d").digest()).digest()
    assert root([left, right]) != root(leaves)
    assert root([]) == EMPTY
    with pytest.raises(IndexError):
        proof(leaves, 4)


def test_leaves_have_fixed_widths():
    assert len(fill_leaf(1, 2, 3, 4, 5, -1, 7, 8, 9, (-10, 11))) == 1 + 8 * 5 + 1 + 8 * 5
    assert account_leaf(1, 2, -3, 4)[:1] == b"A"
    assert account_leaf(1, 2, -3, 4) != account_leaf(1, 2, 3, 4)
