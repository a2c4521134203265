"""Leaving with nothing but an exit kit, the owner's key and a Solana node: nobody else has to be there, or to agree.

    python -m perpdex_sdk.leave --kit FILE --keypair FILE --rpc URL

It asks for the withdrawal where that was not done yet, waits until the escrow's exit delay is over, and claims. It may be stopped and
started again at any time: what it asked for is kept beside the kit, so that nothing is asked for twice. The owner's account pays the
fees, so it needs a little SOL.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from perpdex_sdk import asked, exit_kit, exits, own_slot, priority
from perpdex_sdk.errors import ChainRefused, ExitFailed, NotProven, OutcomeUnknown, Unreachable
from perpdex_sdk.exit_kit import ExitKit, OnChain
from perpdex_sdk.exits import NOT_READY, Left, ask, claim, in_words, take_back, utc
from perpdex_sdk.funds import MICRO
from perpdex_sdk.rpc import Rpc

__all__ = ["Left", "ask", "claim", "leave", "take_back"]

LEFT, NOT_LEFT, UNKNOWN = 0, 1, 2
NAP_S: Final = 60.0
"""Longest wait between two looks: the chain's clock may go faster than this machine's."""
PATIENCE_S: Final = 3_600.0
"""How long in a row a node that has answered before may not answer, or refuse, until that is told as the end."""
LOOK_AGAIN: Final = (exits.PENDING, exits.NOT_PENDING, NOT_READY)
"""Refusals that say only that the chain is ahead of, or behind, what was seen of it."""


async def leave(
    kit: ExitKit,
    keypair: Keypair,
    rpc_url: str,
    micro_usdc: int | None = None,
    told: Callable[[str], None] = lambda sentence: None,
    kept: Path | None = None,
    price: int = 0,
    price_max: int = priority.MOST,
    to: Pubkey | None = None,
) -> Left:
    """Ask, wait until the delay is over, and claim; `told` hears how far it is. Raises what `ask` and `claim` raise.

    What losses settlement still brings before then are paid out of the slot. One that the owner's loss limit holds up
    delays the claim, for the escrow's hold at most. A node that has answered once is borne with for `PATIENCE_S`.

    `kept` is a file that remembers what was asked for: a later call for the same finds out what became of it, and asks for nothing
    that was paid. Who has heard of the payment forgets it (`asked.forget`).

    `price` is offered besides the fee, in micro-lamports per compute unit, and doubled up to `price_max` after each transaction that
    expired, or of which the node did not tell. What the owner has too little SOL for is offered no more: the last price that was let
    through is, or none.

    `to` is a token account of the owner's that is paid in place of its associated one; it must be there when it is claimed.
    """
    exits.must_own(kit, keypair)
    amount = own_slot.EVERYTHING if micro_usdc is None else micro_usdc
    offer = priority.Offer(price, price_max)
    return await _Leaving(kit, keypair, rpc_url, amount, told, kept, offer, to).run()


class _Leaving:
    def __init__(
        self,
        kit: ExitKit,
        keypair: Keypair,
        rpc_url: str,
        amount: int,
        told: Callable[[str], None],
        kept: Path | None,
        offer: priority.Offer,
        to: Pubkey | None,
    ) -> None:
        self._kit, self._keypair, self._url, self._amount, self._to = kit, keypair, rpc_url, amount, to
        self._tell, self._kept, self._offer = told, kept, offer
        self._said: set[str] = set()
        self._second = 0
        """Of the chain's clock, at the last look that found a request."""
        self._asked = asked.load(kept, kit) if kept is not None else None
        self._last_seen = self._asked.seen_at if self._asked is not None else 0
        self._answered = False
        self._sent = False
        """Whether this step sent something: what an earlier one did says nothing of the price now."""
        self._looking = False
        self._silent_since: float | None = None
        self._silent_at_look = False

    async def run(self) -> Left:
        if self._asked is not None and self._asked.amount != self._amount:
            raise ExitFailed(
                f"{in_words(self._asked.amount)} was asked for before, and nobody has heard yet what became of it: finish that first "
                "(--amount), or take it back (--take-back)",
                code="asked_before",
            )
        while True:
            try:
                left = await self._step()
            except (Unreachable, ChainRefused, OutcomeUnknown) as error:
                if isinstance(error, OutcomeUnknown) and self._sent:
                    self._offer.raise_it()
                self._bear_with(error)
            except ExitFailed as failed:
                # The program itself refused, so the node has told all that it was asked.
                self._silent_since = None
                if failed.number == exits.OWING:
                    self._say(_OWING)
                    await asyncio.sleep(NAP_S)
                elif failed.expired:
                    self._offer.raise_it()
                    self._say(f"{failed}; it is sent again and {self._offer}")
                elif failed.short and self._offer.lower_it():
                    self._say(f"too little SOL for that offer; it is sent again and {self._offer}")
                elif failed.number not in LOOK_AGAIN:
                    raise
            else:
                self._silent_since = None
                if left is not None:
                    return left
            await asyncio.sleep(exits.LOOK_EVERY_S)

    async def _step(self) -> Left | None:
        """The one next thing by what the chain says; the payment once there is one."""
        self._sent = False
        now = await self._look()
        if now.exit_at:
            return await self._claim(now)
        if self._asked is not None:
            if not await exits.is_over(self._asked, self._url):
                self._say("asked; waiting until that is final")
                return None
            # The first look may have been before that was final.
            if (now := await self._look()).exit_at:
                return await self._claim(now)
            if left := await exits.became(self._kit, self._asked, self._url):
                return left
        await self._ask(now)
        return None

    async def _look(self) -> OnChain:
        self._looking = True
        now = await exit_kit.on_chain(self._kit, self._url)
        if now.exit_at:
            self._second = await exits.chain_second(self._url)
        self._answered, self._looking = True, False
        if self._silent_at_look:
            self._silent_since = None
        return now

    async def _ask(self, now: OnChain) -> None:
        if not now.balance:
            raise ExitFailed("the slot is empty: there is nothing to leave with", code="slot_empty")
        kit, rpc = self._kit, Rpc(self._url)
        try:
            asking = own_slot.request_withdrawal(kit.escrow, kit.place, self._keypair.pubkey(), self._amount)
            signed = await own_slot.signed(rpc, self._keypair, asking, price=self._offer.price)
            self._remember(asked.of(kit, self._amount, signed.signature, signed.last_height))
            self._sent = True
            await own_slot.land(rpc, signed)
        finally:
            await rpc.close()

    async def _claim(self, now: OnChain) -> Left | None:
        exits.must_be_asked_for(now, self._amount)
        # The slot comes with no proof: of two looks the lower one, so that one untrue answer does not hide the payment for ever.
        seen_at, self._last_seen = min(now.seen, self._last_seen or now.seen), now.seen
        if self._asked is None or self._asked.seen_at != seen_at:
            self._remember(asked.of(self._kit, self._amount, seen_at=seen_at))
        self._say(
            f"{now.balance} micro-USDC in the slot; what was asked for can be claimed at {utc(now.exit_at)}"
        )
        # By the chain's clock, as the program: this machine's may be days off.
        if (left := now.exit_at - self._second) > 0:
            await asyncio.sleep(min(left, NAP_S))
            return None
        self._sent = True
        return await exits.claim(self._kit, self._keypair, self._url, self._offer.price, self._to)

    def _remember(self, what: asked.Asked) -> None:
        self._asked = what
        if self._kept is not None:
            asked.save(self._kept, what)

    def _bear_with(self, error: Exception) -> None:
        """Raises it when nobody has ever answered, which a wrong address does, or for too long."""
        now = time.monotonic()
        began = self._silent_since is None
        if self._silent_since is None:
            # A look that succeeds ends what a look began; what asking or claiming began it says nothing of.
            self._silent_since, self._silent_at_look = now, self._looking
        if not self._answered or now - self._silent_since > PATIENCE_S:
            raise error
        if began:
            self._tell(
                f"the node does not tell, and is asked again for {PATIENCE_S / 60:.0f} minutes: {error}"
            )

    def _say(self, sentence: str) -> None:
        """Once, not at every look."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._tell(sentence)


_OWING: Final = (
    "settlement has still to take a loss that the loss limit holds up: raise the limit to pay it and leave, or wait, "
    "two days at most unless the escrow was set up otherwise. Whoever has won it back since owes nothing that a "
    "raised limit would pay: only that wait ends it, or a trade once the request is taken back"
)


def _keypair(path: Path) -> Keypair:
    """A key as Solana's tools keep it: 64 numbers in JSON. Raises `OSError`, `ValueError`."""
    return Keypair.from_bytes(bytes(json.loads(path.read_text())))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: paid; 1: not paid, and it will not be like this; 2: the node did not answer, so run it again."""
    parser = argparse.ArgumentParser(
        prog="python -m perpdex_sdk.leave", description="Leave the exchange with an exit kit alone."
    )
    parser.add_argument("--kit", type=Path, required=True, help="the exit kit, as the SDK keeps it")
    parser.add_argument(
        "--keypair", type=Path, required=True, help="the owner's key, as Solana's tools keep it"
    )
    parser.add_argument("--rpc", required=True, help="URL of a Solana node")
    parser.add_argument("--amount", help="USDC to take out; default: everything")
    parser.add_argument(
        "--take-back", action="store_true", help="take back what was asked for, and nothing else"
    )
    parser.add_argument(
        "--price", default="0", help="micro-lamports per compute unit to offer besides the fee (default: 0)"
    )
    parser.add_argument(
        "--price-max",
        default=str(priority.MOST),
        help="where the price, doubled after each transaction that expired, stays (default: %(default)s)",
    )
    parser.add_argument(
        "--to",
        help="token account of the owner's that is paid (default: its associated one, made when missing)",
    )
    given = parser.parse_args(arguments)
    try:
        micro_usdc, kept = _micro(given.amount), asked.beside(given.kit)
        price, price_max = _price(given.price), _price(given.price_max)
        to = Pubkey.from_string(given.to) if given.to else None
        kit, keypair = exit_kit.load(given.kit), _keypair(given.keypair)
        if given.take_back:
            paid = asyncio.run(exits.give_up(kit, keypair, given.rpc, kept, price))
            print(f"it was paid before: {_receipt(paid)}" if paid else "taken back: nothing is asked for")
            return LEFT
        leaving = leave(kit, keypair, given.rpc, micro_usdc, print, kept, price, price_max, to)
        left = asyncio.run(leaving)
    except (ExitFailed, NotProven, OSError, ValueError) as error:
        print(f"not left: {error}", file=sys.stderr)
        return NOT_LEFT
    except (Unreachable, ChainRefused, OutcomeUnknown) as error:
        print(f"not known: {error}; run it again", file=sys.stderr)
        return UNKNOWN
    print(_receipt(left), flush=True)
    asked.forget(kept)
    return LEFT


def _receipt(left: Left) -> str:
    return f"{Decimal(left.paid) / MICRO} USDC paid to {left.target} by {left.signature}"


def _price(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise ValueError(f"{text} is no price: micro-lamports per compute unit, a whole number")
    return int(text)


def _micro(usdc: str | None) -> int | None:
    if usdc is None:
        return None
    try:
        amount = Decimal(usdc) * MICRO
    except InvalidOperation:
        raise ValueError(f"{usdc} is no amount") from None
    if not amount.is_finite() or amount != int(amount) or amount <= 0:
        raise ValueError(f"{usdc} is not a positive multiple of 0.000001 USDC")
    return int(amount)


if __name__ == "__main__":
    sys.exit(main())
