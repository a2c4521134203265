"""The same running exchange as in the tests of the API: the client is tested against the real thing."""

import sys
from collections.abc import AsyncIterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.localnet.process import LocalnetProcess
from chain.send import Expired, Landed, send_until
from perpdex_sdk.rpc import Rpc

POLL_S = 0.01

_spec = spec_from_file_location("exchange_fixtures", Path(__file__).parents[1] / "api" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_fixtures = module_from_spec(_spec)
sys.modules[_spec.name] = _fixtures
_spec.loader.exec_module(_fixtures)

new_exchange = _fixtures.new_exchange
exchange = _fixtures.exchange


@pytest.fixture
def escrow_limits() -> Limits:
    return DEFAULT_LIMITS


@pytest.fixture
def escrow_finality() -> int:
    """Slots until a block is final."""
    return 2


@pytest.fixture
async def escrow(tmp_path: Path, escrow_limits: Limits, escrow_finality: int) -> AsyncIterator[Any]:
    """An initialized escrow on a quick chain, and its operator."""
    process = LocalnetProcess(tmp_path / "chain", slot_ms=20, finality=escrow_finality)
    process.start()
    client = AsyncClient(process.url)
    operator = KeypairSigner(Keypair())
    rpc = Rpc(process.url)
    await rpc.call("requestAirdrop", str(operator.pubkey), 10**12)
    escrow = EscrowClient(client, PROGRAM_ID, operator.pubkey, USDC_MINT)
    key = operator.pubkey
    others = {"treasury": Pubkey.new_unique(), "insurance": Pubkey.new_unique()}
    fate = None
    # On a quick chain a busy machine may be too slow for one blockhash.
    while not isinstance(fate, Landed):
        built = await escrow.build_initialize(
            operator, operator=key, guardian=key, limits=escrow_limits, **others
        )
        fate = await send_until(client, built, "confirmed", poll_s=POLL_S)
        assert isinstance(fate, Landed | Expired), fate
    yield escrow, operator, process.url
    await rpc.close()
    await client.close()
    process.stop()
