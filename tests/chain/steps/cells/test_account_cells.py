"""Withdrawals, slots, pages and keys: every step that sends a transaction through every fault. It is done once."""

from crash_faults import LIES, Faults


class TestAccounts(Faults):
    STEPS = {  # noqa: RUF012
        step: step
        for step in (
            "pay",
            "watch_unbound: open",
            "watch_unbound: reuse",
            "watch_unbound: add a page",
            "execute_proposal",
        )
    }
    # What is said of signatures and heights is judged before anybody knows which slot it is about.
    FEW_LIES = {"watch_unbound: reuse": LIES[-1:]}  # noqa: RUF012
