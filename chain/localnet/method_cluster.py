"""RPC methods about the chain itself: slots, blockhashes, fees, versions."""

from typing import Any, Final

from solders.message import from_bytes_versioned
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chain.localnet.bank import BLOCKHASH_BLOCKS, Bank
from chain.localnet.errors import invalid_params
from chain.localnet.method_accounts import with_context
from chain.localnet.params import Params, binary, blockhash
from chain.localnet.wire import LAMPORTS_PER_SIGNATURE, priority_fee

SLOTS_PER_EPOCH: Final = 432_000


def get_health(bank: Bank, params: Params) -> Any:
    return "ok"


def get_version(bank: Bank, params: Params) -> Any:
    return {"solana-core": "2.2.0", "feature-set": 0, "perpdexLocalnet": True}


def get_genesis_hash(bank: Bank, params: Params) -> Any:
    return str(bank.genesis_hash)


def get_slot(bank: Bank, params: Params) -> Any:
    """Slot and block height are the same number here: no slot is skipped."""
    return params.options(0).slot(bank)


def get_epoch_info(bank: Bank, params: Params) -> Any:
    slot = params.options(0).slot(bank)
    return {
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": slot // SLOTS_PER_EPOCH,
        "slotIndex": slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": None,
    }


def get_latest_blockhash(bank: Bank, params: Params) -> Any:
    slot = params.options(0).slot(bank)
    value = {"blockhash": str(bank.blockhash_at(slot)), "lastValidBlockHeight": slot + BLOCKHASH_BLOCKS}
    return with_context(slot, value)


def is_blockhash_valid(bank: Bank, params: Params) -> Any:
    slot = params.options(1).slot(bank)
    return with_context(slot, bank.blockhash_is_valid(blockhash(params.get(0, str, "blockhash")), slot))


def get_fee_for_message(bank: Bank, params: Params) -> Any:
    """Lamports, or null when the message's blockhash is too old."""
    slot = params.options(1).slot(bank)
    try:
        message = from_bytes_versioned(binary(params.get(0, str, "message"), "base64"))
        signatures = message.header.num_required_signatures
        transaction = VersionedTransaction.populate(message, [Signature.default()] * signatures)
        fee = LAMPORTS_PER_SIGNATURE * signatures + priority_fee(transaction)
    except (ValueError, IndexError) as error:
        raise invalid_params(f"failed to deserialize message: {error}") from error
    return with_context(slot, fee if bank.blockhash_is_valid(message.recent_blockhash, slot) else None)


def get_recent_prioritization_fees(bank: Bank, params: Params) -> Any:
    """Nobody competes for blocks here, so every recent slot asked for nothing."""
    return [{"slot": slot, "prioritizationFee": 0} for slot in range(max(0, bank.slot - 149), bank.slot + 1)]


def roll_back(bank: Bank, params: Params) -> Any:
    """Only here: the fork that begins after a slot has lost. The slot to go back to must not be final."""
    slot = params.unsigned(0, "slot")
    try:
        bank.roll_back(slot)
    except ValueError as error:
        raise invalid_params(str(error)) from error
    return bank.slot


CLUSTER_METHODS: Final = {
    "perpdexRollBack": roll_back,
    "getHealth": get_health,
    "getVersion": get_version,
    "getGenesisHash": get_genesis_hash,
    "getSlot": get_slot,
    "getBlockHeight": get_slot,
    "getEpochInfo": get_epoch_info,
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "getFeeForMessage": get_fee_for_message,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
}
