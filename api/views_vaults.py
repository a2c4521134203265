"""The ledger's words on vaults as the API's."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from api.outbound import micros
from api.schemas_vaults import (
    NavAlertAnswer,
    NavAnswer,
    NavLegAnswer,
    NavVenueAnswer,
    RiskRules,
    RiskTemplateAnswer,
    RiskVersionAnswer,
    VaultAnswer,
    VaultRiskAnswer,
    VaultTransferAnswer,
)
from api.units import usdc
from core.nav import PER_SHARE_DIGITS, PricedLeg, Valuation, per_share_e9
from core.quantities import MicroUsdc, decimal_from_units
from core.risk_template import RiskTemplate
from core.tickets import e8_text
from core.vault_risk import rules_document, template_document
from ledger.nav_reads import NavAlert, NavSnapshot
from ledger.vault_transfers import Transfer
from ledger.vaults import RiskVersion, Vault

shares = usdc
"""Shares are counted in millionths, too."""
_PER_SHARE = Decimal(1).scaleb(-PER_SHARE_DIGITS)


def vault(of: Vault) -> VaultAnswer:
    return VaultAnswer(
        id=of.id,
        manager=of.manager,
        default_venue=of.default_venue,
        paused=of.paused,
        performance_fee_ppm=of.fee_ppm,
        shares=shares(of.shares),
        made_at=micros(of.at),
    )


def template(of: RiskTemplate) -> RiskTemplateAnswer:
    return RiskTemplateAnswer.model_validate(template_document(of))


def risk(of: Vault, newest: int) -> VaultRiskAnswer:
    rules = of.risk
    return VaultRiskAnswer(
        vault=of.id,
        version=newest,
        effective=template(rules.effective),
        ceiling=template(rules.ceiling),
        operator=_rules(rules_document(rules.operator)),
        manager=_rules(rules_document(rules.manager)),
    )


def risk_version(of: RiskVersion) -> RiskVersionAnswer:
    return RiskVersionAnswer(
        version=of.version, role=of.role, rules=_rules(of.rules), who=of.who, why=of.why, at=micros(of.at)
    )


def transfer(of: Transfer) -> VaultTransferAnswer:
    return VaultTransferAnswer.model_validate(
        {
            "number": of.number,
            "key": of.key,
            "holder": of.holder,
            "kind": of.kind.value,
            "status": of.status,
            "amount": usdc(of.amount),
            "shares": shares(of.shares),
            "code": of.code or None,
            "who": of.who,
            "at": micros(of.at),
            "dealt_at": micros(of.dealt_at) if of.dealt_at else None,
        }
    )


def nav(of: NavSnapshot) -> NavAnswer:
    after_fee = of.shares + of.fee_shares
    each = None if of.nav is None else per_share_e9(of.nav, after_fee)
    return NavAnswer(
        vault=of.vault,
        at=micros(of.at),
        cash=usdc(of.cash),
        nav=None if of.nav is None else usdc(of.nav),
        shares=shares(of.shares),
        nav_per_share=None if each is None else decimal_from_units(each, _PER_SHARE),
        performance_fee=usdc(of.fee),
        doubts=of.doubts,
        venues=_venues(of.legs),
    )


def alert(of: NavAlert) -> NavAlertAnswer:
    return NavAlertAnswer.model_validate({**of._asdict(), "at": micros(of.at), "leg": of.leg or None})


def _rules(document: dict[str, Any]) -> RiskRules:
    return RiskRules.model_validate(document)


def _venues(legs: Sequence[PricedLeg]) -> list[NavVenueAnswer]:
    values = Valuation(MicroUsdc(0), legs).by_venue()
    return [
        NavVenueAnswer(
            venue=venue, value=usdc(value), legs=[_leg(one) for one in legs if one.leg.venue == venue]
        )
        for venue, value in sorted(values.items())
    ]


def _leg(of: PricedLeg) -> NavLegAnswer:
    return NavLegAnswer.model_validate(
        {
            "symbol": of.leg.symbol,
            "size": e8_text(of.size),
            "price": e8_text(of.price) if of.known else None,
            "price_at": micros(of.price_at) if of.known else None,
            "source": of.source,
            "standing": of.standing,
            "value": usdc(of.value),
        }
    )
