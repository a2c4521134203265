"""The limits that a cluster enforces and the virtual machine does not, each at its edge, on a chain in this process."""

from collections.abc import Callable, Sequence

import pytest
from solders import system_program
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import Transaction, VersionedTransaction

from chain.localnet.bank import BLOCKHASH_BLOCKS, Bank, Refusal
from chain.localnet.errors import INVALID_PARAMS, SIGNATURE_FAILURE, RpcError
from chain.localnet.faucet import Faucet
from chain.localnet.history import Landed
from chain.localnet.wire import WireTransaction

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SOMEBODY = Pubkey.from_bytes(b"somebody".ljust(32))
SOL = 10**9


def transfer(payer: Keypair, lamports: int, to: Pubkey | None = None) -> Instruction:
    params = system_program.TransferParams(
        from_pubkey=payer.pubkey(), to_pubkey=to or SOMEBODY, lamports=lamports
    )
    return system_program.transfer(params)


def signed(
    bank: Bank, payer: Keypair, instructions: Sequence[Instruction], blockhash: Hash | None = None
) -> bytes:
    blockhash = blockhash or bank.blockhash_at(bank.slot)
    message = Message.new_with_blockhash(list(instructions), payer.pubkey(), blockhash)
    return bytes(Transaction([payer], message, blockhash))


def land(bank: Bank, raw: bytes) -> Landed | Refusal:
    return bank.land(bank.parse(raw))


def succeeds(bank: Bank, raw: bytes) -> None:
    outcome = land(bank, raw)
    assert isinstance(outcome, Landed)
    assert outcome.error is None


@pytest.fixture
def payer(bank: Bank) -> Keypair:
    payer = Keypair()
    Faucet(bank).airdrop(payer.pubkey(), 10 * SOL)
    return payer


def lamports(bank: Bank, key: Pubkey) -> int:
    account = bank.account(key, bank.slot)
    return account.lamports if account else 0


def test_1232_bytes_land_and_1233_are_no_transaction(bank: Bank, payer: Keypair) -> None:
    def of_size(size: int) -> bytes:
        def memo(length: int) -> bytes:
            return signed(
                bank, payer, [set_compute_unit_limit(1_400_000), Instruction(MEMO, b"m" * length, [])]
            )

        # The length of a memo above 127 bytes takes two bytes.
        return memo(size - len(memo(0)) - 1)

    assert len(of_size(1232)) == 1232
    succeeds(bank, of_size(1232))
    assert len(of_size(1233)) == 1233
    with pytest.raises(RpcError, match="too large: 1233 bytes") as refused:
        bank.parse(of_size(1233))
    assert refused.value.code == INVALID_PARAMS


def test_64_accounts_are_locked_and_65_are_too_many(bank: Bank, payer: Keypair) -> None:
    # So many do not fit a transaction but through a lookup table; what counts is the number of accounts, not of bytes.
    assert _through_table(bank, payer, 64).refusal is None
    assert _through_table(bank, payer, 65).refusal == "TooManyAccountLocks"


def _through_table(bank: Bank, payer: Keypair, locks: int) -> WireTransaction:
    """A transaction that locks so many accounts: payer, memo program, and the rest from a table made for it."""
    addresses = [Keypair().pubkey() for _ in range(locks - 2)]
    bank.advance()
    made = system_program.create_lookup_table(
        system_program.CreateLookupTableParams(
            authority_address=payer.pubkey(), payer_address=payer.pubkey(), recent_slot=bank.slot - 1
        )
    )
    succeeds(bank, signed(bank, payer, [made[0]]))
    for start in range(0, len(addresses), 20):
        grow = system_program.extend_lookup_table(
            system_program.ExtendLookupTableParams(
                lookup_table_address=made[1],
                authority_address=payer.pubkey(),
                payer_address=payer.pubkey(),
                new_addresses=addresses[start : start + 20],
            )
        )
        succeeds(bank, signed(bank, payer, [grow]))
    bank.advance()
    instruction = Instruction(MEMO, b"m", [])
    touch = Instruction(MEMO, b"n", [AccountMeta(key, False, False) for key in addresses])
    table = AddressLookupTableAccount(made[1], addresses)
    message = MessageV0.try_compile(
        payer.pubkey(), [instruction, touch], [table], bank.blockhash_at(bank.slot)
    )
    return bank.parse(bytes(VersionedTransaction(message, [payer])))


