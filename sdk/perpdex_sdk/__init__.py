"""Client of the AI perp DEX for agents."""

from perpdex_sdk.agent import Agent
from perpdex_sdk.errors import (
    AddressRefused,
    AnswerUnknown,
    ChainRefused,
    Closed,
    DepositFailed,
    ExchangeError,
    ExitFailed,
    Insecure,
    KeyFileRefused,
    MessageRefused,
    NoNode,
    NotProven,
    NotSent,
    OutcomeUnknown,
    Refused,
    Unreachable,
)
from perpdex_sdk.orders import OpenRequest
from perpdex_sdk.statuses import FillMoved

__all__ = [
    "AddressRefused",
    "Agent",
    "AnswerUnknown",
    "ChainRefused",
    "Closed",
    "DepositFailed",
    "ExchangeError",
    "ExitFailed",
    "FillMoved",
    "Insecure",
    "KeyFileRefused",
    "MessageRefused",
    "NoNode",
    "NotProven",
    "NotSent",
    "OpenRequest",
    "OutcomeUnknown",
    "Refused",
    "Unreachable",
]
