"""What an agent does with its money: deposits, withdrawals, transfers, proofs of what was settled, and the way out kept at hand."""

import asyncio
import logging
from decimal import Decimal
from pathlib import Path

from solders.keypair import Keypair

from perpdex_sdk import exit_kit, verify
from perpdex_sdk.answers import FillStatus, Session, Transfer, Withdrawal
from perpdex_sdk.conversation import Conversation
from perpdex_sdk.errors import Closed, ExchangeError, Refused
from perpdex_sdk.exit_kit import ExitKit
from perpdex_sdk.funds import own_place, send_deposit, signed_withdrawal
from perpdex_sdk.loss_limit import bound_losses
from perpdex_sdk.proofs import ProvenBalance, ProvenFill, proven_balance, proven_fill
from perpdex_sdk.rest import Rest
from perpdex_sdk.statuses import Statuses
from perpdex_sdk.trading import text

log = logging.getLogger("perpdex_sdk")

WITHDRAWAL_PATIENCE = 1200.0
"""Longer than the owner may take to sign, and a payment to become final."""


class Money:
    """Part of an `Agent`. Amounts are USDC, decimal strings or `Decimal`s, never floats."""

    def __init__(self, rest: Rest, keypair: Keypair, name: str, talk: Conversation) -> None:
        self.rest = rest
        self.keypair = keypair
        self.name = name
        self._session: Session | None = None
        self._talk = talk
        self._statuses = Statuses()
        self._final = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def account(self) -> int:
        return self._signed_in().account if self.rest.subaccount is None else self.rest.subaccount

    async def transfer(
        self, giver: int, receiver: int, amount: Decimal | str, key: str | None = None
    ) -> Transfer:
        """Move collateral from account `giver` to `receiver`: this one and a sub-account of its, either way."""
        return await self.rest.transfer(giver, receiver, text(amount), key or self._talk.next_id())

    async def deposit(self, amount: Decimal | str, rpc_url: str | None = None) -> str:
        """Send USDC from the owner's token account into the escrow; the signature, once the chain confirmed it.

        The balance follows when the exchange has seen it finalized. Raises `DepositFailed`, `Unreachable`.
        """
        return await send_deposit(self.rest, self.keypair, Decimal(amount), rpc_url)

    async def set_loss_limit(self, limit_usdc: int | None, rpc_url: str | None = None) -> None:
        """Have the escrow let settlement take at most so many whole USDC from this account within a window; None: anything.

        No more than that backs the account's trades, and those of its sub-accounts: what needs more is refused, and liquidated when
        it is held already. A lower limit takes effect on chain after the escrow's delay, here as soon as it is seen. Waits for the
        account's slot, and sends nothing where the limit stands already. Raises `DepositFailed` when there is no slot, `ExitFailed`,
        `NotProven`, `Unreachable`, `ChainRefused`.
        """
        place, escrow = await own_place(self.rest), await self.rest.escrow()
        kit = ExitKit(str(self.keypair.pubkey()), self.account, escrow, place, None)
        await bound_losses(kit, self.keypair, limit_usdc, rpc_url)

    async def withdraw(
        self,
        amount: Decimal | str,
        destination: str | None = None,
        key: str | None = None,
        patience_s: float = WITHDRAWAL_PATIENCE,
    ) -> Withdrawal:
        """Start a withdrawal and co-sign it, again when a signed message came too late; returns once it is paid, released or refused.

        Also when that takes longer than `patience_s` seconds: then the same call with the same `key` goes on with it. Raises `Refused`
        for what cannot be withdrawn now.
        """
        return await signed_withdrawal(
            self.rest, self.keypair, text(amount), destination, key or self._talk.next_id(), patience_s
        )

    async def fill_status(self, fill: int) -> FillStatus:
        """Settlement status of a fill."""
        return await self.rest.fill_status(fill)

    async def prove_fill(self, fill: int, rpc_url: str | None = None) -> ProvenFill:
        """Check against the chain that one of this account's fills was settled. Raises `NotProven`, `Refused` (not_batched).

        Without an `rpc_url` the node is asked that the exchange names, which proves nothing against an exchange that lies.
        """
        return await proven_fill(await self.rest.fill_proof(fill), fill, await self.rest.escrow(), rpc_url)

    async def prove_balance(self, batch: int | None = None, rpc_url: str | None = None) -> ProvenBalance:
        """Check against the chain what this account had at a batch's cut, by default the newest's there. `rpc_url` as in `prove_fill`.

        Raises `NotProven`, `Refused` (not_batched).
        """
        proof = await self.rest.balance_proof(self.account, batch)
        return await proven_balance(
            proof, proof.batch if batch is None else batch, self.account, await self.rest.escrow(), rpc_url
        )

    async def save_fill_proof(self, fill: int, path: Path) -> None:
        """Keep the proof of a fill in a file that `perpdex_sdk.verify` checks. Raises `Refused` (not_batched), `OSError`."""
        verify.save(path, await self.rest.fill_proof(fill), await self.rest.escrow())

    async def save_balance_proof(self, batch: int | None, path: Path) -> None:
        """The same of what this account had at a batch's cut."""
        verify.save(path, await self.rest.balance_proof(self.account, batch), await self.rest.escrow())

    async def keep_exit_kit(self, path: Path) -> ExitKit:
        """Write the exit kit, and write it anew after every final batch for as long as this agent runs.

        Raises `DepositFailed` when the account has no slot yet, `NotProven` when the file is another account's kit, `OSError`.
        """
        kit = await self._exit_kit(path)
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep(path))
        return kit

    async def _exit_kit(self, path: Path) -> ExitKit:
        batch, place = self._statuses.final_batch, await own_place(self.rest)
        proof = None
        try:
            proof = await self.rest.balance_proof(self.account, batch) if batch else None
        except Refused as refused:
            # The account's slot is younger than the batch, or the read side has not got there: the next batch will do.
            log.info("%s: no proof of batch %d yet (%s)", self.name, batch, refused.code)
        kit = ExitKit(str(self.keypair.pubkey()), self.account, await self.rest.escrow(), place, proof)
        exit_kit.save(path, kit)
        return kit

    async def _keep(self, path: Path) -> None:
        while True:
            await self._final.wait()
            self._final.clear()
            try:
                await self._exit_kit(path)
            except (ExchangeError, OSError) as error:
                log.warning("%s: the exit kit is not up to date: %s", self.name, error)

    def _signed_in(self) -> Session:
        if self._session is None:
            raise Closed("not connected yet")
        return self._session
