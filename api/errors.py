"""Catalogue of error codes: HTTP status, sentence and whether the same call may succeed later unchanged.

Every error that leaves this process has a code from here, over HTTP as ``{"error": {...}}`` and over the WebSocket as an
`error` event. Codes are stable; sentences may improve.
"""

from typing import Final, NamedTuple

from core.risk_template import SENTENCES
from core.risk_template import Code as VenueCode
from matcher.rejections import RETRYABLE, Code, Rejection


class Entry(NamedTuple):
    """`status` is the HTTP status; over the WebSocket only the code is sent."""

    status: int
    sentence: str
    retryable: bool = False


RULES: Final[dict[Code, tuple[int, str]]] = {
    Code.OVERLOADED: (
        503,
        "The exchange is busier than it can be: new requests and quotes are refused, cancels pass. "
        "The message was not looked at: what became of an earlier copy is not known from this, and is answered when it is sent again.",
    ),
    Code.NO_ROOM: (
        503,
        "The exchange's disk is nearly full: new agents and requests that are not reduce-only are refused, all else passes.",
    ),
    Code.EXPIRED_COMMAND: (409, "The command arrived after its expires_after."),
    Code.ACCOUNT_UNKNOWN: (404, "No agent has that account, or it has no slot on chain yet."),
    Code.MARKET_UNKNOWN: (404, "No market has that symbol."),
    Code.MARKET_IN_USE: (409, "Positions are open in that market: only its limits can be changed."),
    Code.MARKET_SETTLED: (
        409,
        "The market was delisted: its positions are closed, and it never opens again.",
    ),
    Code.MARKET_PAUSED: (409, "The market is paused."),
    Code.MARKET_REDUCE_ONLY: (409, "The market only takes requests that reduce a position."),
    Code.INDEX_UNAVAILABLE: (
        409,
        "An index price is not believed enough for that now; the message names the market and how far it is believed.",
    ),
    Code.INDEX_GOES_BACK: (409, "The market already has a newer index price."),
    Code.BAD_VALUE: (422, "A value is outside its range; the message says which."),
    Code.KEY_CONFLICT: (409, "That client id was used before with another payload."),
    Code.TOO_MANY_REQUESTS_OPEN: (429, "The account has as many open requests as are allowed."),
    Code.TOO_MANY_ANSWERS_KEPT: (
        429,
        "As many answers of the last five minutes as fit are kept for repeats of their ids: wait, or ask less often.",
    ),
    Code.REDUCE_ONLY_WOULD_INCREASE: (409, "Reduce-only: the request is larger than the position."),
    Code.INSUFFICIENT_MARGIN: (409, "The account's equity would not cover the initial requirement."),
    Code.LOSS_LIMIT_REACHED: (
        409,
        "The owner's loss limit on chain lets settlement take too little to back that trade.",
    ),
    Code.SUB_ACCOUNT_ONLY_TRADES: (
        409,
        "A sub-account only trades: deposits, withdrawals, transfers, sessions and sub-accounts are its parent's.",
    ),
    Code.SUB_ACCOUNT_MARKET: (409, "A sub-account trades the market that it was opened for."),
    Code.SUB_ACCOUNT_UNKNOWN: (404, "The session's account has no such sub-account."),
    Code.TRANSFER_TOO_LARGE: (409, "More than the giver's margin leaves free."),
    Code.POSITION_CAP: (409, "What the owner's accounts hold on that side would exceed the market's cap."),
    Code.OPEN_INTEREST_CAP: (409, "The market's open interest would exceed its cap."),
    Code.REQUEST_UNKNOWN: (404, "No such request is open for this account."),
    Code.NOT_ASKED: (403, "This account was not asked for a quote."),
    Code.QUOTE_UNKNOWN: (404, "No such quote stands for that request."),
    Code.QUOTE_EXPIRED: (409, "The quote has expired."),
    Code.QUOTE_OUT_OF_BAND: (
        409,
        "The index moved further than the market's band since the quote was given.",
    ),
    Code.PRICE_OUT_OF_BAND: (409, "The price is further from the index than the market lets anybody trade."),
    Code.QUOTE_BEYOND_LIMIT: (409, "The quote is beyond the request's limit."),
    Code.MAKER_CANNOT_PAY: (409, "The maker's equity would not cover the initial requirement."),
    Code.MAKER_FROZEN: (409, "Maker protection froze this account in the market for a while."),
    Code.BEING_LIQUIDATED: (
        409,
        "The account is being liquidated: it may ask, quote and withdraw again when that has ended.",
    ),
    Code.SLOT_TAKEN: (409, "The account has another slot, or the slot has another account."),
    Code.WITHDRAWAL_TOO_SMALL: (409, "Less than the smallest withdrawal, and not all that the account has."),
    Code.TOO_MANY_WITHDRAWALS_OPEN: (409, "The account has 4 withdrawals that are not closed yet."),
    Code.WITHDRAWAL_TOO_LARGE: (
        409,
        "More than the margin leaves free, or than the chain holds for the account yet.",
    ),
    Code.WITHDRAWALS_GATED: (
        409,
        "An account is below zero: no withdrawal is reserved, and who holds positions transfers nothing; or the operator holds "
        "withdrawals.",
    ),
    Code.LIMITS_WOULD_LIQUIDATE: (
        409,
        "Such margin terms would put accounts below their maintenance requirement; `force` does it.",
    ),
    Code.WITHDRAWAL_UNKNOWN: (404, "No such withdrawal."),
    Code.BATCH_OUT_OF_ORDER: (409, "Batches are cut and advanced one after another."),
    Code.CHAIN_NOT_ACCEPTED: (
        409,
        "What the chain holds cannot be taken over now: the sentence says what stands against it.",
    ),
    Code.BATCH_NOT_RETRIED: (
        409,
        "A batch is taken up anew only while settlement is held and before it is final.",
    ),
    Code.SETTLEMENT_HELD: (409, "No batch is cut until an operator has explained why settlement is held."),
    Code.FUNDING_NOT_DUE: (409, "That hour of funding has not ended."),
    Code.FUNDING_OUT_OF_ORDER: (
        409,
        "Hours of funding are paid one after another: an earlier one is unpaid.",
    ),
    Code.FUNDING_SETTLED: (409, "That hour of funding was settled so long ago that only the ledger has it."),
}
"""HTTP status and sentence of each refusal by the exchange's rules; `RETRYABLE` there says which may be repeated."""

