"""Python runs this first in every process whose path has this folder: all that is logged is written, errors with every variable."""

import logging
import sys
import threading
import traceback
from types import TracebackType


def _told(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> str:
    assert error is not None
    return "".join(traceback.TracebackException(kind, error, trace, capture_locals=True).format())


class _Loud(logging.Formatter):
    def formatException(self, info):
        return _told(*info)


_to_standard_error = logging.StreamHandler()
_to_standard_error.setFormatter(_Loud("%(levelname)s %(name)s %(message)s"))
logging.basicConfig(level=logging.DEBUG, handlers=[_to_standard_error])
sys.excepthook = lambda *info: print(_told(*info), file=sys.stderr)
threading.excepthook = lambda told: print(
    _told(told.exc_type, told.exc_value, told.exc_traceback), file=sys.stderr
)
