"""Bodies about isolated sub-accounts and the transfers between them and their parent."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas import Answer, Body, Decimals, Key

AccountNumber = Annotated[int, Field(ge=1, le=(1 << 62) - 1)]


class SubAccountBody(Body):
    market: Annotated[str, StringConstraints(min_length=1, max_length=32)] = Field(
        description="The only market that it will trade; an account has one for each at most.",
        examples=["BTC-PERP"],
    )


class SubAccountOpenedAnswer(Answer):
    account: int = Field(description="What `subaccount` names it by.")
    parent: int
    market: str
    name: str = Field(description="How makers' statistics show it.")
    repeated: bool = Field(description="Whether it was there before.")


class TransferBody(Body):
    """Between the session's account and one of its sub-accounts, either way."""

    giver: AccountNumber = Field(alias="from")
    receiver: AccountNumber = Field(alias="to")
    amount: Decimals = Field(description="USDC.", examples=["25.5"])
    key: Key = Field(description="Idempotency key, kept for a day: the same again moves nothing more.")


class TransferAnswer(Answer):
    model_config = ConfigDict(frozen=True, validate_by_name=True, serialize_by_alias=True)

    giver: int = Field(alias="from")
    receiver: int = Field(alias="to")
    amount: str
    key: str
    repeated: bool = Field(description="Whether this is the answer that the key had got before.")
