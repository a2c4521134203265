"""What a process passes on of its environment to one that it starts: what is named, nothing else of the operator's."""

from collections.abc import Iterable, Mapping
from typing import Final

EVERYBODY: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "LANG", "LANGUAGE", "LC_*"),
    *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
    *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "PYTHONOPTIMIZE"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS", "PYTHONDEVMODE"),
    *("PYTHONASYNCIODEBUG", "PYTHONFAULTHANDLER", "PYTHONMALLOC", "PYTHONTRACEMALLOC"),
)
"""What every program may know: where programs, files and libraries are, in which language and time zone, and how Python runs."""


def passed_on(inherited: Mapping[str, str], allowed: Iterable[str] = EVERYBODY) -> dict[str, str]:
    """Those of `inherited` that are `allowed`: by their names, or by their beginnings where these end in `*`."""
    names = frozenset(allowed)
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))
    return {name: value for name, value in inherited.items() if name in names or name.startswith(beginnings)}
