"""An order of Polymarket's as it is signed, by its own SDK's builder."""

from typing import Any, Final, NamedTuple

from py_clob_client_v2.config import get_contract_config
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2, OrderDataV2, SignatureTypeV2
from py_clob_client_v2.order_utils import Side as SdkSide
from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
from py_clob_client_v2.signer import Signer

from core.market import Side

CHAIN_ID: Final = 137


class Terms(NamedTuple):
    """What is signed: of a token, `gives` and `takes` in micro-units. `at` in milliseconds; `until` in seconds, 0 for no end."""

    token: str
    side: Side
    gives: int
    takes: int
    at: int
    until: int
    salt: int


class Wallet:
    """Who signs, and what holds the money: an address and the venue's number for what kind of wallet it is."""

    def __init__(self, signer: Signer, address: str | None, kind: int, chain_id: int = CHAIN_ID) -> None:
        self.signer = signer
        self.address = address or signer.address()
        self._kind = SignatureTypeV2(kind)
        self._chain_id = chain_id

    def signed(self, terms: Terms, neg_risk: bool, post_only: bool) -> tuple[dict[str, Any], str]:
        """The body to send, and the hash by which the venue knows the order. `neg_risk` is whether its market is such a one."""
        contracts = get_contract_config(self._chain_id)
        builder = ExchangeOrderBuilderV2(
            contracts.neg_risk_exchange_v2 if neg_risk else contracts.exchange_v2,
            self._chain_id,
            self.signer,
            lambda: str(terms.salt),
        )
        # A contract that signs by a key of its own is named itself.
        own = self.address if self._kind is SignatureTypeV2.POLY_1271 else self.signer.address()
        order = builder.build_signed_order(
            OrderDataV2(
                maker=self.address,
                tokenId=terms.token,
                makerAmount=str(terms.gives),
                takerAmount=str(terms.takes),
                side=SdkSide.BUY if terms.side is Side.BUY else SdkSide.SELL,
                signer=own,
                signatureType=self._kind,
                timestamp=str(terms.at),
                expiration=str(terms.until),
            )
        )
        name = builder.build_order_hash(builder.build_order_typed_data(order))
        return order_to_json_v2(order, "", "GTD" if terms.until else "GTC", post_only), name
