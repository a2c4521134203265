"""What `perpdex escrow` prints: keys, limits and totals of an escrow, and what the operator pays."""

import time

from chain.budget import BatchCost, rent
from chain.building import UNITS
from chain.layout import ESCROW_BYTES, PAGE_BYTES, TOKEN_ACCOUNT_BYTES, EscrowState
from chain.limits import Limits, Settings
from chain.transactions import LAMPORTS_PER_SIGNATURE, Budget
from cli.cluster_checks import SOL, usdc

Rows = list[tuple[object, ...]]


def settings_rows(settings: Settings) -> Rows:
    return [
        ("admin", settings.admin),
        ("operator", settings.operator),
        ("guardian", settings.guardian),
        *limits_rows(settings.limits),
    ]


def limits_rows(limits: Limits) -> Rows:
    return [
        ("floor an hour", usdc(limits.hour_floor)),
        ("floor a day", usdc(limits.day_floor)),
        ("share an hour", f"{limits.hour_share} millionths"),
        ("share a day", f"{limits.day_share} millionths"),
        ("exit delay", f"{limits.exit_delay} s"),
        ("timelock", f"{limits.timelock} s"),
        ("loss window", f"{limits.loss_window} s"),
        ("loss limit delay", f"{limits.limit_delay} s"),
    ]


def changed_rows(old: Settings, new: Settings) -> Rows:
    """Name, value and other value of each setting in which the two differ."""
    both = zip(settings_rows(old), settings_rows(new), strict=True)
    return [(name, was, will) for (name, was), (_, will) in both if was != will]


def totals_rows(state: EscrowState) -> Rows:
    return [
        ("deposits", usdc(state.deposits)),
        ("withdrawals", usdc(state.withdrawals)),
        ("exits", usdc(state.exits)),
        ("clearing", usdc(state.clearing)),
        ("sealed batch", state.sealed_batch),
        ("open batch", state.open_batch or "none"),
        ("pages", state.pages),
        ("settlement", "paused" if state.paused else "goes on"),
    ]


def fee_rows(batch: BatchCost, interval: int, price: int, rent_per_byte: int) -> Rows:
    withdrawal = 2 * LAMPORTS_PER_SIGNATURE + Budget(UNITS["withdraw"], price).lamports
    opened = LAMPORTS_PER_SIGNATURE + Budget(UNITS["open_account"], price).lamports
    escrow, vault, page = (
        rent(size, rent_per_byte) for size in (ESCROW_BYTES, TOKEN_ACCOUNT_BYTES, PAGE_BYTES)
    )
    paid = {
        "once: rent of escrow and vault, kept for ever": escrow + vault,
        f"once: rent of {batch.pages} pages, back when they close": batch.pages * page,
        "each account that is opened": opened,
        "each withdrawal": withdrawal,
        f"each batch of {batch.pages} pages, every slot moves": batch.lamports,
        f"a day, such a batch every {interval} s": batch.a_day(interval),
    }
    return [(what, f"{lamports:,}", f"{lamports / SOL:.6f}") for what, lamports in paid.items()]


def utc(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(second))
