"""Where an agent's money lies: the program, escrow and mint that it deals with, whatever the exchange says later.

An exchange that lies, or a name that leads to somebody else's, would name an escrow of its own. So addresses are the caller's, or
those of the first connection, kept in a file as SSH keeps its known hosts. The vault and all other addresses follow from them.
"""

import logging
import re
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
from solders.pubkey import Pubkey

from perpdex_sdk import files, reading
from perpdex_sdk.answers import Escrow
from perpdex_sdk.errors import AddressRefused, NoNode, NotProven
from perpdex_sdk.funds import TOKEN_PROGRAM, vault_address
from perpdex_sdk.proofs import ESCROW_MARK
from perpdex_sdk.rpc import Rpc

log = logging.getLogger("perpdex_sdk")

_MINT_AT, _VAULT_AT = 176, 208
NAMES: Final = ("program", "escrow", "mint")
FORMAT: Final = 1


class Known(msgspec.Struct, frozen=True):
    """What the exchange at a URL named at the first connection. A file with other fields is told by its `format`."""

    exchange: str
    program: str
    escrow: str
    mint: str
    format: int = FORMAT


class Custody(NamedTuple):
    """`escrow` has the addresses to deal with, and the node that the exchange names; `own_node` the caller's, None without.

    What must outlive the agent is kept in `folder`, nowhere without.
    """

    escrow: Escrow
    own_node: str | None
    folder: Path | None

    @property
    def node(self) -> str:
        """To send by: what is sent is built here, so a node that lies can keep it back and not change it.

        Raises `NoNode` where neither the caller nor the exchange named one.
        """
        node = self.own_node or self.escrow.rpc_url
        if not node:
            raise NoNode(
                "the exchange names no Solana node: give rpc_url one of your own, to Agent.connect or to this call"
            )
        return node

    def node_to_believe(self, rpc_url: str | None, exchanges_node: bool) -> str:
        """To ask what is true. Raises `NotProven` when that would be the exchange's and this was not wanted."""
        own = rpc_url or self.own_node
        if own is not None:
            return own
        if not self.escrow.rpc_url:
            raise NotProven("no_node", "give rpc_url a node of your own: the exchange names none")
        if not exchanges_node:
            raise NotProven(
                "no_node",
                "give rpc_url a node of your own: the node that the exchange names proves the exchange's word by its word "
                "(exchanges_node=True asks it all the same)",
            )
        log.warning(
            "the chain is asked through %s, the node that the exchange names: give rpc_url a node of your own, or the exchange "
            "proves its word by its word",
            self.escrow.rpc_url,
        )
        return self.escrow.rpc_url


async def custody(
    exchange: str, told: Escrow, given: dict[str, str | None], own_node: str | None, folder: Path | None
) -> Custody:
    """What `given` names by `NAMES`, and for the rest what was kept in `folder`, must be what the exchange told.

    The first time, that is kept. With an `own_node` the chain must besides hold such an escrow and its vault. Raises
    `AddressRefused`, `Unreachable`, `ChainRefused`; `NotProven` when what was kept is damaged or a later version's, `OSError`;
    `ValueError` for an escrow without its program.
    """
    path = folder / known_name(exchange) if folder is not None else None
    before = _kept(path) if path is not None and path.exists() else None
    if given["escrow"] and not given["program"] and own_node is None and before is None:
        raise ValueError(
            "an escrow without its program: whoever names the program would say what is done with what is signed for it"
        )
    for name in NAMES:
        wanted, by = given[name], "the caller gave"
        if wanted is None and before is not None:
            wanted, by = getattr(before, name), f"it named before ({path})"
        if wanted is not None and wanted != getattr(told, name):
            raise AddressRefused("address_changed", _changed(exchange, name, getattr(told, name), wanted, by))
    try:
        Pubkey.from_string(told.mint)
        escrow = msgspec.structs.replace(told, vault=str(vault_address(told.program, told.escrow)))
    except ValueError as error:
        raise AddressRefused(
            "address_invalid", f"{exchange} names what is no address: {told} ({error})"
        ) from error
    if own_node is not None:
        await must_be_on_chain(escrow, own_node)
    now = Known(exchange, told.program, told.escrow, told.mint)
    if path is not None and before != now:
        files.write(path, now)
        log.warning(
            "%s has the program %s, the escrow %s and the mint %s: from this first connection on they are kept in %s and must not "
            "change. Compare them with what the exchange publishes elsewhere",
            *(exchange, now.program, now.escrow, now.mint, path),
        )
    return Custody(escrow, own_node, folder)


def _kept(path: Path) -> Known:
    known = files.read(path, Known)
    if known.format != FORMAT:
        raise NotProven(
            "file_newer", f"{path} has the format {known.format}, which this program does not know"
        )
    return known


def known_name(exchange: str) -> str:
    """Of the file about the exchange at a URL."""
    return f"known-{re.sub(r'[^A-Za-z0-9.]+', '-', exchange).strip('-')}.json"


async def must_be_on_chain(escrow: Escrow, rpc_url: str) -> None:
    """Raises `AddressRefused` unless the program has that escrow, finally, with that mint and a vault of its own."""
    rpc = Rpc(rpc_url)
    try:
        found = await reading.accounts(rpc, [escrow.escrow, escrow.vault])
    finally:
        await rpc.close()
    there, vault = (account or reading.Account("", b"") for account in found)
    keys = (_key(escrow.mint), _key(escrow.vault))
    if (
        there.program != escrow.program
        or there.data[:8] != ESCROW_MARK
        or (there.data[_MINT_AT:_VAULT_AT], there.data[_VAULT_AT : _VAULT_AT + 32]) != keys
    ):
        raise AddressRefused(
            "escrow_not_on_chain",
            f"{httpx.URL(rpc_url).host} has no escrow {escrow.escrow} of the program {escrow.program} with the mint {escrow.mint}: it "
            "is another cluster's, or nobody's",
        )
    if vault.program != str(TOKEN_PROGRAM) or (vault.data[:32], vault.data[32:64]) != (
        keys[0],
        _key(escrow.escrow),
    ):
        raise AddressRefused(
            "escrow_not_on_chain", f"{escrow.vault} is no vault of the escrow {escrow.escrow}"
        )


def _key(address: str) -> bytes:
    return bytes(Pubkey.from_string(address))


def _changed(exchange: str, name: str, told: str, wanted: str, by: str) -> str:
    return (
        f"{exchange} names the {name} {told}, and {by} {wanted}. Whoever answers there may not be the exchange: deposit nothing, and "
        f"ask for its addresses elsewhere. Give {name}={told} only when they confirm it. The exit kit takes out what lies "
        "in the old one."
    )