def test_a_transaction_lands_through_a_lookup_table(bank: Bank, payer: Keypair) -> None:
    landed = bank.land(_through_table(bank, payer, 20))
    # The memo program wants every account it is given to sign: it ran, and saw them.
    assert isinstance(landed, Landed)
    assert landed.error == {"InstructionError": [1, "MissingRequiredSignature"]}


def test_an_account_named_twice_is_refused(bank: Bank, payer: Keypair) -> None:
    keys = [payer.pubkey(), MEMO, MEMO]
    message = Message.new_with_compiled_instructions(
        1, 0, 2, keys, bank.blockhash_at(bank.slot), [CompiledInstruction(1, b"m", b"")]
    )
    raw = bytes(Transaction([payer], message, bank.blockhash_at(bank.slot)))
    assert land(bank, raw) == Refusal("AccountLoadedTwice")


def test_a_blockhash_lives_150_blocks(bank: Bank, payer: Keypair) -> None:
    blockhash = bank.blockhash_at(bank.slot)
    for _ in range(BLOCKHASH_BLOCKS):
        bank.advance()
    succeeds(bank, signed(bank, payer, [transfer(payer, SOL)], blockhash))
    bank.advance()
    late = signed(bank, payer, [transfer(payer, SOL + 1)], blockhash)
    assert land(bank, late) == Refusal("BlockhashNotFound")


def test_a_blockhash_of_another_chain_is_unknown(bank: Bank, payer: Keypair) -> None:
    raw = signed(bank, payer, [transfer(payer, SOL)], Hash.hash(b"elsewhere"))
    assert land(bank, raw) == Refusal("BlockhashNotFound")


def test_the_same_bytes_land_once(bank: Bank, payer: Keypair) -> None:
    raw = signed(bank, payer, [transfer(payer, SOL)])
    succeeds(bank, raw)
    after = lamports(bank, payer.pubkey())
    assert land(bank, raw) == Refusal("AlreadyProcessed")
    assert lamports(bank, payer.pubkey()) == after


def test_the_same_bytes_are_known_after_a_restart(open_bank: Callable[[], Bank]) -> None:
    first, payer = open_bank(), Keypair()
    Faucet(first).airdrop(payer.pubkey(), 10 * SOL)
    landed = signed(first, payer, [transfer(payer, SOL)])
    waiting = signed(first, payer, [transfer(payer, SOL + 1)])
    succeeds(first, landed)
    first.close()
    second = open_bank()
    assert land(second, landed) == Refusal("AlreadyProcessed")
    succeeds(second, waiting)
    second.close()


@pytest.mark.parametrize("index", [0, 3, 38, 255])
def test_a_program_index_out_of_bounds_never_reaches_the_machine(
    bank: Bank, payer: Keypair, index: int
) -> None:
    keys = [payer.pubkey(), MEMO, Pubkey.new_unique()]
    message = Message.new_with_compiled_instructions(
        1, 0, 2, keys, bank.blockhash_at(bank.slot), [CompiledInstruction(index, b"m", b"")]
    )
    raw = bytes(Transaction.populate(message, [payer.sign_message(bytes(message))]))
    with pytest.raises(RpcError) as refused:
        bank.parse(raw)
    assert refused.value.code == INVALID_PARAMS


def test_an_account_index_out_of_bounds_is_no_transaction(bank: Bank, payer: Keypair) -> None:
    message = Message.new_with_compiled_instructions(
        1, 0, 1, [payer.pubkey(), MEMO], bank.blockhash_at(bank.slot), [CompiledInstruction(1, b"m", b"\x02")]
    )
    raw = bytes(Transaction.populate(message, [payer.sign_message(bytes(message))]))
    with pytest.raises(RpcError) as refused:
        bank.parse(raw)
    assert refused.value.code == INVALID_PARAMS


