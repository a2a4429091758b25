# SPDX-License-Identifier: Apache-2.0
"""Heat as this driver needs it: one stack per cluster, found by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode.stack_parameters import StackRequest


@dataclasses.dataclass(frozen=True)
class Stack:
    """What Heat says about a stack. ``status`` is action and status, as in ``CREATE_COMPLETE``."""

    id: str
    name: str
    status: str
    reason: str
    outputs: Mapping[str, Any]
    parameters: Mapping[str, Any]


class Heat:
    """Calls Heat with a keystoneauth session."""

    def __init__(self, session: Any, *, region_name: str | None, interface: str) -> None:
        raise NotImplementedError

    def create(self, request: StackRequest, name: str, timeout_minutes: int) -> str:
        """Start to create a stack and return its id."""
        raise NotImplementedError

    def update(self, name_or_id: str, parameters: Mapping[str, Any], timeout_minutes: int) -> None:
        """Change only the given parameters; template, files and other parameters stay."""
        raise NotImplementedError

    def get(self, name_or_id: str) -> Stack | None:
        """Return the stack with its outputs, or None when there is none (or it is deleted)."""
        raise NotImplementedError

    def delete(self, name_or_id: str) -> None:
        """Start to delete a stack; one that is absent or already going is fine."""
        raise NotImplementedError

    def failure_reason(self, stack_id: str) -> str | None:
        """Return what failed first, in a sentence a user can act on; None when nothing failed."""
        raise NotImplementedError
