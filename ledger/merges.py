"""The projector's statements that merge the latest state of something into its table."""

from typing import Final

MERGES: Final = {
    "markets": (
        "insert into markets (market, symbol, tick, lot, value_per_tick_lot, status) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (market) do update set symbol = excluded.symbol, tick = excluded.tick, lot = excluded.lot,"
        " value_per_tick_lot = excluded.value_per_tick_lot"
    ),
    "market_statuses": "update markets set status = %s where market = %s",
    "agents": (
        "insert into agents (account, seq, at, owner, name, tier, page, slot, parent, market)"
        " values (%s, %s, %s, %s, %s, 0, -1, -1, 0, 0)"
    ),
    "sub_accounts": (
        "insert into agents (account, seq, at, owner, name, tier, page, slot, parent, market)"
        " select %(account)s, %(seq)s, %(at)s, owner, %(name)s, tier, -1, -1, account, %(market)s"
        " from agents where account = %(parent)s"
    ),
    "tiers": "update agents set tier = %(tier)s where %(account)s in (account, parent)",
    # Who had the slot before has none any more: page -2, and for its statements -2 less the page in place of the slot (`page_of`).
    "slots": (
        "update agents set page = case when account = %(account)s then %(page)s else -2 end,"
        " slot = case when account = %(account)s then %(slot)s else -2 - page end"
        " where account = %(account)s or (page = %(page)s and slot = %(slot)s)"
    ),
    "withdrawals": (
        "insert into withdrawals (withdrawal, seq, at, account, amount, key, status, finished_at, signature)"
        " values (%s, %s, %s, %s, %s, %s, 'reserved', 0, '')"
    ),
    "finished": "update withdrawals set status = %s, finished_at = %s, signature = %s where withdrawal = %s",
    "cuts": (
        "insert into cuts (batch, at, after_seq, seq, fills, fills_through, marks, status,"
        " submitted_at, confirmed_at, final_at, seal)"
        " select %(batch)s, %(at)s, coalesce(max(seq), 0), %(seq)s,"
        " %(fills)s - coalesce(max(fills_through), 0), %(fills)s, %(marks)s, 1, 0, 0, 0, ''"
        " from (select seq, fills_through from cuts order by batch desc limit 1) previous"
    ),
    "advances": (
        "update cuts set status = greatest(status, %(status)s),"
        " submitted_at = case when %(status)s = 2 then %(at)s else submitted_at end,"
        " confirmed_at = case when %(status)s = 3 then %(at)s else confirmed_at end,"
        " final_at = case when %(status)s = 4 then %(at)s else final_at end,"
        " seal = case when %(status)s = 4 then %(seal)s else seal end"
        " where batch = %(batch)s"
    ),
    "index_history": (
        "insert into index_history (market, second, price, confidence) values (%s, %s, %s, %s)"
        " on conflict do nothing"
    ),
    "index_prices": (
        "insert into index_prices (market, seq, at, price, confidence, published, source)"
        " values (%s, %s, %s, %s, %s, %s, %s)"
        " on conflict (market) do update set seq = excluded.seq, at = excluded.at, price = excluded.price,"
        " confidence = excluded.confidence, published = excluded.published, source = excluded.source"
    ),
    "balances": (
        "insert into balances (account, amount) values (%s, %s)"
        " on conflict (account) do update set amount = balances.amount + excluded.amount"
    ),
    "positions": (
        "insert into positions (account, market, size, cost) values (%s, %s, %s, %s)"
        " on conflict (account, market)"
        " do update set size = positions.size + excluded.size, cost = excluded.cost"
    ),
    "liquidations": (
        "insert into liquidations (liquidation, seq, at, account, equity, maintenance, outcome, ended_at)"
        " values (%s, %s, %s, %s, %s, %s, '', 0)"
    ),
    "ended_liquidations": "update liquidations set outcome = %s, ended_at = %s where liquidation = %s",
    "insurance_history": (
        "insert into insurance_history (seq, at, why, liquidation, amount, balance, floor)"
        " select %(seq)s, %(at)s, %(why)s, %(liquidation)s, %(amount)s, coalesce(max(balance), 0) + %(amount)s,"
        " coalesce(%(floor)s, max(floor), 0)"
        " from (select balance, floor from insurance_history order by seq desc limit 1) previous"
    ),
    "streams": (
        "insert into streams (account, head) values (%s, %s)"
        " on conflict (account) do update set head = excluded.head"
    ),
}
"""Table or kind of change to its statement, in the order in which they run: an update may change what the same run inserts."""
