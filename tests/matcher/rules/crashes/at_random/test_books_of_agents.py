"""What agents are told of a crash is all that they need to know what they have."""

import msgspec
import pytest
from msgspec.structs import replace

from api.outbound import Outbound, account_hash
from api.units import Markets
from core.accounts import INSURANCE
from core.concerns import concerns
from perpdex_sdk.answers import Account
from perpdex_sdk.books import Books
from perpdex_sdk.markets import Market
from perpdex_sdk.messages import read


@pytest.mark.parametrize("seed", range(4))
def test_what_agents_are_told_is_enough_to_keep_their_books(new_history, seed):
    history = new_history(seed)
    for number in range(300):
        history.step(number)
    history.finish()
    state, markets = history.world.state, Markets(history.world.state.markets)
    units = {
        listed.symbol: Market(listed.symbol, "", listed.tick, listed.lot, 1, 0, None)
        for listed in state.markets.values()
    }
    nothing = Account(0, "0", "0", "0", "0", "0", "0", [], 0, "", None)
    books = {id: Books(units, replace(nothing, account=id)) for id in state.owned}
    outbound = Outbound(markets, lambda fill: 0)
    for seq, event in enumerate(history.world.journal, 1):
        for account in set(concerns(event)) - {INSURANCE}:
            message = outbound.private(account, books[account].head + 1, seq, event)
            told = read(msgspec.json.encode(message))
            assert told is not None
            books[account].take(told)
    for id, kept in books.items():
        assert kept.hash() == account_hash(state, state.accounts[id])
