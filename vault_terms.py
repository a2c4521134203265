"""What the settings say of all vaults: the venues that are set up, the operator's risk template, and when alerts are said."""

import json
from typing import Final

from core.nav_alerts import AlertLimits
from core.quantities import SECOND, Nanos
from core.risk_template import RiskTemplate
from core.vault_risk import SILENT, NotRules, common_template, rules_from
from settings import Settings

SETTING: Final = "EXEC_RISK_TEMPLATE"
GAME: Final = "mock_gold"


def set_up(settings: Settings) -> frozenset[str]:
    """Names of the venues that orders may go to at all."""
    return frozenset(filter(None, (name.strip() for name in settings.exec_allowed_venues.split(","))))


def operator_template(settings: Settings) -> RiskTemplate:
    """The operator's template for all vaults: everything that is set up, where no file says less. Raises `NotRules`, also for a game
    where money is real, and `OSError`."""
    if settings.solana_cluster == "mainnet":
        if GAME in set_up(settings):
            raise NotRules(
                f"EXEC_ALLOWED_VENUES must leave out {GAME} on mainnet: nobody pays what is won there"
            )
        if settings.exec_demo_gold:
            raise NotRules(
                "EXEC_DEMO_GOLD must be empty on mainnet: shares would be dealt at a made-up price"
            )
    path = settings.exec_risk_template
    try:
        rules = SILENT if path is None else rules_from(json.loads(path.read_text()))
        return common_template(set_up(settings), rules)
    except ValueError as error:  # what is no JSON, and `NotRules`
        raise NotRules(f"{SETTING} is no risk template: {error}") from None


def alert_limits(settings: Settings) -> AlertLimits:
    """Beyond which an alert is said of a vault's snapshot."""
    return AlertLimits(
        Nanos(settings.nav_stale_leg_s * SECOND), settings.nav_jump_ppm, settings.nav_drawdown_ppm
    )
