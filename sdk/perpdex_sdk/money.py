"""What an agent does with its money: deposits, withdrawals, transfers, proofs of what was settled, and the way out kept at hand."""

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from solders.keypair import Keypair

from perpdex_sdk import verify
from perpdex_sdk.answers import Escrow, FillStatus, Session, Transfer, Withdrawal
from perpdex_sdk.books import Books
from perpdex_sdk.conversation import Conversation
from perpdex_sdk.custody import Custody
from perpdex_sdk.errors import Closed, OutcomeUnknown
from perpdex_sdk.exit_kit import kit_of
from perpdex_sdk.funds import own_place, send_deposit, signed_withdrawal
from perpdex_sdk.keeper import Keeper, kit_path
from perpdex_sdk.loss_limit import bound_losses
from perpdex_sdk.proofs import ProvenBalance, ProvenFill, proven_balance, proven_fill
from perpdex_sdk.rest import Rest
from perpdex_sdk.rpc import Rpc
from perpdex_sdk.signed_numbers import SignedNumbers
from perpdex_sdk.statuses import Statuses
from perpdex_sdk.trading import text

log = logging.getLogger("perpdex_sdk")

WITHDRAWAL_PATIENCE = 1800.0
"""Longer than the owner may take to sign, and a payment to become final; also than the twenty minutes after which the exchange takes
up a withdrawal that nobody works on, so that its message is still signed."""


