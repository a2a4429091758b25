# SPDX-License-Identifier: Apache-2.0
"""Errors that stand outside of Magnum's own methods, in the form of its API."""

from __future__ import annotations

import json

from webob import exc


def answer(kind: type[exc.HTTPError], sentence: str) -> exc.HTTPError:
    """Return an error of HTTP that clients show as a sentence."""
    # Pecan writes title and detail where JSON was asked for; else Magnum's middleware reads the
    # body. Clients show the title only.
    told = {"faultcode": "Client", "title": sentence, "description": sentence}
    error = kind(
        detail=sentence,
        content_type="application/json",
        charset="utf-8",
        body=json.dumps(told).encode(),
    )
    error.title = sentence
    return error
