"""How far from the mark the exchange sells what an owner must close to leave."""

from core.quantities import SECOND
from matcher import commands as c

USDC = 1_000_000
DELAY = 3_600 * SECOND


def test_it_is_offered_near_the_mark_at_first_and_furthest_only_when_the_request_is_about_to_mature(world):
    agent, other, maker = world.agent(1, 10_000 * USDC), world.agent(2), world.agent(3)
    world.quotes(other, [], [(600_000, 80_000)])
    world.request(agent, "open", 1, 80_000, 600_000)
    world.play(c.RequestExit(agent, 2_000 * USDC, (world.now + DELAY) // SECOND))
    world.play(c.Subscribe(maker, (1,)))
    world.pass_time(DELAY // 2 - SECOND)
    # A batch lands, so that the request matures late: there is time to sell.
    world.index(1, 600_000)
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.pass_time(SECOND)
    begins, matures = world.now, world.state.exit_due()
    # An hour less a minute after the request, halved from when the chain was last up to date.
    assert (matures - begins) // SECOND == 869
    away = []
    for _ in range(12):
        world.index(1, 600_000)
        (opened,) = world.play(c.ReduceForExit(agent, 0))
        away.append(600_000 - opened.limit)
        world.play(c.PassRequest(maker, opened.request))
        world.pass_time((matures - begins) // 12 + 1)
    # Sixths of two thirds of the maintenance fraction of 1 %, a tick nearer for what is rounded.
    assert away == [666, 666, 1_333, 1_333, 1_999, 1_999, 2_666, 2_666, 3_333, 3_333, 3_999, 3_999]
    assert world.state.matured == {agent}
