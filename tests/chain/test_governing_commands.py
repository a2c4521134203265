"""The commands of guardian and admin as people run them, and a batch that nobody knows given up."""

import asyncio
import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from chain.limits import DEFAULT_LIMITS, EXIT_DELAY_MIN_S, too_short
from chain.rpc import FINALIZED
from chain.transactions import SignedTransaction
from core.quantities import SECOND
from fault_proxy import Fault, FaultProxy
from matcher.limits import LATE_LEAST


@pytest.fixture
def perpdex(hasty: Any, command: Any) -> Any:
    return functools.partial(command, ESCROW_ADMIN=str(hasty.operator.pubkey))


def key_file(path: Path, key: Keypair) -> str:
    path.touch(mode=0o600)
    path.write_text(key.to_json())
    return f"file:{path}"


async def test_keys_are_replaced_after_the_timelock_and_the_new_guardian_pauses(
    hasty: Any, hasty_admin: Keypair, perpdex: Any, tmp_path: Path
) -> None:
    new, other = Keypair(), Keypair()
    admin, stranger = key_file(tmp_path / "admin.json", hasty_admin), key_file(tmp_path / "other.json", other)
    async with httpx.AsyncClient() as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": [str(other.pubkey()), 10**9]}
        await http.post(hasty.node.url, json=call)
    code, said = await perpdex("escrow", "propose", "operator", str(new.pubkey()), "--admin", stranger)
    assert (code, "the admin is" in said) == (1, True)
    code, said = await perpdex("escrow", "propose", "operator", str(new.pubkey()), "--admin", admin)
    assert (code, str(new.pubkey()) in said, "can be executed from" in said) == (0, True, True), said
    code, said = await perpdex("escrow", "propose", "operator", str(other.pubkey()), "--admin", admin)
    assert (code, "is pending" in said) == (1, True)
    assert (await perpdex("escrow", "cancel", "--admin", admin))[0] == 0
    code, said = await perpdex("escrow", "pending")
    assert (code, "no proposal is pending" in said) == (0, True)
    assert (await perpdex("escrow", "execute", "--payer", stranger))[0] == 1
    several = ("--operator", str(new.pubkey()), "--guardian", str(other.pubkey()))
    assert (await perpdex("escrow", "propose", "keys", *several, "--admin", admin))[0] == 0
    before = await hasty.escrow.view.escrow_state(FINALIZED)

    while (await perpdex("escrow", "execute", "--payer", stranger))[0]:
        await asyncio.sleep(0.2)
    after = await hasty.escrow.view.escrow_state(FINALIZED)
    assert (after.operator, after.guardian, after.proposal) == (new.pubkey(), other.pubkey(), None)
    assert (after.admin, after.settings.limits) == (before.admin, before.settings.limits)

    code, said = await perpdex("escrow", "pause", "--guardian", admin)
    assert (code, "the guardian is" in said) == (1, True)
    for command, paused in (("pause", True), ("pause", True), ("unpause", False)):
        code, said = await perpdex("escrow", command, "--guardian", stranger)
        assert code == 0, said
        assert (await hasty.escrow.view.escrow_state(FINALIZED)).paused == paused


def lamports(world: Any, key: Pubkey) -> int:
    return int(world.node.call("getBalance", str(key), {"commitment": "finalized"})["value"])


async def test_a_pause_that_expires_is_sent_again_at_twice_the_price_and_says_so(
    hasty: Any, hasty_admin: Keypair, perpdex: Any, tmp_path: Path
) -> None:
    guardian = key_file(tmp_path / "guardian.json", hasty_admin)
    before = lamports(hasty, hasty_admin.pubkey())
    async with FaultProxy(hasty.node.url) as proxy:

        async def pause(expired: int, *price: str) -> tuple[int, str]:
            proxy.heal()
            # The chain takes none of them, and then is past every height at which it could have.
            proxy.fail("sendTransaction", Fault.SWALLOW, times=expired)
            for call in ("getEpochInfo", "getBlockHeight"):
                proxy.fail(call, Fault.LIE, times=expired)
            done: tuple[int, str] = await perpdex(
                "escrow", "pause", "--guardian", guardian, *price, SOLANA_RPC_URL=proxy.url
            )
            return done

        code, said = await pause(1)
        assert code == 0, said
        assert sorted(said.splitlines()) == [
            "it expired; it is sent again and offers 200000 micro-lamports per compute unit",
            "settlement is paused",
        ]
        assert (await hasty.escrow.view.escrow_state(FINALIZED)).paused
        assert before - lamports(hasty, hasty_admin.pubkey()) == 5_000 + 20_000 * 200_000 // 1_000_000
        code, said = await pause(1, "--price", "1000000")
        assert (code, "at the most that is offered, 1000000" in said) == (1, True), said


