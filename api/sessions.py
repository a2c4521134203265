"""Who is calling: challenges that an owner signs with its Solana key, and the session tokens that follow.

Challenges carry their own proof (an HMAC), so asking for one costs no memory; only used ones are remembered, until they expire.
That memory ends with the process, and so does the key of the proofs: no challenge outlives the knowledge of whether it was used.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import base58
import jwt
from solders.pubkey import Pubkey
from solders.signature import Signature

from api.errors import ApiError
from core.quantities import SECOND

CHALLENGE_LIFE: Final = 300
"""Seconds."""
SESSION_LIFE: Final = 24 * 3_600
"""Seconds."""
SECRET_BYTES_MIN: Final = 32
AUDIENCE: Final = "agents"
QUANT_AUDIENCE: Final = "quant"
DAY: Final = 24 * 3_600
TITLE: Final = "Sign in to the agent exchange. This signs no transaction and moves no funds."
EXCHANGE: Final = "AI perp DEX"


class Challenge(NamedTuple):
    """`expires` is in seconds since the epoch."""

    text: str
    expires: int


class Session(NamedTuple):
    """A verified token. `expires_at` is in seconds since the epoch; `generation` is the account's when it was issued."""

    account: int
    generation: int
    expires_at: int


class QuantKey(NamedTuple):
    """A verified key of a vault. It ends with its account's `generation`; `id` is where its calls are counted, `name` whose it is."""

    id: str
    account: int
    generation: int
    vault: str
    scopes: tuple[str, ...]
    name: str
    expires_at: int


