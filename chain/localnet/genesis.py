"""What every local chain starts with: a faucet, a test USDC mint, the escrow program. Their keys are public on purpose."""

import hashlib
from pathlib import Path
from typing import Final

from solders.keypair import Keypair
from solders.pubkey import Pubkey


def _public_keypair(name: str) -> Keypair:
    return Keypair.from_seed(hashlib.sha256(f"perpdex localnet: {name}".encode()).digest())


FAUCET: Final = _public_keypair("faucet")
"""Pays for airdrops and may mint test USDC."""
MINT: Final = _public_keypair("test usdc mint")
USDC_MINT: Final = MINT.pubkey()
USDC_DECIMALS: Final = 6
PROGRAM_ID: Final[Pubkey] = _public_keypair("escrow program").pubkey()
PROGRAM_FILE: Final = Path(__file__).resolve().parents[2] / "contracts" / "solana" / "escrow.so"
FAUCET_LAMPORTS: Final = 10**17
AIRDROP_LAMPORTS_MAX: Final = 10**13
"""Most lamports of one airdrop (10,000 SOL)."""
