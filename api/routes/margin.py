"""What trades would do to an account's margin."""

from fastapi import APIRouter

from api import views_margin
from api.access import SESSION_ERRORS, Caller, EdgeGiven, errors
from api.errors import ApiError
from api.schemas_margin import MarginPreviewAnswer, MarginPreviewBody
from api.units import SIDES
from matcher.limits import PRICE_MAX, SIZE_MAX
from matcher.preview import preview_trade

router = APIRouter(prefix="/api/v1/margin", tags=["margin"])


@router.post(
    "/preview",
    responses=errors(
        *SESSION_ERRORS, "market_unknown", "bad_value", "index_unavailable", "sub_account_market"
    ),
)
async def preview(body: MarginPreviewBody, caller: Caller, edge: EdgeGiven) -> MarginPreviewAnswer:
    """The account before and after a hypothetical trade, and whether it could be made now."""
    state, units = edge.engine.state, edge.hub.markets.named(body.market)
    size, price = units.lots(body.size), units.ticks(body.price)
    if not 0 < size <= SIZE_MAX or not 0 < price <= PRICE_MAX:
        raise ApiError("bad_value", "Size and price must be positive and within the market's range.")
    if units.id not in state.marks:
        raise ApiError("index_unavailable")
    account = state.accounts[caller]
    if account.market not in (0, units.id):
        raise ApiError("sub_account_market")
    before = state.margin_of(account)
    backing = views_margin.Backing.of(state, account)
    previewed = preview_trade(state, account, units.id, SIDES[body.side] * size, price, edge.clock())
    answer = views_margin.preview(state, units, before, backing, previewed)
    await edge.hub.on_disk()
    return answer
