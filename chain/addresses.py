"""Where the escrow's accounts are: all of them follow from the program and the admin."""

from typing import Final

from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import get_associated_token_address

TOKEN_PROGRAM: Final[Pubkey] = TOKEN_PROGRAM_ID


class EscrowAddresses:
    def __init__(self, program: Pubkey, admin: Pubkey) -> None:
        self.program_id = program
        self.escrow = self._derive(b"escrow", bytes(admin))
        self.vault = self._derive(b"vault", bytes(self.escrow))
        self._pages: dict[int, Pubkey] = {}

    def page(self, index: int) -> Pubkey:
        """Address of page `index`; kept, because deriving one costs as much as reading a page."""
        if index not in self._pages:
            self._pages[index] = self._derive(b"page", bytes(self.escrow), index.to_bytes(4, "little"))
        return self._pages[index]

    def _derive(self, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(seeds, self.program_id)[0]


def wallet_of(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The owner's associated token account: where its USDC is unless it says otherwise."""
    address: Pubkey = get_associated_token_address(owner, mint)
    return address