VENUE_STATUSES: Final = {
    VenueCode.UNKNOWN_VENUE: 404,
    VenueCode.VENUE_NOT_ALLOWED: 403,
    VenueCode.SYMBOL_NOT_ALLOWED: 403,
    VenueCode.LEVERAGE_TOO_LOW: 422,
    VenueCode.LEVERAGE_TOO_HIGH: 422,
    VenueCode.NOTIONAL_TOO_SMALL: 422,
    VenueCode.NOTIONAL_TOO_LARGE: 422,
    VenueCode.VENUE_CLOSE_ONLY: 409,
    VenueCode.VENUE_DEAD: 409,
    VenueCode.VAULT_PAUSED: 409,
    VenueCode.PRICE_UNAVAILABLE: 409,
}
"""HTTP status of each refusal by a vault's risk rules."""

EDGE: Final[dict[str, Entry]] = {
    "bad_message": Entry(400, "The message is not JSON, or not one of the documented messages."),
    "validation_failed": Entry(422, "A field is missing, unknown, or not what its description asks for."),
    "not_found": Entry(404, "Nothing is at that address."),
    "method_not_allowed": Entry(405, "That address does not take that method."),
    "body_too_large": Entry(
        413, "The request body is larger than 64 KiB, or an operator's command than 16 MiB."
    ),
    "not_authenticated": Entry(401, "A valid session token is needed."),
    "already_authenticated": Entry(409, "This connection is authenticated already."),
    "session_expired": Entry(401, "The session token has expired: sign a new challenge."),
    "session_revoked": Entry(401, "The account's sessions were revoked: sign a new challenge."),
    "challenge_invalid": Entry(
        401, "The challenge was not issued here for this owner, was used, or has expired."
    ),
    "signature_invalid": Entry(401, "The signature is not the owner's over the challenge text."),
    "operator_only": Entry(403, "Only the operator's token opens this door."),
    "network_only": Entry(403, "Only the network's own processes may do that, not a person's credential."),
    "rate_limited": Entry(
        429,
        "Too much from this account, its owner or this address, or new agents at once; cancels over the WebSocket are not limited. "
        "The message was not looked at: what became of an earlier copy is not known from this, and is answered when it is sent again.",
        True,
    ),
    "too_many_agents": Entry(409, "The owner has as many agents as are allowed."),
    "too_many_connections": Entry(
        429, "The account, or its address, has as many connections as are allowed.", True
    ),
    "resume_invalid": Entry(409, "resume_from is beyond the head of the account's stream."),
    "history_unavailable": Entry(503, "The read side has not caught up, or cannot be reached.", True),
    "clock_stepped": Entry(
        503,
        "The machine's clock stepped and is not followed: set it right, or, when it is right now, as after its host had suspended the "
        "machine, start the exchange again. Until then prices may be refused as older or newer than they are.",
        True,
    ),
    "ledger_ahead": Entry(
        503,
        "The ledger has records that the journal does not have: it belongs to another journal, or this one was cut short. "
        "Its projections must be made anew: stop the exchange and run `perpdex ledger rebuild`. Never empty the database: what vaults "
        "have is in no journal.",
    ),
    "fill_unknown": Entry(404, "No fill has that number."),
    "market_not_settled": Entry(404, "The market was not delisted."),
    "not_batched": Entry(404, "No stored batch has it yet: ask again after the next settlement.", True),
    "liquidation_unknown": Entry(404, "No liquidation has that number."),
    "batch_unknown": Entry(404, "No such batch, or its accounts are no longer in memory."),
    "withdrawals_unavailable": Entry(
        503, "The withdrawal process cannot be reached; what became of the call is unknown.", True
    ),
    "bad_signature": Entry(
        409, "That is no signature of the owner over a message that this withdrawal handed out."
    ),
    "not_awaiting_signature": Entry(409, "The withdrawal does not wait for a signature now."),
    "vault_unknown": Entry(404, "There is no such vault, or the caller may not see it."),
    "vault_exists": Entry(409, "There is a vault of that name already, with other terms."),
    "vault_not_empty": Entry(409, "The vault holds something already: what it held elsewhere comes first."),
    "vault_not_yours": Entry(
        403, "Only the vault's manager, an operator, or whose shares they are may do that."
    ),
    "risk_not_tighter": Entry(
        409,
        "A manager's rules may only narrow what the operator set, and none may bound what is not there; the message says what does.",
    ),
    "nothing_unpriced": Entry(
        409,
        "That position does not wait for a price, or none was named for it, or its venue was last seen with another one: the vault's "
        "alerts say.",
    ),
    "shares_short": Entry(409, "The account has fewer shares that are not asked back already."),
    "too_many_keys": Entry(409, "The vault has as many keys that count as it may have: revoke one."),
    "transfer_unknown": Entry(404, "The vault has no such transfer, or the caller may not see it."),
    "transfer_not_waiting": Entry(409, "It does not wait any more, or is what the vault began with."),
    "too_few_shares": Entry(409, "Less than a hundredth of a share is given back only as all there is."),
    "too_many_transfers": Entry(
        429, "Ten withdrawals that the holder has asked for wait for the vault's next snapshot.", True
    ),
    "vaults_unavailable": Entry(
        503,
        "The vaults' books cannot be reached; what became of the call is unknown, and repeating it is safe.",
        True,
    ),
    "stopping": Entry(
        503, "The exchange stops and has not looked at this: connect again and repeat it.", True
    ),
    "answer_pending": Entry(504, "No answer in time; the same client id returns it later.", True),
    "internal_error": Entry(500, "Something unexpected happened here; it was recorded.", True),
}
"""Errors of the edge itself."""

