# SPDX-License-Identifier: Apache-2.0
"""What the driver's own table holds."""

from __future__ import annotations

import json
from collections.abc import Iterable

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.decisions.record import Kind, Phase, State, new
from magnum_swarm_mode.decisions.rotation import CaRotation, CredentialRotation
from tests.fuzz import inputs
from tests.fuzz.harness import Target


class Records(Target):
    """The text of a record, perhaps of a newer release.

    Only ``Inconsistent`` leaves the reader. What it returns can be written again and read again as
    the same, and says when a look is due.
    """

    name = "record"
    depths = (State.from_json, State.to_json)
    refusals = (exceptions.Inconsistent,)

    def inputs(self) -> inputs.Make:
        begun = new(Phase.CREATED, "owner", "swarm-mode-1").owning(Kind.CERTIFICATE, "ref", since=5)
        whole = json.loads(begun.to_json())
        ca = json.loads(State(Phase.CREATED, "o", ca=CaRotation()).to_json())
        rotated = State(Phase.DELETING, "o", credential=CredentialRotation())
        return inputs.documents(whole, ca, json.loads(rotated.to_json()))

    def read(self, data: bytes) -> Iterable[str]:
        state = State.from_json(data.decode("utf-8", "surrogateescape"))
        again = State.from_json(state.to_json())
        assert again.to_json() == state.to_json()
        assert isinstance(state.work_due, int)
        return ()


TARGETS = (Records(),)
