"""What is asked of a withdrawal, and where it stands."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class WithdrawalStatus(StrEnum):
    STARTING = "starting"
    AWAITING_SIGNATURE = "awaiting_signature"
    PAYING = "paying"
    RELEASING = "releasing"
    """Nothing more is signed; the amount goes back once nothing that was signed can land any more, and did not."""
    PAID = "paid"
    RELEASED = "released"
    REFUSED = "refused"


CLOSED: Final = frozenset({WithdrawalStatus.PAID, WithdrawalStatus.RELEASED, WithdrawalStatus.REFUSED})


@dataclass
class WithdrawalRequest:
    """What the owner asks for. `amount` is micro-USDC; `key` makes it one withdrawal however often it is sent.

    `destination` is a token account of the owner; empty means the owner's associated token account. `resumed`: an amount was reserved
    under this key before, by a workflow that is gone.
    """

    account: int
    owner: str
    amount: int
    key: str
    destination: str = ""
    resumed: bool = False


@dataclass
class Decision:
    """What a person found out: paid by the transaction `signature`, or not paid at all."""

    paid: bool
    signature: str = ""


@dataclass
class WithdrawalState:
    """Where a withdrawal stands: also its result. `withdrawal` is the engine's number, 0 before it is reserved."""

    request: WithdrawalRequest
    status: WithdrawalStatus = WithdrawalStatus.STARTING
    withdrawal: int = 0
    signature: str = ""
    code: str = ""
    message: str = ""
    sign_before: str = ""
    trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        asked = self.request
        lines = [
            f"**{self.status}**: {asked.amount} micro-USDC of account {asked.account}",
            f"- engine withdrawal: {self.withdrawal or 'none yet'}",
        ]
        if self.status == WithdrawalStatus.AWAITING_SIGNATURE:
            lines.append(f"- released unless the owner signs before {self.sign_before}")
        if self.signature:
            lines.append(f"- transaction: `{self.signature}`")
        if self.code:
            lines.append(f"- {self.code}: {self.message}")
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)
