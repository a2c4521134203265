"""One wrong account in an instruction that is right otherwise, for each place of each instruction."""

import random

from fuzz_chain import LAYOUTS, Chain, key, wallet
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN


def wrong_account(
    chain: Chain, rng: random.Random, name: str, role: str, accounts: dict[str, Pubkey], people: list[Pubkey]
) -> Pubkey:
    """Something else for `role` of the instruction `name`, which nobody may take for the right account."""
    right, escrow = accounts[role], accounts["escrow"]
    stranger = rng.choice([one for one in people if one not in accounts.values()])
    fake = key(f"not {role}")
    made = name in ("initialize", "create_page")
    pools: dict[str, list[Pubkey]] = {
        "vault": [wallet(stranger), accounts["source"], escrow],
        "target": [wallet(stranger), accounts["vault"], escrow],
        "source": [wallet(stranger), accounts["vault"], accounts["mint"]],
        "mint": [SYSTEM, wallet(stranger), fake],
        "token_program": [SYSTEM, chain.program, fake],
        "system_program": [TOKEN, chain.program, fake],
        "instructions": [SYSTEM, escrow, fake],
    }
    if role == "escrow":
        # The same bytes elsewhere are another escrow of the same staff: it may be told things, but has nothing to do with our pages.
        alone = "page" not in {name for name, _, _ in LAYOUTS[name]}
        return rng.choice(
            [accounts["page"], accounts["vault"], _copy(chain, right, TOKEN if alone else chain.program)]
        )
    if role == "page" and not made:
        other = chain.data(right)[:8] + bytes(fake) + chain.data(right)[40:]
        return rng.choice([escrow, SYSTEM, _copy(chain, right, TOKEN), chain.put(fake, other, chain.program)])
    if role == "page":
        return rng.choice([escrow, fake, chain.page(77)])
    return rng.choice(pools.get(role, [stranger]))


def _copy(chain: Chain, address: Pubkey, owner: Pubkey) -> Pubkey:
    return chain.put(key(f"copy of {address} for {owner}"), chain.data(address), owner)
