"""`perpdex reconcile` as a person runs it, on chain and ledger: what has come in and is not booked is told, and is no difference."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chain.rpc import FINALIZED

FIRST, THEN, STAKE = 3_000_001, 2, 7_000_000


async def test_it_says_how_many_deposits_wait_and_how_much(
    world: Any, command: Callable[..., Awaitable[tuple[int, str]]], postgres_url: str, tmp_path: Path
) -> None:
    key = tmp_path / "operator.json"
    key.touch(mode=0o600)
    key.write_text(world.operator._sign.__self__.to_json())
    given = {
        "ESCROW_ADMIN": str(world.operator.pubkey),
        "OPERATOR_KEY": f"file:{key}",
        "DATABASE_URL": postgres_url,
    }

    async def told() -> dict[str, Any]:
        code, said = await command("reconcile", "--json", **given)
        assert code == 3, said
        return dict(json.loads(said))

    nothing = await told()
    assert nothing["waiting"] == {"deposits": 0, "deposited": 0, "claims": 0, "claimed": 0}
    assert nothing["sentence"] == "everything agrees"
    build, paid_in = world.escrow.build_deposit, ((16, 2, (FIRST, THEN)), (17, 3, (STAKE,)))
    for account, slot, amounts in paid_in:
        owner = await world.agent(account, sum(amounts))
        for amount in amounts:
            await world.land(build(owner, 0, slot, amount), FINALIZED)
    waits = await told()
    assert waits["waiting"] == {"deposits": 3, "deposited": FIRST + THEN + STAKE, "claims": 0, "claimed": 0}
    assert (waits["agrees"], waits["differences"]) == (True, [])
    assert {(one["account"], one["deposits"]) for one in waits["on_its_way"]} == {
        (16, FIRST + THEN),
        (17, STAKE),
    }
    code, said = await command("reconcile", **given)
    assert code == 3
    sentence = "everything agrees; final on chain and not booked yet: 3 deposits (10000003 micro-USDC)"
    assert waits["sentence"] == sentence
    assert said.startswith(f"{sentence}: 4 accounts at slot ")