AGAIN: Final[dict[str, str]] = {
    VenueCode.PRICE_UNAVAILABLE: " That stays so for its client id, so send it later under another one.",
}
"""What to do after a refusal that another order would not meet later."""

VENUES: Final[dict[str, Entry]] = {
    **{
        # What was refused stays so under its client id, or whoever repeats a call whose answer was lost would not know what it does.
        code.value: Entry(VENUE_STATUSES[code], f"{SENTENCES[code]}{AGAIN.get(code, '')}")
        for code in VenueCode
    },
    "no_position": Entry(409, "The vault has no position there that could be closed."),
    "too_many_open_orders": Entry(409, "The vault has too many orders that have not ended."),
    "venue_account_missing": Entry(
        409, "The vault's account at that venue is not set up: the operator's log says what is missing."
    ),
    "client_id_used": Entry(409, "Another order of the vault has that client id."),
    "venue_order_unknown": Entry(404, "The vault has no order of that client id."),
    "ticket_invalid": Entry(422, "The ticket contradicts itself; the message says in what."),
    "orders_unavailable": Entry(
        503,
        "The order process cannot be reached: what became of the call is unknown. Send the same again with the `client_id` of this "
        "error, whoever made it: that is the same order, and is told what became of it.",
        True,
    ),
    "scope_missing": Entry(403, "The key is not for that."),
    "key_revoked": Entry(401, "The key was revoked: the vault's manager makes another."),
    "key_unknown": Entry(404, "The vault has no key of that id."),
}
"""Refusals of orders at outside venues, and of their keys."""

CATALOGUE: Final[dict[str, Entry]] = {
    **{code.value: Entry(status, text, code in RETRYABLE) for code, (status, text) in RULES.items()},
    **EDGE,
    **VENUES,
}


class ApiError(Exception):
    """An expected refusal on its way out; `message` says more than the catalogue's sentence when given. `client_id` is of the order at
    a venue that it is about, also where nobody but this process has made it up."""

    def __init__(self, code: str, message: str = "", client_id: str = "") -> None:
        entry = CATALOGUE[code]
        super().__init__(code)
        self.code = code
        self.client_id = client_id
        self.status = entry.status
        self.message = message or entry.sentence
        self.retryable = entry.retryable


def refused(rejection: Rejection) -> ApiError:
    """A refusal by the rules as an error of the edge."""
    return ApiError(rejection.code.value, rejection.message)
