"""What may be told of an address: the host. User, path and query are where providers put their keys, and databases a password."""

import logging
import re
from typing import Final

_URL: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://((?:[^\s:]*:\S*[ \t](?:(?!://).)*@)?\S*?)(['\")>,.;]*)(?=\s|$)"
)
"""Also over spaces, up to the last `@` of the line: a password may have them."""
_END: Final = re.compile(r"[/?#]")


def only_hosts(text: str) -> str:
    """`text` with each URL in it cut down to scheme, host and port; to the scheme where it is not certain which part is the host."""
    return _URL.sub(_cut, text)


def _cut(found: re.Match[str]) -> str:
    scheme, rest, mark = found.groups()
    authority, *path = _END.split(rest, maxsplit=1)
    host = authority.rsplit("@", 1)[-1]
    name, colon, port = host.rpartition(":")
    no_port = colon and not port.isdecimal() and not name.startswith("[")
    if no_port or "@" in "".join(path) or any(one.isspace() for one in rest):
        # Perhaps no host but what a slash or a space in a password left of it.
        return f"{scheme}://...{mark}"
    return f"{scheme}://{host}{mark}"


def hide_in_log(record: logging.LogRecord) -> bool:
    """A filter for the logger of an HTTP client that writes whole URLs: it tells hosts only, however loud it is."""
    record.msg, record.args = only_hosts(record.getMessage()), ()
    return True