async def test_a_guardian_with_little_sol_pauses_at_the_price_that_it_can_pay(
    hasty: Any, hasty_admin: Keypair, perpdex: Any, tmp_path: Path
) -> None:
    guardian, key = key_file(tmp_path / "guardian.json", hasty_admin), hasty_admin.pubkey()
    rent = hasty.node.call("getMinimumBalanceForRentExemption", 0)
    goes = lamports(hasty, key) - 5_000 - (rent + 6_999)
    to = TransferParams(from_pubkey=key, to_pubkey=Keypair().pubkey(), lamports=goes)
    latest = hasty.node.call("getLatestBlockhash")["value"]
    signed = Transaction.new_signed_with_payer(
        [transfer(to)], key, [hasty_admin], Hash.from_string(latest["blockhash"])
    )

    async def built() -> SignedTransaction:
        return SignedTransaction(bytes(signed), str(signed.signatures[0]), latest["lastValidBlockHeight"])

    await hasty.land(built(), FINALIZED)
    code, said = await perpdex("escrow", "pause", "--guardian", guardian)
    assert (code, "too little SOL for that offer" in said, "offers 0 micro" in said) == (0, True, True), said
    assert lamports(hasty, key) == rent + 1_999
    code, said = await perpdex("escrow", "unpause", "--guardian", guardian)
    assert (code, "InsufficientFundsForRent" in said) == (1, True), said


async def test_limits_and_delays_change_by_name_and_the_rest_stays(
    hasty: Any, hasty_admin: Keypair, perpdex: Any, tmp_path: Path
) -> None:
    admin = key_file(tmp_path / "admin.json", hasty_admin)
    now = (await hasty.escrow.view.escrow_state(FINALIZED)).settings
    for what, given, wanted in (
        ("limits", ("--day-floor", "7"), {"day_floor": 7_000_000}),
        (
            "delays",
            ("--exit-delay", "7200", "--timelock", "172800"),
            {"exit_delay": 7_200, "timelock": 172_800},
        ),
    ):
        code, said = await perpdex("escrow", "propose", what, *given, "--admin", admin)
        assert code == 0, said
        proposal = (await hasty.escrow.view.escrow_state(FINALIZED)).proposal
        assert proposal.settings == replace(now, limits=replace(now.limits, **wanted))
        assert (await perpdex("escrow", "cancel", "--admin", admin))[0] == 0
    code, said = await perpdex("escrow", "propose", "delays", "--exit-delay", "1", "--admin", admin)
    assert (code, "in force already" in said) == (1, True), said
    # What the program takes and nobody should have is said, also of a chain on which it is meant.
    code, said = await perpdex("escrow", "check", OPERATOR_KEY=admin)
    assert (code, "note  the exit delay is 1 s, less than 14400 s" in said) == (0, True), said


def test_delays_leave_time_to_leave() -> None:
    assert too_short(DEFAULT_LIMITS) == []
    one_second_more = replace(DEFAULT_LIMITS, exit_delay=1, timelock=2, limit_delay=1, loss_window=60)
    assert [sentence.rpartition(" less than ")[2] for sentence in too_short(one_second_more)] == [
        "14400 s",
        "14400 s",
        "3600 s",
        "86400 s",
    ]
    # What is no halt of settlement yet must be no more than half of what an owner has to wait for.
    assert EXIT_DELAY_MIN_S * SECOND == 2 * LATE_LEAST
    # A batch that finds everybody still there must find the limits that it was made for.
    sooner = replace(DEFAULT_LIMITS, limit_delay=DEFAULT_LIMITS.exit_delay - 1)
    assert too_short(sooner) == ["lower loss limits take effect after 259199 s, less than 259200 s"]


async def test_a_rotation_is_not_begun_for_a_key_that_has_a_part_or_without_the_escrows_address(
    hasty: Any, command: Any, perpdex: Any
) -> None:
    begin = ("escrow", "rotation", "start", str(hasty.operator.pubkey), "--why", "its year is over")
    code, said = await command(*begin)
    assert (code, "set ESCROW_ADMIN on every machine first" in said) == (1, True), said
    code, said = await perpdex(*begin)
    assert (code, "is the operator already" in said) == (1, True), said
    for place, sentence in (
        ("[1, 2, 3]", "a key's place begins with file:"),
        ("file:nowhere", "is not there"),
        ("file:/dev", "cannot be read (Is a directory)"),
    ):
        code, said = await perpdex("escrow", "pause", "--guardian", place)
        assert (code, sentence in said, "[1, 2, 3]" in said) == (1, True, False), said
        assert "(key_file_refused)" in said
    guardian = ("escrow", "pause", "--guardian", "awskms:alias/guardian")
    code, said = await perpdex(*guardian, AWS_DEFAULT_REGION="eu-central-1", AWS_ENDPOINT_URL_KMS="kms:443")
    assert (code, "(signer_unreachable)" in said, "Traceback" in said) == (1, True, False), said


async def test_no_batch_is_given_up_while_nobody_knows_that_settlement_is_held(
    hasty: Any, hasty_admin: Keypair, perpdex: Any, tmp_path: Path
) -> None:
    await hasty.land(hasty.escrow.build_open_batch(hasty.operator, 1, bytes(32), 1), FINALIZED)
    key_file(tmp_path / "operator.json", hasty_admin)
    key = {"OPERATOR_KEY": f"file:{tmp_path}/operator.json"}
    for command in ("abort", "carry"):
        code, said = await perpdex("settlement", command, **key)
        assert (code, "nothing was done" in said) == (1, True)
    assert (await hasty.escrow.view.escrow_state(FINALIZED)).open_batch == 1
