"""What the insurance fund sells of its own accord: near the mark at first, and further away only once nobody bought nearer."""

from core import events as e
from core.accounts import INSURANCE
from core.quantities import SECOND
from matcher import commands as c


def test_the_fund_sells_what_it_took_near_the_mark_at_first(crash):
    world = crash.world
    assert world.play(c.SellInventory(1)) == []
    assert world.refuse(c.SellInventory(9)) == "market_unknown"
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    crash.mark(590_000)
    world.play(c.Subscribe(crash.maker, (1,)))
    (opened,) = world.play(c.SellInventory(1))
    assert (opened.account, opened.side, opened.size, opened.limit) == (INSURANCE, -1, 20_000, 589_345)
    assert world.play(c.SellInventory(1)) == []
    answer = c.AnswerRequest(crash.maker, opened.request, 589_345, 600_000, 20_000, 1, world.now + SECOND)
    sold = world.play(answer)
    assert (crash.only(sold, e.Filled).fee, crash.only(sold, e.Filled).price) == (0, 589_345)
    assert crash.kinds(sold)[-1] == "RequestClosed"
    assert world.held(INSURANCE)[0] == 80_000


def test_the_fund_sells_further_from_the_mark_only_once_nobody_bought_nearer(crash):
    """A step a minute, whoever asks how often, up to two thirds of maintenance; half of a slice sold brings the next a step back."""
    world = crash.world
    crash.fund_holds()
    world.play(c.Subscribe(crash.maker, (1,)))

    def limit(seconds):
        world.now += seconds * SECOND
        world.index(1, 590_000)
        (opened,) = world.play(c.SellInventory(1))
        return opened

    def in_vain(seconds):
        asked = limit(seconds)
        world.play(c.PassRequest(crash.maker, asked.request))
        crash.at_once()
        return asked.limit

    def sold(seconds, lots):
        asked = limit(seconds)
        bid = c.AnswerRequest(crash.maker, asked.request, asked.limit, 600_000, lots, 1, world.now + SECOND)
        assert crash.only(world.play(bid), e.Filled).size == lots
        crash.at_once()
        return asked.limit

    assert [in_vain(1) for _ in range(3)] == [589_345] * 3
    found = [in_vain(61) for _ in range(8)]
    assert found == [589_345, 588_689, 588_034, 587_378, 586_723, 586_067, 586_067, 586_067]
    # Whoever takes a lot of the twenty thousand changes nothing for the others.
    assert [sold(61, 1), sold(61, 9_999), in_vain(61)] == [586_067] * 3
    # 18,000 of 90,000 are offered: who leaves half of them has what is left nearer to the mark, and who leaves a lot of it, too.
    assert [sold(61, 9_000), sold(1, 16_199), sold(1, 12_960)] == [586_067, 586_723, 587_378]
    assert [in_vain(1) for _ in range(3)] == [588_034] * 3
    # Nobody was asked for ten minutes: what nobody wanted then says nothing now.
    assert in_vain(700) == 589_345


def test_what_the_fund_offers_is_drawn_anew_when_its_auction_closes(crash):
    """A bid that was near the mark when it was asked for is none of the new mark's."""
    world = crash.world
    crash.fund_holds()
    world.play(c.Subscribe(crash.maker, (1,)))

    def bids_at_its_limit(moved):
        world.index(1, 590_000)
        (opened,) = world.play(c.SellInventory(1))
        world.index(1, 590_000 + moved)
        bid = c.AnswerRequest(crash.maker, opened.request, opened.limit, 0, 100, 1, world.now + SECOND)
        return [event.price - opened.limit for event in world.play(bid) if isinstance(event, e.Filled)]

    assert bids_at_its_limit(moved=2_000) == []
    # A mark that fell makes its limit no worse than it was: who was asked knows what it was asked for.
    assert bids_at_its_limit(moved=-200) == [0]


def test_how_far_one_position_came_to_be_offered_says_nothing_of_the_next(crash):
    """A long that was sold at the widest; a minute later the fund takes a short over."""
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    crash.mark(590_000)
    world.play(c.Subscribe(crash.maker, (1,)))

    def offered(lots):
        """How far from the mark, once a bid for so many lots was made there."""
        world.now += 61 * SECOND
        world.index(1, world.state.indexes[1].price)
        (asked,) = world.play(c.SellInventory(1))
        price = (asked.limit, 0) if asked.side < 0 else (0, asked.limit)
        bid = c.AnswerRequest(crash.maker, asked.request, *price, max(lots, 1), 1, world.now + SECOND)
        world.play(bid if lots else c.PassRequest(crash.maker, asked.request))
        crash.at_once()
        return abs(asked.limit - world.state.mark_price(1))

    assert [offered(0) for _ in range(8)][-1] == 3_933
    while world.held(INSURANCE)[0]:
        for _ in range(6):
            furthest = offered(0)
        offered(world.held(INSURANCE)[0])
    assert furthest == 3_933
    short = world.agent(3, 13_000_000_000)
    crash.trade(short, -1, crash.LOTS)
    crash.mark(602_000)
    assert (world.held(INSURANCE)[0], world.held(short)[0]) == (-crash.LOTS, 0)
    assert offered(0) == 668
