"""Whose word counts about what a vault may trade."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.risk_template import NO_LIMITS, RiskTemplate, VenueLimits
from core.vault_risk import (
    NotRules,
    Rules,
    VaultRisk,
    common_template,
    rules_document,
    rules_from,
    template_document,
)

SET_UP = frozenset({"agents", "hyper", "mock_gold", "synthetix"})
TEMPLATE = {
    "allowedSymbols": "BTC,ETH,XAU",
    "allowedVenues": "hyper,mock_gold",
    "perVenue": {
        "hyper": {"minLeverage": 1, "maxLeverage": 5},
        "mock_gold": {"minNotionalUsd": 50, "maxNotionalUsd": 20_000},
    },
}


def risk(operator=None, manager=None):
    said = [rules_from(one or {}) for one in (operator, manager)]
    return VaultRisk(SET_UP, common_template(SET_UP, rules_from(TEMPLATE)), *said)


def test_a_template_is_told_as_it_was_set():
    assert template_document(risk().effective) == TEMPLATE


def test_without_a_template_everything_that_is_set_up_is_allowed():
    assert template_document(common_template(SET_UP, Rules())) == {
        "allowedSymbols": "*",
        "allowedVenues": "agents,hyper,mock_gold,synthetix",
        "perVenue": {},
    }


def test_an_operators_limit_for_one_vault_leaves_the_common_ones_beside_it():
    wider = {"perVenue": {"mock_gold": {"maxNotionalUsd": 90_000}, "hyper": {"maxNotionalUsd": 7}}}
    assert template_document(risk(wider).effective)["perVenue"] == {
        "hyper": {"minLeverage": 1, "maxLeverage": 5, "maxNotionalUsd": 7},
        "mock_gold": {"minNotionalUsd": 50, "maxNotionalUsd": 90_000},
    }
    # What a manager may widen to is by the same limits.
    assert risk(wider).beyond(rules_from({"perVenue": {"mock_gold": {"minNotionalUsd": 1}}})) == [
        "least notional of mock_gold"
    ]


def test_a_manager_narrows_and_is_told_what_would_not_be_narrower():
    narrow = {
        "allowedSymbols": "XAU",
        "allowedVenues": "mock_gold",
        "perVenue": {"mock_gold": {"maxNotionalUsd": 500}},
    }
    assert risk().beyond(rules_from(narrow)) == []
    assert template_document(risk(manager=narrow).effective) == {
        "allowedSymbols": "XAU",
        "allowedVenues": "mock_gold",
        "perVenue": {
            "hyper": {"minLeverage": 1, "maxLeverage": 5},
            "mock_gold": {"minNotionalUsd": 50, "maxNotionalUsd": 500},
        },
    }
    wide = {
        "allowedSymbols": "XAU,DOGE",
        "allowedVenues": "synthetix",
        "perVenue": {"hyper": {"maxLeverage": 6}},
    }
    assert risk().beyond(rules_from(wide)) == [
        "venues that are not allowed: synthetix",
        "symbols that are not allowed: DOGE",
        "most leverage of hyper",
    ]


def test_the_operator_widens_for_one_vault_and_the_manager_still_only_narrows():
    wider = {
        "allowedSymbols": "*",
        "allowedVenues": "hyper,synthetix",
        "perVenue": {"hyper": {"maxLeverage": 10}},
    }
    manager = {"perVenue": {"hyper": {"maxLeverage": 7}}}
    assert risk(wider).beyond(rules_from(manager)) == []
    found = risk(wider, manager).effective
    assert found.symbols is None
    assert found.venues == {"hyper", "synthetix"}
    assert found.limits("hyper") == VenueLimits(min_leverage=1, max_leverage=7)
    assert found.limits("mock_gold") == risk().common.limits("mock_gold")


def test_a_venue_that_is_no_longer_set_up_is_not_allowed_whoever_said_so():
    gone = VaultRisk(
        frozenset({"agents"}), RiskTemplate(SET_UP, None, {}), rules_from({"allowedVenues": "agents,hyper"})
    )
    assert gone.effective.venues == {"agents"}
    assert gone.impossible(rules_from({"allowedVenues": "agents,hyper"})) == [
        "venues that are not set up here: hyper"
    ]
    with pytest.raises(NotRules, match="not set up: nowhere"):
        common_template(SET_UP, rules_from({"allowedVenues": "nowhere"}))


def test_a_limit_counts_at_the_venue_that_its_author_means_or_is_refused():
    hyphen = rules_from({"allowedVenues": "mock-gold", "perVenue": {"mock-gold": {"maxNotionalUsd": 100}}})
    assert hyphen == rules_from(
        {"allowedVenues": "mock_gold", "perVenue": {"mock_gold": {"maxNotionalUsd": 100}}}
    )
    assert VaultRisk(SET_UP, risk().common, manager=hyphen).effective.limits("mock_gold") == VenueLimits(
        min_notional=50_000_000, max_notional=100_000_000
    )
    # Under both spellings the narrower of each.
    both = {"mock_gold": {"maxNotionalUsd": 70}, "mock-gold": {"maxNotionalUsd": 90, "minNotionalUsd": 60}}
    assert rules_from({"perVenue": both}).per_venue == {
        "mock_gold": VenueLimits(min_notional=60_000_000, max_notional=70_000_000)
    }
    strange = rules_from({"perVenue": {"mockgold": {"maxNotionalUsd": 100}, "Hyper": {"maxLeverage": 2}}})
    sentence = ["limits of venues that do not exist: Hyper, mockgold"]
    assert risk().beyond(strange) == risk().impossible(strange) == sentence
    with pytest.raises(NotRules, match="do not exist: Hyper, mockgold"):
        common_template(SET_UP, strange)
    # A limit of a venue that is not allowed here bounds whoever trades there once it is.
    later = rules_from({"perVenue": {"polymarket": {"maxNotionalUsd": 100}}})
    assert risk().beyond(later) == risk().impossible(later) == []
    assert common_template(SET_UP, later).limits("polymarket") == VenueLimits(max_notional=100_000_000)


def test_limits_under_two_spellings_that_refuse_everything_are_refused_whoever_sets_them():
    contrary = rules_from(
        {"perVenue": {"hyper": {}, "mock-gold": {"minLeverage": 5}, "mock_gold": {"maxLeverage": 2}}}
    )
    sentence = "a least of mock_gold above its most"
    assert risk().beyond(contrary) == [sentence]
    assert risk().impossible(contrary) == [f"{sentence}, with what is common to all vaults"]
    with pytest.raises(NotRules, match=sentence):
        common_template(SET_UP, contrary)


def test_an_operators_least_above_the_common_most_is_refused():
    assert risk().impossible(rules_from({"perVenue": {"hyper": {"minLeverage": 5}}})) == []
    assert risk().impossible(rules_from({"perVenue": {"hyper": {"minLeverage": 6, "maxLeverage": 6}}})) == []
    assert risk().impossible(rules_from({"perVenue": {"hyper": {"minLeverage": 6}}})) == [
        "a least of hyper above its most, with what is common to all vaults"
    ]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"allowedVenue": "hyper"},
        {"allowedVenues": ["hyper"]},
        {"allowedSymbols": "a::b"},
        {"allowedSymbols": ",".join(map(str, range(501)))},
        {"perVenue": "hyper"},
        {"perVenue": {"hyper": 5}},
        {"perVenue": {"": {}}},
        {"perVenue": {"hyper": {"maxLeverag": 5}}},
        {"perVenue": {"hyper": {"maxLeverage": 1.5}}},
        {"perVenue": {"hyper": {"maxLeverage": True}}},
        {"perVenue": {"hyper": {"maxLeverage": 0}}},
        {"perVenue": {"hyper": {"maxLeverage": 1001}}},
        {"perVenue": {"hyper": {"minNotionalUsd": -1}}},
        {"perVenue": {"hyper": {"minLeverage": 3, "maxLeverage": 2}}},
        {"perVenue": {"hyper": {"minNotionalUsd": 3, "maxNotionalUsd": 2}}},
    ],
)
def test_what_is_no_rules_is_said_to_be_none(document):
    with pytest.raises(NotRules):
        rules_from(document)


NAMES = st.sampled_from(["BTC", "ETH", "XAU", "DOGE", "*"])
LIMITS = st.builds(
    lambda low, high, least, most: {
        "minLeverage": min(low, high),
        "maxLeverage": max(low, high),
        "minNotionalUsd": min(least, most),
        "maxNotionalUsd": max(least, most),
    },
    *[st.integers(1, 20)] * 2,
    *[st.integers(0, 30_000)] * 2,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "allowedSymbols": st.lists(NAMES).map(",".join),
        "allowedVenues": st.lists(st.sampled_from(sorted(SET_UP))).map(",".join),
        "perVenue": st.dictionaries(st.sampled_from(sorted(SET_UP)), LIMITS),
    },
)


@given(DOCUMENTS, DOCUMENTS)
def test_a_manager_never_gets_more_than_the_operator_left(operator, manager):
    mine, theirs = risk(operator), risk(operator, manager)
    ceiling, found = mine.effective, theirs.effective
    assert found.venues <= ceiling.venues <= SET_UP
    assert ceiling.symbols is None or (found.symbols is not None and found.symbols <= ceiling.symbols)
    for venue in SET_UP:
        wide, narrow = ceiling.limits(venue), found.limits(venue)
        assert (narrow.max_leverage or 0) <= (wide.max_leverage or 10**9) or wide == NO_LIMITS
        assert wide.max_notional is None or narrow.max_notional <= wide.max_notional
        assert wide.min_notional is None or narrow.min_notional >= wide.min_notional


@given(DOCUMENTS)
def test_rules_survive_their_document(document):
    rules = rules_from(document)
    assert rules_from(rules_document(rules)) == rules
