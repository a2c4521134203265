"""Why data from outside was not believed: one stable code per reason, raised as one typed error."""

from enum import StrEnum


class Reason(StrEnum):
    """Stable codes of `Refused`."""

    TRUNCATED = "truncated"
    """The bytes end before what they announce."""
    WRONG_ENCODING = "wrong_encoding"
    """Not the text encoding or the JSON shape that was asked for."""
    TOO_MANY = "too_many"
    """More parts than an answer to what was asked can have."""
    WRONG_MAGIC = "wrong_magic"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_EMITTER = "unknown_emitter"
    """No trusted signer set speaks for the one who sent this."""
    UNKNOWN_SIGNER_SET = "unknown_signer_set"
    SIGNATURE_ORDER = "signature_order"
    """Signer numbers repeat, go down, or name nobody: each signer counts once."""
    NO_QUORUM = "no_quorum"
    WRONG_SIGNATURE = "wrong_signature"
    WRONG_PAYLOAD = "wrong_payload"
    """Signed well, but not the message expected here."""
    WRONG_PROOF = "wrong_proof"
    """The message is not a leaf of the signed tree."""
    OUT_OF_RANGE = "out_of_range"
    """A field holds a value that no price has."""
    WRONG_OWNER = "wrong_owner"
    WRONG_ACCOUNT = "wrong_account"
    """No account, or an account of another kind."""
    WRONG_FEED = "wrong_feed"
    NOT_FULLY_VERIFIED = "not_fully_verified"
    """Posted on chain with fewer signatures than the quorum."""
    NOT_TRADING = "not_trading"
    ROUND_INCOMPLETE = "round_incomplete"
    CARRIED_OVER = "carried_over"
    """A round that repeats an older one's answer."""
    WENT_BACK = "went_back"
    CONTRADICTS = "contradicts"
    """Another answer to what was answered before."""


class Refused(Exception):
    """Data that must not be used. `reason` is the stable code, the text says what was found."""

    def __init__(self, reason: Reason, found: str) -> None:
        super().__init__(f"{reason}: {found}")
        self.reason = reason
        self.found = found
