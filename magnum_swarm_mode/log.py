# SPDX-License-Identifier: Apache-2.0
"""Loggers of this package, which make each entry harmless in the log.

Errors of clients and libraries repeat what Docker, Heat, Nova or Keystone said. So each entry is
one line of bounded length without control and bidirectional characters, and so is each exception in
a traceback.
"""

import logging
from typing import Any

from oslo_log import log as oslo_log

from magnum_swarm_mode import text

_LONGEST = 10_000
_LONGEST_ERROR = 2000
# Exceptions that led to each other; more are not shown.
_MOST_CAUSES = 10


def of(module: str) -> Any:
    """Return the logger of a module, as ``oslo_log.log.getLogger`` does."""
    logger = oslo_log.getLogger(module)
    # The same filter twice is added once.
    logger.logger.addFilter(_HARMLESS)
    return logger


class _Harmless(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Make an entry harmless, and let it pass."""
        record.msg, record.args = text.line(record.getMessage(), _LONGEST), ()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            shown = _shown(error)
            record.exc_info = (type(shown), shown, error.__traceback__)
        return True


_HARMLESS = _Harmless()


def _shown(error: BaseException, causes: int = _MOST_CAUSES) -> BaseException:
    """Return an exception that looks like another one in a traceback, with harmless words."""
    kind = type(error)
    words = text.line(_words(error), _LONGEST_ERROR)
    names = {"__module__": kind.__module__, "__str__": lambda _: words}
    shown: BaseException = type(kind.__qualname__, (Exception,), names)()
    shown.__traceback__ = error.__traceback__
    if causes:
        cause, context = error.__cause__, error.__context__
        shown.__context__ = _shown(context, causes - 1) if context else None
        # This suppresses the context, as it does where it was raised.
        if cause is not None:
            shown.__cause__ = _shown(cause, causes - 1)
        shown.__suppress_context__ = error.__suppress_context__
    return shown


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"({type(problem).__name__} in its words)"
