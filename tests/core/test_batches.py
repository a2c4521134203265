"""What a batch may become, and by what."""

from itertools import product

from core.batches import BatchStatus, may_become


def test_a_batch_that_lands_goes_through_every_status():
    allowed = {pair for pair in product(BatchStatus, repeat=2) if may_become(*pair, lands=True)}
    assert allowed == {(0, 1), (1, 2), (2, 3), (3, 4)}


def test_a_batch_with_nothing_to_land_is_final_at_once():
    allowed = {pair for pair in product(BatchStatus, repeat=2) if may_become(*pair, lands=False)}
    assert allowed == {(1, 4)}
