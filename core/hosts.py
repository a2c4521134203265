"""What may be told of an address: the host. User, path and query are where providers put their keys, and databases a password."""

import logging
import re
from typing import Final

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\S*?)(['\")>,.;]*)(?=\s|$)")
_END: Final = re.compile(r"[/?#]")


def only_hosts(text: str) -> str:
    """`text` with each URL in it cut down to scheme, host and port; to the scheme where it is not certain which part is the host."""
    return _URL.sub(_cut, text)


def _cut(found: re.Match[str]) -> str:
    scheme, rest, mark = found.groups()
    host = _END.split(rest, maxsplit=1)[0].rsplit("@", 1)[-1]
    name, colon, port = host.rpartition(":")
    if colon and not port.isdecimal() and not name.startswith("["):
        # Not a port but what a slash in a password left of it.
        return f"{scheme}://...{mark}"
    return f"{scheme}://{host}{mark}"


def hide_in_log(record: logging.LogRecord) -> bool:
    """A filter for the logger of an HTTP client that writes whole URLs: it tells hosts only, however loud it is."""
    record.msg, record.args = only_hosts(record.getMessage()), ()
    return True
