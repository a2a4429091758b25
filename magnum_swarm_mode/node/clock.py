# SPDX-License-Identifier: Apache-2.0
"""Is this node's clock right? With a wrong one no certificate verifies, and nothing says why."""

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Optional
from urllib.parse import urlsplit

from . import web
from .errors import NodeError, Temporary

LARGEST_SKEW = 300  # seconds


def skew(date_header: str, now: float) -> Optional[float]:
    """Return how many seconds now (of the epoch) is ahead of an HTTP Date header."""
    try:
        return now - parsedate_to_datetime(date_header).timestamp()
    except (TypeError, ValueError):
        return None


def check(url: str) -> None:
    """Compare the clock with the Date header of the service at url.

    :raises Temporary: when the two differ too much, or the service does not answer
    """
    parts = urlsplit(url)
    # Not verified, for a wrong clock is what would make that fail; nothing else is taken from it.
    context = ssl._create_unverified_context() if parts.scheme == "https" else None
    try:
        date = web.request("GET", url, context=context).headers.get("date", "")
    except Temporary:
        raise
    except NodeError:
        return
    ahead = skew(date, time.time())
    if ahead is not None and abs(ahead) > LARGEST_SKEW:
        way = "ahead of" if ahead > 0 else "behind"
        raise Temporary(
            f"the clock of this server is {abs(ahead):.0f} s {way} that of {parts.netloc}"
        )