class Sessions:
    """Issues and verifies, with one secret of at least 32 bytes; `clock` gives nanoseconds. `operators` are tokens by the names under
    which the audit trail has what was done with them."""

    def __init__(self, secret: bytes, operators: Mapping[str, str], clock: Callable[[], int]) -> None:
        if min(map(len, (secret, *operators.values()))) < SECRET_BYTES_MIN:
            raise ValueError(
                f"the session secret and every operator's token need at least {SECRET_BYTES_MIN} bytes"
            )
        # Two keys from one secret: a challenge's proof can never be taken for a token's.
        self._token_key = hashlib.sha256(b"token" + secret).digest()
        self._challenge_key = hashlib.sha256(b"challenge" + secrets.token_bytes(32) + secret).digest()
        self._operators = {name: token.encode() for name, token in operators.items()}
        self._clock = clock
        self._used: dict[str, int] = {}
        """Proofs of redeemed challenges and when these expire, in the order in which they were redeemed."""

    def challenge(self, owner: str, escrow: str) -> Challenge:
        """A text for `owner` to sign, good for the exchange whose money is in `escrow` and for no other.

        Raises `ApiError` bad_value when `owner` is no Solana key.
        """
        public_key(owner)
        expires = self._now() + CHALLENGE_LIFE
        text = (
            f"{TITLE}\nowner: {owner}\nexpires: {expires}\nexchange: {EXCHANGE}\nescrow: {escrow}"
            f"\nnonce: {secrets.token_hex(16)}"
        )
        return Challenge(f"{text}\nproof: {self._proof(text)}", expires)

    def redeem(self, owner: str, challenge: str, signature: str) -> None:
        """Accept a signed challenge, once. Raises `ApiError`."""
        text, mark, proof = challenge.rpartition("\nproof: ")
        lines = text.split("\n")
        genuine = mark and hmac.compare_digest(proof.encode(), self._proof(text).encode())
        if not genuine or lines[1] != f"owner: {owner}":
            raise ApiError("challenge_invalid")
        now = self._now()
        expires = int(lines[2].removeprefix("expires: "))
        if expires <= now or proof in self._used:
            raise ApiError("challenge_invalid")
        if not _signed(owner, challenge, signature):
            raise ApiError("signature_invalid")
        self._forget(now)
        self._used[proof] = expires

    def _forget(self, now: int) -> None:
        """Forget expired ones, a few at a time and oldest first: one redeemed late keeps later ones for at most a challenge's life."""
        for used, until in list(islice(self._used.items(), 2)):
            if until > now:
                break
            del self._used[used]

    def give_back(self, challenge: str) -> None:
        """Let a redeemed challenge be redeemed again, when what it was for was put off."""
        self._used.pop(challenge.rpartition("\nproof: ")[2], None)

    def issue(self, account: int, generation: int) -> tuple[str, int]:
        """A token for `account` at its present generation, and when it expires, in seconds since the epoch."""
        expires = self._now() + SESSION_LIFE
        claims = {"sub": str(account), "gen": generation, "aud": AUDIENCE, "exp": expires}
        return jwt.encode(claims, self._token_key, algorithm="HS256"), expires

    def verify(self, token: str) -> Session:
        """Raises `ApiError` not_authenticated or session_expired. Whether it was revoked since, the exchange knows."""
        claims = self._claims(token, AUDIENCE, [])
        return Session(int(claims["sub"]), int(claims["gen"]), claims["exp"])

    def issue_key(
        self, account: int, generation: int, vault: str, scopes: tuple[str, ...], name: str, days: int
    ) -> tuple[str, QuantKey]:
        """A key of `vault` that `account` answers for, good for so many days."""
        expires = self._now() + days * DAY
        key = QuantKey(secrets.token_hex(8), account, generation, vault, scopes, name, expires)
        claims = {
            "sub": str(account),
            "gen": generation,
            "aud": QUANT_AUDIENCE,
            "exp": expires,
            "jti": key.id,
        }
        claims |= {"vault": vault, "scopes": list(scopes), "name": name}
        return jwt.encode(claims, self._token_key, algorithm="HS256"), key

    def verify_key(self, token: str) -> QuantKey:
        """Raises `ApiError` not_authenticated or session_expired. Whether it was revoked since, the exchange knows."""
        claims = self._claims(token, QUANT_AUDIENCE, ["jti", "vault", "scopes", "name"])
        return QuantKey(
            claims["jti"],
            int(claims["sub"]),
            int(claims["gen"]),
            claims["vault"],
            tuple(claims["scopes"]),
            claims["name"],
            claims["exp"],
        )

    def _claims(self, token: str, audience: str, more: list[str]) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._token_key,
                algorithms=["HS256"],
                audience=audience,
                options={"require": ["sub", "gen", "aud", "exp", *more], "verify_exp": False},
            )
        except (jwt.InvalidTokenError, ValueError):
            raise ApiError("not_authenticated") from None
        if claims["exp"] <= self._now():
            raise ApiError("session_expired")
        return claims

    def verify_operator(self, token: str) -> str:
        """The name of the credential. Raises `ApiError` operator_only."""
        name = self._operator_with(token.encode())
        if name is None:
            raise ApiError("operator_only")
        return name

    def is_operator(self, authorization: bytes) -> bool:
        """Whether an `Authorization` header carries an operator's token."""
        scheme, _, token = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and self._operator_with(token.strip()) is not None

    def _operator_with(self, token: bytes) -> str | None:
        # All are compared, so that how long it takes says nothing.
        names = [name for name, known in self._operators.items() if hmac.compare_digest(token, known)]
        return names[0] if names else None

    def _proof(self, text: str) -> str:
        return hmac.new(self._challenge_key, text.encode(), hashlib.sha256).hexdigest()

    def _now(self) -> int:
        return self._clock() // SECOND


def public_key(owner: str) -> Pubkey:
    """Raises `ApiError` bad_value when `owner` is no base58 key of 32 bytes."""
    try:
        return Pubkey.from_string(owner)
    except ValueError:
        raise ApiError("bad_value", "owner: not a Solana public key in base58.") from None


def _signed(owner: str, text: str, signature: str) -> bool:
    try:
        signed = Signature.from_bytes(base58.b58decode(signature))
    except ValueError:
        return False
    return signed.verify(public_key(owner), text.encode())
