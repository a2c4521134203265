"""The same running exchange as in the tests of the API: the client is tested against the real thing."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("exchange_fixtures", Path(__file__).parents[1] / "api" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_fixtures = module_from_spec(_spec)
sys.modules[_spec.name] = _fixtures
_spec.loader.exec_module(_fixtures)

new_exchange = _fixtures.new_exchange
exchange = _fixtures.exchange
