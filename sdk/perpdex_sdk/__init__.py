"""Client of the AI perp DEX for agents."""

from perpdex_sdk.agent import Agent
from perpdex_sdk.errors import (
    AnswerUnknown,
    ChainRefused,
    Closed,
    DepositFailed,
    ExchangeError,
    ExitFailed,
    Insecure,
    MessageRefused,
    NotProven,
    NotSent,
    Refused,
    Unreachable,
)
from perpdex_sdk.orders import OpenRequest
from perpdex_sdk.statuses import FillMoved

__all__ = [
    "Agent",
    "AnswerUnknown",
    "ChainRefused",
    "Closed",
    "DepositFailed",
    "ExchangeError",
    "ExitFailed",
    "FillMoved",
    "Insecure",
    "MessageRefused",
    "NotProven",
    "NotSent",
    "OpenRequest",
    "Refused",
    "Unreachable",
]
