"""Free SOL and free test USDC, handed out by ordinary signed transactions, so that history and balances stay whole."""

from itertools import count

from solders import system_program
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from spl.token import instructions as token
from spl.token.constants import MINT_LEN, TOKEN_PROGRAM_ID

from chain.localnet.bank import Bank, Refusal
from chain.localnet.errors import RpcError, describe, invalid_params
from chain.localnet.genesis import AIRDROP_LAMPORTS_MAX, FAUCET, MINT, USDC_DECIMALS, USDC_MINT

_MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


class Faucet:
    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._calls = count()
        if bank.machine.account(USDC_MINT) is None:
            self._create_mint()

    def airdrop(self, to: Pubkey, lamports: int) -> str:
        """Send lamports; the signature of the transaction that did."""
        if not 0 < lamports <= AIRDROP_LAMPORTS_MAX:
            raise invalid_params(f"an airdrop is 1 to {AIRDROP_LAMPORTS_MAX} lamports")
        params = system_program.TransferParams(from_pubkey=FAUCET.pubkey(), to_pubkey=to, lamports=lamports)
        return self._send([system_program.transfer(params)])

    def mint_usdc(self, owner: Pubkey, amount: int) -> str:
        """Mint micro-USDC to the owner's associated token account, making it when missing."""
        if not 0 < amount < 1 << 63:
            raise invalid_params("an amount of test USDC is 1 to 2^63 - 1 micro-units")
        account = token.get_associated_token_address(owner, USDC_MINT)
        return self._send(
            [
                token.create_idempotent_associated_token_account(FAUCET.pubkey(), owner, USDC_MINT),
                token.mint_to(
                    token.MintToParams(TOKEN_PROGRAM_ID, USDC_MINT, account, FAUCET.pubkey(), amount)
                ),
            ]
        )

    def _create_mint(self) -> None:
        create = system_program.create_account(
            system_program.CreateAccountParams(
                from_pubkey=FAUCET.pubkey(),
                to_pubkey=USDC_MINT,
                lamports=self._bank.machine.rent_exempt(MINT_LEN),
                space=MINT_LEN,
                owner=TOKEN_PROGRAM_ID,
            )
        )
        initialize = token.initialize_mint(
            token.InitializeMintParams(USDC_DECIMALS, TOKEN_PROGRAM_ID, USDC_MINT, FAUCET.pubkey())
        )
        self._send([create, initialize], MINT)

    def _send(self, instructions: list[Instruction], *others: Keypair) -> str:
        # The memo counts up: two equal airdrops in one slot are two transactions, not one sent twice.
        memo = Instruction(_MEMO, f"faucet {next(self._calls)}".encode(), [])
        blockhash = self._bank.blockhash_at(self._bank.slot)
        message = Message.new_with_blockhash([*instructions, memo], FAUCET.pubkey(), blockhash)
        outcome = self._bank.land(self._bank.parse(bytes(Transaction([FAUCET, *others], message, blockhash))))
        error = outcome.error
        if isinstance(outcome, Refusal) or error is not None:
            raise RpcError(-32603, f"the faucet could not send: {describe(error)}", {"err": error})
        return outcome.signature
