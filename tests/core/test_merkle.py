"""Every leaf of a root can be proven, and nothing else."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.merkle import (
    EMPTY,
    account_leaf,
    account_path,
    batch_root,
    fill_leaf,
    fill_path,
    level,
    path_over,
    proof,
    root,
    root_over,
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
    whole = batch_root(root(fills), root(accounts))
    index = data.draw(st.integers(0, len(accounts) - 1))
    assert verify(accounts[index], account_path(proof(accounts, index), root(fills)), whole)
    for place, fill in enumerate(fills):
        path = fill_path(proof(fills, place), root(accounts))
        assert verify(fill, path, whole)
        assert not verify(fill + b"x", path, whole)


@given(LEAVES, st.integers(0, 4), st.data())
def test_a_stored_level_and_the_leaves_below_one_of_its_nodes_are_enough(leaves, height, data):
    nodes, width = level(leaves, height), 2**height
    index = data.draw(st.integers(0, len(leaves) - 1))
    place = index // width
    below = leaves[place * width : (place + 1) * width]
    assert root_over(nodes) == root(leaves)
    assert nodes[place] == root(below)
    assert proof(below, index % width) + path_over(nodes, place) == proof(leaves, index)


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
