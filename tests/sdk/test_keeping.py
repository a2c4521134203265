"""What an agent keeps for the day when the operator is gone, checked against the real program: proofs in files, and the exit kit."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from solders.keypair import Keypair
from solders.pubkey import Pubkey

import perpdex_sdk
from chain.keys import KeypairSigner
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from core import merkle
from core.merkle import account_leaf, account_path, batch_root, fill_leaf, fill_path, root
from perpdex_sdk import NotProven, exit_kit, verify
from perpdex_sdk.answers import Escrow, Place, Proof, Step
from perpdex_sdk.exit_kit import ExitKit
from perpdex_sdk.proofs import ProvenBalance, ProvenFill

FILLS = [fill_leaf(n, 1_000 + n, 1, 16, 17, -1, 5, 600_000, 30, (-4, 4)) for n in range(1, 6)]
ACCOUNTS = [account_leaf(1, account, 90, 90) for account in (1, 16)]
ROOT = batch_root(root(FILLS), root(ACCOUNTS))


def proof(leaf: bytes, path: list[tuple[bool, bytes]]) -> Proof:
    return Proof(1, leaf.hex(), [Step(left, sibling.hex()) for left, sibling in path], ROOT.hex())


FILL = proof(FILLS[2], fill_path(merkle.proof(FILLS, 2), root(ACCOUNTS)))
BALANCE = proof(ACCOUNTS[1], account_path(merkle.proof(ACCOUNTS, 1), root(FILLS)))


@pytest.fixture
async def settled(escrow: Any) -> Any:
    """The address of an escrow with one sealed batch, and the kit of the owner whose account 16 it settled to 90."""
    client, operator, url = escrow
    owner = KeypairSigner(Keypair())

    async def land(building: Any) -> None:
        assert isinstance(await send_until(client.client, await building, FINALIZED, poll_s=0.01), Landed)

    async with httpx.AsyncClient() as http:
        for method, much in (("requestAirdrop", 10**12), ("perpdexMintTestUsdc", 100)):
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [str(owner.pubkey), much]}
            assert "error" not in (await http.post(url, json=call)).json()
    await land(client.build_open_account(operator, 0, owner.pubkey, 16))
    await land(client.build_deposit(owner, 0, 2, 100))
    await land(client.build_open_batch(operator, 1, ROOT, 1))
    await land(client.build_settle_page(operator, 1, 0, [(0, 10), (2, -10)]))
    await land(client.build_seal_batch(operator, 1))
    at = client.addresses
    where = Escrow(str(PROGRAM_ID), str(at.escrow), str(at.vault), str(client.mint), url)
    return exit_kit.kit_of(owner.pubkey, 16, where, Place(0, 2), BALANCE)


async def check(*arguments: str) -> tuple[int, str, str]:
    """The verifier as a stranger runs it, who has the SDK and nothing of the exchange."""
    code = "\n".join(
        (
            "import sys",
            "from perpdex_sdk.verify import main",
            "try:",
            "    main()",
            "finally:",
            "    assert not {'api', 'core', 'chain', 'ledger', 'matcher'} & set(sys.modules)",
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(Path(perpdex_sdk.__file__).parents[1])},
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), errors.decode()


async def test_a_stranger_checks_a_proof_with_the_file_and_a_node(settled: ExitKit, tmp_path: Path) -> None:
    url, there = settled.escrow.rpc_url, settled.escrow.escrow
    fill, balance, forged = tmp_path / "fill.json", tmp_path / "balance.json", tmp_path / "forged.json"
    verify.save(fill, FILL, settled.escrow)
    verify.save(balance, BALANCE, settled.escrow)
    verify.save(forged, replace(BALANCE, leaf=account_leaf(1, 16, 900, 900).hex()), settled.escrow)
    code, out, errors = await check(str(fill), "--rpc", url, "--escrow", there)
    assert (code, errors) == (0, "")
    told = msgspec.json.decode(out)
    assert (told["proven"], told["fill"], told["price"], told["escrow"]) == ("ProvenFill", 3, 600_000, there)
    code, out, errors = await check(str(balance), "--rpc", url)
    assert (code, msgspec.json.decode(out)["equity"]) == (0, 90)
    assert "compare the escrow's address" in errors
    assert (await check(str(forged), "--rpc", url))[0] == 1
    assert (await check(str(fill), "--rpc", url, "--escrow", settled.owner))[0] == 1
    assert (await check(str(fill), "--rpc", "http://127.0.0.1:9"))[0] == 2
    assert (await check(str(tmp_path / "none.json"), "--rpc", url))[0] == 2


async def test_a_file_is_what_was_saved(settled: ExitKit, tmp_path: Path) -> None:
    path, url = tmp_path / "fill.json", settled.escrow.rpc_url
    verify.save(path, FILL, settled.escrow)
    assert await verify.verified(verify.load(path), url) == ProvenFill(
        ROOT.hex(), 3, 1_003, 1, 16, 17, -1, 5, 600_000, 30, -4, 4
    )
    other = replace(verify.load(path), proof=replace(BALANCE, batch=2))
    with pytest.raises(NotProven, match="of batch 1"):
        await verify.verified(other, url)
    for wrong in ("", "{}", '{"format": 2}', path.read_text().replace('"format": 1', '"format": 2')):
        path.write_text(wrong)
        with pytest.raises(NotProven):
            verify.load(path)


async def test_the_exit_kit_finds_the_money_and_proves_it_without_the_exchange(
    settled: ExitKit, tmp_path: Path
) -> None:
    path = tmp_path / "kept" / "exit.json"
    exit_kit.save(path, settled)
    assert path.stat().st_mode & 0o777 == 0o600
    kit = exit_kit.load(path)
    assert kit == settled
    there = await exit_kit.on_chain(kit, kit.escrow.rpc_url)
    assert (there.balance, there.last_batch) == (90, 1)
    assert await exit_kit.proven(kit, kit.escrow.rpc_url) == ProvenBalance(1, ROOT.hex(), 16, 90, 90)
    for wrong in (
        replace(kit, account=17),
        replace(kit, owner=str(Keypair().pubkey())),
        replace(kit, place=Place(0, 109)),
        replace(kit, place=Place(7, 2)),
    ):
        with pytest.raises(NotProven):
            await exit_kit.on_chain(wrong, wrong.escrow.rpc_url)


def test_a_kit_is_replaced_by_newer_ones_only_and_never_by_anothers(tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    keys = [Pubkey(bytes([number] * 32)) for number in range(1, 6)]
    where = Escrow(*map(str, keys[:4]), "url")
    kit = exit_kit.kit_of(keys[4], 16, where, Place(0, 2), replace(BALANCE, batch=5))
    exit_kit.save(path, replace(kit, proof=None))
    exit_kit.save(path, kit)
    for older in (replace(kit, proof=replace(BALANCE, batch=4)), replace(kit, proof=None)):
        exit_kit.save(path, older)
        assert exit_kit.load(path) == kit
    with pytest.raises(NotProven, match=f"account 16 of {keys[4]}"):
        exit_kit.save(path, replace(kit, account=17))
    newer = replace(kit, proof=replace(BALANCE, batch=6))
    exit_kit.save(path, newer)
    assert exit_kit.load(path) == newer
    assert [one.name for one in tmp_path.iterdir()] == ["exit.json"]
