"""What a listing at the operator's door does not say."""

import msgspec
import pytest

from api.routes.operator import COMMAND_SCHEMAS, read_command
from core.market import DEFAULT_MARKETS, Market

GIVEN = msgspec.to_builtins(DEFAULT_MARKETS[0])
PLACE = Market.__struct_fields__.index("thin_only_reduces")


@pytest.mark.parametrize(
    ("fields", "only_reduces"),
    [
        (GIVEN[:12], True),
        (GIVEN[:PLACE], True),
        ([*GIVEN[:PLACE], True], True),
        ([*GIVEN[:PLACE], False], False),
        (GIVEN, False),
    ],
)
def test_a_market_listed_at_the_door_only_reduces_while_thin_unless_it_is_said_not_to(fields, only_reduces):
    command = read_command(msgspec.json.encode({"type": "ListMarket", "why": "wanted", "market": fields}))
    assert command.market.thin_only_reduces is only_reduces
    assert command.market.id == GIVEN[0]
    assert COMMAND_SCHEMAS[1]["Market"]["prefixItems"][PLACE]["default"] is True


def test_a_record_that_does_not_say_it_means_what_it_meant():
    assert msgspec.convert(GIVEN[:PLACE], Market).thin_only_reduces is False
