"""Of an address nothing is told but the host."""

import logging

import pytest

from core.hosts import hide_in_log, only_hosts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://127.0.0.1:8899", "http://127.0.0.1:8899"),
        ("http://127.0.0.1:8899/?api-key=SECRET", "http://127.0.0.1:8899"),
        ("https://node.example/v2/SECRET", "https://node.example"),
        ("https://node.example?SECRET", "https://node.example"),
        ("https://node.example#SECRET", "https://node.example"),
        ("https://user:SECRET@node.example/x", "https://node.example"),
        ("postgresql+psycopg://user:SECRET@[::1]:5432/ledger", "postgresql+psycopg://[::1]:5432"),
        ("postgresql://user:SEC@RET@host/ledger", "postgresql://host"),
        ("postgresql://user:SEC'RET@host:1/ledger", "postgresql://host:1"),
        ("postgresql://user:SECR/ET@host:1/ledger", "postgresql://..."),
        ("postgresql://user:5432/SECRET@host/ledger", "postgresql://..."),
        ("postgresql://user:5432?SECRET@host/ledger", "postgresql://..."),
        ("no 'postgresql://user:SEC RET@host/ledger'.", "no 'postgresql://...'."),
        ("postgresql://user:SE@C R@ET@host/ledger fails", "postgresql://... fails"),
        ("https://h:1/x and https://u:SECRET@i/x", "https://h:1 and https://i"),
        ("http://h:1/x is down\nask ada@example.org", "http://h:1 is down\nask ada@example.org"),
        ("wss://[2001:db8::1]/SECRET", "wss://[2001:db8::1]"),
        (
            "for url 'http://h:1/?k=SECRET'\nmore: https://x.org/a.",
            "for url 'http://h:1'\nmore: https://x.org.",
        ),
        ("no address: a/b, SOL/USD, 1:2", "no address: a/b, SOL/USD, 1:2"),
    ],
)
def test_urls_are_cut_down_to_their_hosts(text: str, told: str) -> None:
    assert only_hosts(text) == told


def test_an_http_clients_log_tells_hosts_only(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("test.hosts")
    log.addFilter(hide_in_log)
    with caplog.at_level(logging.INFO, "test.hosts"):
        log.info('HTTP Request: %s %s "%d"', "POST", "https://node.example/v2/SECRET", 429)
    assert caplog.messages == ['HTTP Request: POST https://node.example "429"']
