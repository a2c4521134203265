import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-layout",
        metavar="NAME",
        help="add the layout of records that are new or have grown, and the checksums of new files, to tests/matcher/fixtures",
    )