class Money:
    """Part of an `Agent`. Amounts are USDC, decimal strings or `Decimal`s, never floats.

    `rpc_url` is the Solana node to use, by default that of `Agent.connect`. Where there is neither, transactions go through the node
    that the exchange names, which can keep them back and not change them; where it names none `NoNode` is raised. What is to be
    proven is asked there only with `exchanges_node`, as an exchange that lies names a node that lies.
    """

    def __init__(self, rest: Rest, keypair: Keypair, name: str, custody: Custody, talk: Conversation) -> None:
        self.rest = rest
        self.keypair = keypair
        self.name = name
        self._custody = custody
        self._session: Session | None = None
        self._talk = talk
        self._statuses = Statuses()
        self._signed_numbers = SignedNumbers(custody.folder, custody.escrow.escrow)
        self._keeper: Keeper | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def escrow(self) -> Escrow:
        """Where the money lies: what was given or kept, whatever the exchange says since."""
        return self._custody.escrow

    @property
    def node(self) -> str:
        """The Solana node that transactions go through."""
        return self._custody.node

    @property
    def account(self) -> int:
        return self._signed_in().account if self.rest.subaccount is None else self.rest.subaccount

    async def transfer(
        self, giver: int, receiver: int, amount: Decimal | str, key: str | None = None
    ) -> Transfer:
        """Move collateral from account `giver` to `receiver`: this one and a sub-account of its, either way."""
        return await self.rest.transfer(giver, receiver, text(amount), key or self._talk.next_id())

    async def deposit(self, amount: Decimal | str, rpc_url: str | None = None, *, price: int = 0) -> str:
        """Send USDC from the owner's token account into the escrow; the signature, once the chain confirmed it.

        `price` is offered besides the fee, in micro-lamports for each of the 60,000 compute units that the transaction may use. The
        balance follows when the exchange has seen it finalized. Raises `DepositFailed` (nothing moved), `Unreachable`
        before it was sent, and `OutcomeUnknown`: then ask with `landed` before another deposit.
        """
        node = rpc_url or self._custody.node
        return await send_deposit(self.rest, self.keypair, Decimal(amount), self.escrow, node, price)

    async def landed(self, unknown: OutcomeUnknown, rpc_url: str | None = None) -> bool:
        """Whether what was sent was confirmed after all; False once it can be no more.

        Raises `DepositFailed` when it landed and failed, `OutcomeUnknown` while the chain still does not tell.
        """
        rpc = Rpc(rpc_url or self._custody.node)
        try:
            return await rpc.landed(unknown.signature, unknown.last_height)
        finally:
            await rpc.close()

    async def set_loss_limit(
        self, limit_usdc: int | None, rpc_url: str | None = None, *, price: int = 0
    ) -> None:
        """Have the escrow let settlement take at most so many whole USDC from this account within a window; None: anything.

        No more than that backs the account's trades, and those of its sub-accounts: what needs more is refused, and liquidated when
        it is held already. A lower limit takes effect on chain after the escrow's delay, here as soon as it is seen. Waits for the
        account's slot, and sends nothing where the limit stands already. `price` as in `deposit`. Raises `DepositFailed` when there is
        no slot, `ExitFailed`, `NotProven`, `OutcomeUnknown`, `Unreachable`, `ChainRefused`.
        """
        place, node = await own_place(self.rest), rpc_url or self._custody.node
        kit = kit_of(self.keypair.pubkey(), self.account, self.escrow, place, None)
        await bound_losses(kit, self.keypair, limit_usdc, node, price)

    async def withdraw(
        self,
        amount: Decimal | str,
        destination: str | None = None,
        key: str | None = None,
        patience_s: float = WITHDRAWAL_PATIENCE,
    ) -> Withdrawal:
        """Start a withdrawal and co-sign it, again when a signed message came too late; returns once it is paid, released or refused.

        Also when that takes longer than `patience_s` seconds: then the same call with the same `key` goes on with it, also after a
        restart. Raises `Refused` for what cannot be withdrawn now, `MessageRefused` for a message that pays something else or is
        another withdrawal's; `NotProven` or `OSError` when what was signed cannot be kept: nothing is signed then.
        """
        named = key or self._talk.next_id()
        return await signed_withdrawal(
            self.rest,
            self.keypair,
            self.escrow,
            text(amount),
            destination,
            named,
            patience_s,
            lambda number: self._signed_numbers.must_be_first(self.account, named, number),
        )

    async def fill_status(self, fill: int) -> FillStatus:
        """Settlement status of a fill."""
        return await self.rest.fill_status(fill)

    async def prove_fill(
        self, fill: int, rpc_url: str | None = None, *, exchanges_node: bool = False
    ) -> ProvenFill:
        """Check against the chain that one of this account's fills was settled.

        Raises `NotProven`, also without a node to believe; `Refused` (not_batched), `Unreachable`, `ChainRefused`.
        """
        node = self._custody.node_to_believe(rpc_url, exchanges_node)
        return await proven_fill(await self.rest.fill_proof(fill), fill, self.escrow, node)

    async def prove_balance(
        self, batch: int | None = None, rpc_url: str | None = None, *, exchanges_node: bool = False
    ) -> ProvenBalance:
        """Check against the chain what this account had at a batch's cut, by default the newest's there.

        Raises what `prove_fill` raises.
        """
        node = self._custody.node_to_believe(rpc_url, exchanges_node)
        proof = await self.rest.balance_proof(self.account, batch)
        number = proof.batch if batch is None else batch
        return await proven_balance(proof, number, self.account, self.escrow, node)

    async def save_fill_proof(self, fill: int, path: Path) -> None:
        """Keep the proof of a fill in a file that `perpdex_sdk.verify` checks. Raises `Refused` (not_batched), `OSError`."""
        verify.save(path, await self.rest.fill_proof(fill), self.escrow)

    async def save_balance_proof(self, batch: int | None, path: Path) -> None:
        """The same of what this account had at a batch's cut."""
        verify.save(path, await self.rest.balance_proof(self.account, batch), self.escrow)

    @property
    def exit_kit(self) -> Path | None:
        """Where the exit kit is, as soon as the account has a slot; None when it is not kept, or with its parent."""
        return None if self._keeper is None else self._keeper.path

    def _keep_exit_kit(self, books: Callable[[], Books]) -> None:
        if self.rest.subaccount is not None:
            return
        folder = self._custody.folder
        if folder is None:
            log.warning(
                "%s: neither the exchange's addresses nor an exit kit are kept: connect with a key file, or a folder",
                self.name,
            )
            return
        path, owner = kit_path(folder, self.escrow.escrow, self.account), self.keypair.pubkey()
        self._keeper = Keeper(
            *(path, owner, self.account, self._custody, self.rest, books),
            lambda: self._statuses.final_batch,
        )
        self._keeping = asyncio.get_running_loop().create_task(self._keeper.run())

    def _heard_of_kit(self) -> None:
        """There may be something to keep."""
        if self._keeper is not None:
            self._keeper.hear()

    def _signed_in(self) -> Session:
        if self._session is None:
            raise Closed("not connected yet")
        return self._session
