"""What Temporal keeps of an exception that a step did not expect: its stable code, where it has one, as the failure's type."""

from typing import Final

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter

LEDGER_UNAVAILABLE: Final = "ledger_unavailable"
"""PostgreSQL does not answer, or gave up on what it was asked."""
OURS: Final = frozenset(
    {"activities", "chain", "core", "ledger", "matcher", "oracles", "venues", "workflows"}
)
_NOT_THERE: Final = frozenset({"OperationalError", "InterfaceError", "ConnectionTimeout", "TimeoutError"})
"""By name: clients of Temporal that never ask the database convert failures, too, and load neither library for it."""


class CodedFailures(DefaultFailureConverter):
    """Names failures by the `code` of our exceptions; those without one keep the name of their class."""

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        super().to_failure(exception, payload_converter, failure)
        code = stable_code(exception)
        if code:
            failure.application_failure_info.type = code


class EncodedCodedFailures(CodedFailures):
    """The same with messages and stack traces where a codec encrypts them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def stable_code(error: BaseException) -> str:
    """The code of an exception of ours or of a database that is not there; empty for all others.

    What is a failure already has its type, which whoever raised it chose.
    """
    module = type(error).__module__.partition(".")[0]
    if module in ("sqlalchemy", "psycopg"):
        return LEDGER_UNAVAILABLE if type(error).__name__ in _NOT_THERE else ""
    code = vars(error).get("code", getattr(type(error), "code", ""))
    return str(code) if module in OURS and isinstance(code, str) else ""
