"""What can go wrong for an agent, as far as it can be expected."""

from typing import Literal

NotProvenCode = Literal[
    "proof_false",
    "proof_of_another",
    "not_final",
    "seal_not_found",
    "escrow_wrong",
    "slot_wrong",
    "key_wrong",
    "kit_altered",
    "file_damaged",
    "file_newer",
    "file_of_another",
    "no_node",
]
"""`docs/reference/proofs.md` says what each means, and whether the same may succeed later."""
ExitFailedCode = Literal[
    "slot_empty",
    "another_amount_asked",
    "asked_before",
    "block_given_up",
    "expired",
    "short_of_sol",
    "program_refused",
    "transaction_refused",
]
"""`docs/operating/exits.md` says what each means."""

UNSEEN = frozenset({"overloaded", "rate_limited"})
"""Refusals that say that a message was not looked at, and nothing of copies that were sent before."""


class ExchangeError(Exception):
    """Base of this package's errors.

    `client_id` is of the order at a venue that the failed call of a `Desk` was about: with it the same call is the same order. Empty
    of all others.
    """

    client_id = ""

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said} (client id {self.client_id})" if self.client_id else said


class Refused(ExchangeError):
    """The exchange said no and nothing changed. `code` is stable; `retryable` says the same may succeed later."""

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable


class AnswerUnknown(ExchangeError):
    """No answer in time: it may have taken effect. Repeat it with the same `key` within five minutes to learn what became of it.

    Its text says why the exchange refuses the connection, if it does; that refusal is then its cause.
    """

    def __init__(self, key: str, why: str = "") -> None:
        super().__init__(f"no answer to {key} in time{why}")
        self.key = key


class NotSent(ExchangeError):
    """A quote or an answer found no connection, or lost it before the exchange said anything: it is not sent later.

    Or the connection is new, and the exchange has not accepted the market's maker protection again yet.

    Its price is of before the break. With `cancel_on_disconnect` what reached the exchange was pulled by the break.
    """


class Unreachable(ExchangeError):
    """The exchange or the chain could not be reached, or answered with something that is not its protocol."""


class ChainRefused(ExchangeError):
    """The Solana cluster answered a call with an error. `code` is JSON-RPC's, 0 where there was none; `found` names what a trial of
    a transaction came to, empty where the answer does not say; `number` is the error of the program that refused it, 0 for none;
    `short`: who was to pay for it has too little SOL.
    """

    def __init__(
        self, message: str, code: int = 0, found: str = "", number: int = 0, short: bool = False
    ) -> None:
        super().__init__(message)
        self.code, self.found, self.number, self.short = code, found, number, short


class DepositFailed(ExchangeError):
    """The chain refused the deposit, or let it expire; nothing moved.

    `number` is the error of the program that refused it, 0 for none; `expired`: nobody refused it; `short`: the owner has too little
    SOL for it.
    """

    def __init__(self, message: str, number: int = 0, expired: bool = False, short: bool = False) -> None:
        super().__init__(message)
        self.number, self.expired, self.short = number, expired, short


class OutcomeUnknown(ExchangeError):
    """A transaction was sent, and the chain did not tell in time what became of it: it may have landed, or may yet.

    Ask with `Agent.landed` before doing the same once more. `signature` names it, it can land up to block height `last_height`.
    """

    def __init__(self, signature: str, last_height: int) -> None:
        super().__init__(f"it is not known whether {signature} landed: ask before doing it again")
        self.signature = signature
        self.last_height = last_height


class AddressRefused(ExchangeError):
    """The exchange's addresses are not those that this agent deals with, or none at all: it was told, signed and sent nothing.

    `code` is stable: `address_changed`, `address_invalid`, `escrow_not_on_chain`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class NoNode(ExchangeError):
    """There is no Solana node to send by: the caller gave none, and the exchange names none. Nothing was signed. `code` is stable."""

    code = "no_node"


class KeyFileRefused(ExchangeError):
    """A key file that must not be used; its text says why and what to do."""


class ExitFailed(ExchangeError):
    """The chain refused what the owner of a slot wanted to do alone, or let it expire; nothing moved.

    `number`, `expired` and `short` as of `DepositFailed`. `code` is stable; where none is given, it is what those say.
    """

    def __init__(
        self,
        message: str,
        number: int = 0,
        expired: bool = False,
        short: bool = False,
        code: ExitFailedCode | None = None,
    ) -> None:
        super().__init__(message)
        self.number, self.expired, self.short = number, expired, short
        self.code: ExitFailedCode = code or _exit_code(number, expired, short)


def _exit_code(number: int, expired: bool, short: bool) -> ExitFailedCode:
    if expired:
        return "expired"
    if short:
        return "short_of_sol"
    return "program_refused" if number else "transaction_refused"


class Insecure(ExchangeError):
    """The exchange was reached with TLS, and its WebSocket would be without: the session's token was not sent there."""


class NotProven(ExchangeError):
    """A proof that proves nothing, a root that the chain does not hold (yet), or a file, key or slot that does not belong to it.

    `code` is stable. With `not_final` and `seal_not_found` the same may succeed later, or with another node.
    """

    def __init__(self, code: NotProvenCode, message: str) -> None:
        super().__init__(message)
        self.code: NotProvenCode = code


class MessageRefused(ExchangeError):
    """The exchange asked for a signature over something else than what this agent wanted to do. Nothing was signed."""


class Closed(ExchangeError):
    """This agent was closed, or its connection ended by an error that nobody expected: connect anew.

    What was waiting for an answer may have taken effect.
    """
