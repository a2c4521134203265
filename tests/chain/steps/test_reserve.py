"""What the engine refuses to reserve is refused for good: a withdrawal that waits for a better moment would be one of any number."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.withdrawals import Reservation
from api.errors import CATALOGUE


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("being_liquidated", True),
        ("withdrawals_gated", True),
        ("index_unavailable", True),
        ("withdrawal_too_large", True),
        ("no_room", True),
        ("validation_failed", True),
        ("overloaded", False),
        ("stopping", False),
        ("not_authenticated", False),
        ("operator_only", False),
        ("internal_error", False),
    ],
)
async def test_only_what_the_engine_says_of_the_reservation_is_final(
    withdrawals: Any, door_server: Any, code: str, final: bool
) -> None:
    """An earlier try may have been journaled and its answer lost: then a door that does not open says nothing about it."""
    entry = CATALOGUE[code]
    error = {"code": code, "message": entry.sentence, "retryable": entry.retryable}
    door_server.refusal = entry.status, {"error": error}
    with pytest.raises(ApplicationError) as refused:
        await withdrawals.reserve(Reservation(16, 5_000_000, "w1"))
    assert (refused.value.type, refused.value.non_retryable) == (code, final)
    # All that wait come back more and more rarely, as the workflow says.
    assert refused.value.next_retry_delay is None
