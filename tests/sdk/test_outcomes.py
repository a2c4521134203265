"""What became of a transaction is known only from nodes that have seen every block it could be in: else it stays unknown."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from perpdex_sdk import ChainRefused, DepositFailed, OutcomeUnknown, Unreachable, rpc

LAST = 1_150
LANDED = {"err": None, "confirmationStatus": "confirmed"}


class Nodes(rpc.Rpc):
    """Nodes behind one address. Each look takes a final height, the slot a status comes from, and the status; the last one stays."""

    def __init__(self, *looks: tuple[Any, int, Any]) -> None:
        super().__init__("http://nowhere")
        self.looks = list(looks)
        self.sent = 0

    async def call(self, method: str, *params: Any) -> Any:
        height, slot, status = self.looks[0]
        if method == "getEpochInfo":
            assert params == ({"commitment": "finalized"},)
            if height is None:
                self._next()
                raise Unreachable("a node that does not answer")
            return {"blockHeight": height, "absoluteSlot": height + 1_000}
        if method == "getSignatureStatuses":
            assert params == (["signature"], {"searchTransactionHistory": True})
            self._next()
            return {"context": {"slot": slot + 1_000}, "value": [status]}
        assert method == "sendTransaction"
        self.sent += 1
        return "signature"

    def _next(self) -> None:
        if len(self.looks) > 1:
            del self.looks[0]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "POLL", 0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(rpc, "PATIENCE", 0.05)


async def test_a_node_that_lags_behind_another_does_not_make_it_expired(
    impatient: Callable[[], None],
) -> None:
    nodes = Nodes((1_100, 1_100, None), (1_151, 1_146, None), (1_151, 1_146, None), (1_151, 1_155, LANDED))
    await nodes.send_until_confirmed(b"t", "signature", LAST)
    assert nodes.sent == 1
    impatient()
    with pytest.raises(OutcomeUnknown) as unknown:
        await Nodes((1_100, 1_100, None), (1_151, 1_146, None)).send_until_confirmed(b"t", "signature", LAST)
    assert (unknown.value.signature, unknown.value.last_height) == ("signature", LAST)


async def test_two_looks_past_the_last_block_find_nothing_and_then_it_is_expired(
    impatient: Callable[[], None],
) -> None:
    past = (1_151, 1_151, None)
    with pytest.raises(DepositFailed, match="expired"):
        await Nodes(past).send_until_confirmed(b"t", "signature", LAST)
    assert not await Nodes(past).landed("signature", LAST)
    assert await Nodes(past, (1_151, 1_151, LANDED)).landed("signature", LAST)
    # A height that is not past it leaves a chance, however far ahead the newest slot is.
    impatient()
    with pytest.raises(OutcomeUnknown):
        await Nodes((1_150, 1_300, None)).landed("signature", LAST)


async def test_who_cannot_be_reached_says_nothing(impatient: Callable[[], None]) -> None:
    gone = (None, 0, None)
    assert await Nodes(gone, gone, (1_160, 1_160, LANDED)).landed("signature", LAST)
    impatient()
    with pytest.raises(OutcomeUnknown):
        await Nodes(gone).landed("signature", LAST)


async def test_only_a_confirmed_failure_is_one() -> None:
    failed = {"err": {"InstructionError": [0, "Custom"]}, "confirmationStatus": "processed"}
    assert await Nodes((1_100, 1_100, failed), (1_101, 1_101, LANDED)).landed("signature", LAST)
    with pytest.raises(DepositFailed, match="the chain refused it"):
        await Nodes((1_100, 1_100, {**failed, "confirmationStatus": "confirmed"})).landed("signature", LAST)


BEFORE = {
    "getEpochInfo": {"blockHeight": 1_100, "absoluteSlot": 2_100},
    "getSignatureStatuses": {"context": {"slot": 2_100}, "value": [None]},
}


@pytest.mark.parametrize(
    "answer",
    [
        {"message": "Too Many Requests"},
        {"error": "Too Many Requests"},
        {"result": None},
        {"result": {"context": {"slot": 2_100}, "value": []}},
        [],
        None,
    ],
)
@pytest.mark.parametrize("asked_then", BEFORE)
async def test_what_is_no_answer_of_a_node_leaves_what_was_sent_unknown(
    asked_then: str, answer: Any, impatient: Callable[[], None]
) -> None:
    sent: list[str] = []

    async def node(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["method"] == "sendTransaction":
            sent.append(asked["params"][0])
        if asked["method"] not in BEFORE or (sent and asked["method"] == asked_then):
            return web.json_response(answer, status=429)
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": BEFORE[asked["method"]]})

    app = web.Application()
    app.router.add_post("/", node)
    async with TestServer(app) as server:
        gateway = rpc.Rpc(str(server.make_url("/")))
        try:
            impatient()
            with pytest.raises(OutcomeUnknown) as unknown:
                await gateway.send_until_confirmed(b"t", "signature", LAST)
            assert (unknown.value.signature, unknown.value.last_height, len(sent)) == ("signature", LAST, 1)
            with pytest.raises(Unreachable):
                await gateway.latest_blockhash()
        finally:
            await gateway.close()


class Refusing(Nodes):
    """Each transaction is answered with an error, whatever becomes of it."""

    def __init__(self, code: int, *looks: tuple[Any, int, Any], found: str = "") -> None:
        super().__init__(*looks)
        self.code, self.found = code, found

    async def call(self, method: str, *params: Any) -> Any:
        answer = await super().call(method, *params)
        if method == "sendTransaction":
            raise ChainRefused("sendTransaction: no money", self.code, self.found)
        return answer


@pytest.mark.parametrize("code", rpc.NOT_SENT)
async def test_what_a_node_finds_before_it_hands_a_transaction_on_has_moved_nothing(code: int) -> None:
    with pytest.raises(DepositFailed, match="no money"):
        await Refusing(code, (1_100, 1_100, None)).send_until_confirmed(b"t", "signature", LAST)


@pytest.mark.parametrize(
    ("code", "found"),
    [(-32603, ""), (-32005, ""), (0, ""), *((-32002, found) for found in sorted(rpc.SAYS_NOTHING))],
)
async def test_any_other_refusal_may_come_after_it_was_handed_on(code: int, found: str) -> None:
    looks = (1_100, 1_100, None), (1_101, 1_101, None), (1_102, 1_102, LANDED)
    node = Refusing(code, *looks, found=found)
    await node.send_until_confirmed(b"t", "signature", LAST)
    assert node.sent == 2