def test_a_wrong_signature_is_refused(bank: Bank, payer: Keypair) -> None:
    raw = bytearray(signed(bank, payer, [transfer(payer, SOL)]))
    raw[10] ^= 1
    with pytest.raises(RpcError) as refused:
        bank.parse(bytes(raw))
    assert refused.value.code == SIGNATURE_FAILURE


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x01" * 100, bytes(300), b"\xff" * 1232])
def test_bytes_that_are_no_transaction_are_refused(bank: Bank, raw: bytes) -> None:
    with pytest.raises(RpcError) as refused:
        bank.parse(raw)
    assert refused.value.code == INVALID_PARAMS


def test_fees_are_charged_to_the_lamport(bank: Bank, payer: Keypair) -> None:
    before = lamports(bank, payer.pubkey())
    budget = [set_compute_unit_limit(1_000), set_compute_unit_price(1_000_001)]
    succeeds(bank, signed(bank, payer, [*budget, transfer(payer, SOL)]))
    assert before - lamports(bank, payer.pubkey()) == SOL + 5_000 + 1_001


def test_a_failure_pays_its_fee_and_does_nothing_else(bank: Bank, payer: Keypair) -> None:
    before = lamports(bank, payer.pubkey())
    budget = [set_compute_unit_limit(1_000), set_compute_unit_price(1_000_000)]
    landed = land(bank, signed(bank, payer, [*budget, transfer(payer, 10**18)]))
    assert isinstance(landed, Landed)
    assert landed.error == {"InstructionError": [2, {"Custom": 1}]}
    assert before - lamports(bank, payer.pubkey()) == 5_000 + 1_000


def test_who_cannot_pay_the_fee_does_not_land(bank: Bank, payer: Keypair) -> None:
    assert land(bank, signed(bank, Keypair(), [])).error == "AccountNotFound"
    poor = Keypair()
    Faucet(bank).airdrop(poor.pubkey(), 1_000_000)
    dear = [set_compute_unit_limit(1_000_000), set_compute_unit_price(995_001), transfer(poor, 1)]
    refused = land(bank, signed(bank, poor, dear))
    assert isinstance(refused, Refusal)
    assert refused.error == "InsufficientFundsForFee"
    assert lamports(bank, poor.pubkey()) == 1_000_000


def test_a_compute_limit_holds(bank: Bank, payer: Keypair) -> None:
    landed = land(bank, signed(bank, payer, [set_compute_unit_limit(200), Instruction(MEMO, b"x" * 200, [])]))
    assert landed.error == {"InstructionError": [1, "ProgramFailedToComplete"]} or "Computational" in str(
        landed.error
    )


def test_reads_see_the_state_of_their_commitment(bank: Bank, payer: Keypair) -> None:
    to = Keypair().pubkey()

    def seen() -> list[int]:
        found = [bank.account(to, bank.slot_at(level)) for level in ("processed", "confirmed", "finalized")]
        return [account.lamports if account else 0 for account in found]

    land(bank, signed(bank, payer, [transfer(payer, SOL, to)]))
    land(bank, signed(bank, payer, [transfer(payer, 2 * SOL, to)]))
    assert seen() == [3 * SOL, 0, 0]
    bank.advance()
    land(bank, signed(bank, payer, [transfer(payer, SOL, to)]))
    assert seen() == [4 * SOL, 3 * SOL, 0]
    for expected in ([4 * SOL, 4 * SOL, 0], [4 * SOL, 4 * SOL, 0], [4 * SOL, 4 * SOL, 3 * SOL]):
        bank.advance()
        assert seen() == expected
    bank.advance()
    assert seen() == [4 * SOL] * 3


def test_an_account_that_was_emptied_is_gone(bank: Bank, payer: Keypair) -> None:
    short = Keypair()
    Faucet(bank).airdrop(short.pubkey(), SOL)
    land(bank, signed(bank, short, [transfer(short, SOL - 5_000, payer.pubkey())]))
    assert bank.account(short.pubkey(), bank.slot) is None
    assert [key for key, _ in bank.history.accounts() if key == short.pubkey()] == []
