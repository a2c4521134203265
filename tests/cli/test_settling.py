"""A settlement that stands still while agents trade is said after a minute, and no other one is."""

from dataclasses import replace

from cli.figures import Batch, Figures
from cli.settling import LATE_S, Settling

BATCH = Batch(3, 90, "final", 1, 8, 5, 15_000, ())
FIGURES = Figures(100, 100, 50, 4, 4, True, True, "generated", (BATCH,), None)


def test_it_is_late_only_while_fills_go_on():
    settling = Settling()
    assert settling.late(FIGURES, 0) == ""
    assert settling.late(FIGURES, 10 * LATE_S) == ""
    traded = replace(FIGURES, fills=51)
    sentence = settling.late(traded, 10 * LATE_S)
    assert sentence.startswith("nothing settled for 600 s (batch 3 is final)")
    assert "`settlement`" in sentence


def test_a_batch_that_gets_on_starts_the_clock_again():
    settling = Settling()
    settling.late(FIGURES, 0)
    traded = replace(FIGURES, fills=51)
    assert settling.late(traded, LATE_S - 1) == ""
    moved = replace(traded, batches=(replace(BATCH, id=4, status="batched"), BATCH))
    assert settling.late(moved, LATE_S + 1) == ""
    assert settling.late(replace(moved, fills=52), 2 * LATE_S) == ""
    assert "batch 4 is batched" in settling.late(replace(moved, fills=52), 2 * LATE_S + 1)


def test_a_look_that_could_not_read_batches_changes_nothing():
    settling = Settling()
    settling.late(FIGURES, 0)
    assert settling.late(replace(FIGURES, batches=(), fills=60, not_ready="/ready: 503"), LATE_S) == ""
    assert settling.late(replace(FIGURES, fills=61), LATE_S).startswith("nothing settled")


def test_no_batch_at_all_is_late_too():
    settling = Settling()
    first = replace(FIGURES, batches=(), fills=0)
    assert settling.late(first, 0) == ""
    assert "batch 0 is none" in settling.late(replace(first, fills=1), LATE_S)
