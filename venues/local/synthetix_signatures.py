"""Who signed a request for Synthetix. Written from the venue's documents, not with its SDK."""

from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data

NOWHERE: Final = "0x" + "0" * 40
DOMAIN: Final = {"name": "Synthetix", "version": "1", "chainId": 1, "verifyingContract": NOWHERE}
ORDER: Final = [
    ("symbol", "string"),
    ("side", "string"),
    ("orderType", "string"),
    ("price", "string"),
    ("triggerPrice", "string"),
    ("quantity", "string"),
    ("reduceOnly", "bool"),
    ("isTriggerMarket", "bool"),
    ("clientOrderId", "string"),
    ("closePosition", "bool"),
]
END: Final = [("nonce", "uint256"), ("expiresAfter", "uint256")]
BEGIN: Final = [("subAccountId", "uint256")]
TYPES: Final[dict[str, list[tuple[str, str]]]] = {
    "PlaceOrders": [*BEGIN, ("orders", "Order[]"), ("grouping", "string"), *END],
    "CancelOrders": [*BEGIN, ("orderIds", "uint256[]"), *END],
    "CancelOrdersByCloid": [*BEGIN, ("clientOrderIds", "string[]"), *END],
    "UpdateLeverage": [*BEGIN, ("symbol", "string"), ("leverage", "string"), *END],
    "SubAccountAction": [*BEGIN, ("action", "string"), *END],
}


class NotSigned(ValueError):
    """Nothing that could be a signature."""


def primary_type(params: dict[str, Any]) -> str:
    """Which words an action is signed in: those that only read have the same for all."""
    match params["action"]:
        case "placeOrders":
            return "PlaceOrders"
        case "cancelOrders":
            return "CancelOrdersByCloid" if "clientOrderIds" in params else "CancelOrders"
        case "updateLeverage":
            return "UpdateLeverage"
    return "SubAccountAction"


def signer(params: dict[str, Any], nonce: int, expires_after: int, signature: dict[str, Any]) -> str:
    """The address, in lower case, whose key made the signature. Raises `NotSigned`."""
    try:
        primary = primary_type(params)
        message = {
            **{name: params[name] for name, _ in TYPES[primary] if name in params},
            "subAccountId": int(params["subaccountId"]),
            "nonce": nonce,
            "expiresAfter": expires_after,
        }
        types = {primary: TYPES[primary]}
        if primary == "PlaceOrders":
            message["orders"] = [{name: one[name] for name, _ in ORDER} for one in params["orders"]]
            types["Order"] = ORDER
        if primary == "CancelOrders":
            message["orderIds"] = [int(one) for one in params["orderIds"]]
        text = encode_typed_data(
            full_message={
                "domain": DOMAIN,
                "primaryType": primary,
                "types": {
                    name: [{"name": field, "type": kind} for field, kind in fields]
                    for name, fields in types.items()
                },
                "message": message,
            }
        )
        vrs = (signature["v"], signature["r"], signature["s"])
        return str(Account.recover_message(text, vrs=vrs)).lower()
    except Exception as error:
        # Whatever the libraries say about bytes that somebody made up, they are no signature.
        raise NotSigned(str(error)) from error
