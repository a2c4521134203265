"""When a difference between the sides counts: the same one, in enough readings in a row, since the last release by an operator."""

from activities.standing import READS, Standing


def read(standing: Standing, times: int, accounts: tuple[int, ...] = (16,), anyhow: bool = False) -> bool:
    for _ in range(times):
        standing.differs(accounts, anyhow)
    return standing.counts


def test_a_difference_counts_once_it_has_stood_in_enough_readings():
    standing = Standing()
    assert not read(standing, READS - 1)
    assert read(standing, 1)


def test_other_accounts_each_time_are_no_difference_but_totals_are():
    standing = Standing()
    for account in range(3 * READS):
        standing.differs((account,), anyhow=False)
    assert not standing.counts
    assert read(standing, READS, (), anyhow=True)


def test_only_the_accounts_that_differ_in_all_readings_stand():
    standing = Standing()
    read(standing, READS - 1, (16, 17))
    assert read(standing, 1, (17, 18))


def test_what_was_read_before_an_operator_let_settlement_go_on_counts_for_nothing():
    standing = Standing()
    standing.hear("slot 0/2 differs")
    assert read(standing, READS)
    standing.hear("")
    assert not standing.counts
    assert not read(standing, READS - 1)
    assert read(standing, 1)


def test_who_holds_settlement_meanwhile_explains_nothing():
    standing = Standing()
    read(standing, READS - 1)
    standing.hear("")
    standing.hear("slot 0/2 differs")
    standing.hear("slot 0/2 differs")
    assert read(standing, 1)
