"""How much may be sent in one call: a stranger little, an operator a command about every slot that there is."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from solders.pubkey import Pubkey

from api.body_limit import BODY_MAX, COMMAND_MAX
from core.custody_events import AcceptedSlot, ChainAccepted
from core.quantities import MONEY_MAX
from matcher import commands as c
from matcher.records import encode

COMMANDS = "/api/v1/operator/commands"
OPERATOR = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
SLOTS_PER_PAGE = 105
WHY = "the key was stolen"


def of_length(length: int) -> bytes:
    return msgspec.json.encode(c.AcceptChain((), 0, 0, 0, why=WHY)).ljust(length)


async def in_parts(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


async def code_of(exchange: Any, path: str, content: Any, headers: dict[str, str]) -> str:
    answer = await exchange.http.post(path, content=content, headers=headers)
    return str(answer.json()["error"]["code"])


async def test_an_operator_takes_over_ten_thousand_slots_with_one_command(exchange: Any) -> None:
    engine = exchange.engine
    for number in range(10_000):
        engine.submit(c.RegisterAgent(str(Pubkey(number.to_bytes(32))), "agent"), None)
    robbed = sorted(engine.state.owned)
    for place, account in enumerate(robbed, 2):
        engine.submit(c.BindSlot(account, *divmod(place, SLOTS_PER_PAGE)), None)
    engine.submit(c.HoldSettlement(True, who="ada", why="a theft"), None)
    command = c.AcceptChain(tuple(c.HeldSlot(one, 0, 0, -7) for one in robbed), 0, 0, 0, why=WHY)
    content = msgspec.json.encode(command)
    assert len(content) > 8 * BODY_MAX

    answer = await exchange.http.post(COMMANDS, content=content, headers=OPERATOR)

    assert answer.status_code == 200, answer.text[:300]
    (accepted,) = answer.json()["events"]
    assert (accepted["type"], len(accepted["slots"])) == ("ChainAccepted", 10_000)
    assert {engine.state.accounts[one].unapplied for one in robbed} == {-7}


async def test_an_operators_command_is_read_up_to_its_limit(exchange: Any) -> None:
    whole, more = of_length(COMMAND_MAX), of_length(COMMAND_MAX + 1)
    assert await code_of(exchange, COMMANDS, whole, OPERATOR) == "chain_not_accepted"
    assert await code_of(exchange, COMMANDS, in_parts(whole), OPERATOR) == "chain_not_accepted"
    assert await code_of(exchange, COMMANDS, more, OPERATOR) == "body_too_large"
    assert await code_of(exchange, COMMANDS, in_parts(more), OPERATOR) == "body_too_large"


async def test_nobody_else_may_send_so_much_and_an_operator_nowhere_else(exchange: Any) -> None:
    agent = await exchange.agent()
    whole, more = of_length(BODY_MAX), of_length(BODY_MAX + 1)
    wrong = {"Authorization": f"{OPERATOR['Authorization']}0"}
    for path, headers, code, of_parts in (
        # The operator's door asks who it is before it reads anything.
        (COMMANDS, {}, "not_authenticated", "not_authenticated"),
        (COMMANDS, wrong, "operator_only", "operator_only"),
        (COMMANDS, agent.headers, "operator_only", "operator_only"),
        ("/api/v1/auth/challenge", OPERATOR, "validation_failed", "body_too_large"),
    ):
        assert await code_of(exchange, path, whole, headers) == code
        assert await code_of(exchange, path, more, headers) == "body_too_large"
        assert await code_of(exchange, path, in_parts(more), headers) == of_parts


def test_the_largest_command_fits_its_limit_and_its_record_the_journal() -> None:
    slots, most = 100_000, (1 << 62) - 1
    held = c.HeldSlot(slots, most, most, -most, most)
    assert slots * len(msgspec.json.encode(held) + b",") + 2_000 < COMMAND_MAX
    change = (AcceptedSlot(slots, -most, most, most),) * slots
    accepted = ChainAccepted(most, change, MONEY_MAX, MONEY_MAX, -MONEY_MAX, (), "ada", WHY)
    assert len(encode(most, 0, accepted)) < COMMAND_MAX
