# SPDX-License-Identifier: Apache-2.0
"""JSON patches as Magnum takes them; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Patch = list[dict[str, Any]]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """Return the patch that gives fields their new values.

    :param before: the fields as Magnum has them; others than those of ``after`` stay.
    :param after: new values; None or empty text removes a field.
    """
    patch: Patch = []
    for name, value in sorted(after.items()):
        old = before.get(name)
        if value == old or (_is_nothing(value) and _is_nothing(old)):
            continue
        if _is_nothing(value):
            patch.append({"op": "remove", "path": f"/{name}"})
        else:
            patch.append({"op": "replace", "path": f"/{name}", "value": _plain(value)})
    return patch


def _is_nothing(value: Any) -> bool:
    return value is None or value == ""


def _plain(value: Any) -> Any:
    # A patch of Magnum's carries text, integers and booleans; an object is written as text.
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
