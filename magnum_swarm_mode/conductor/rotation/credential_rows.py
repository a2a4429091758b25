# SPDX-License-Identifier: Apache-2.0
"""What the rotation of a credential writes into the record and Magnum's row, and how it ends."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from magnum_swarm_mode import exceptions, reach, sentences
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.conductor.rotation import credential_state
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import steps
from magnum_swarm_mode.decisions.model import Outcome
from magnum_swarm_mode.decisions.record import Phase, State
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import client as swarm_client

_ATTEMPTS = 5
_OUTCOMES = {"UPDATE_COMPLETE": Outcome.COMPLETE, "UPDATE_FAILED": Outcome.FAILED}


class Stopped(exceptions.SwarmModeError):
    """The rotation has ended before its end.

    :ivar revoked: rights that are known to be gone.
    """

    def __init__(self, sentence: str, revoked: Grant | None = None) -> None:
        super().__init__(sentence)
        self.revoked = revoked


class Rows:
    """Writes for one rotation.

    :param store: the table of records.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def own(self, cluster: Any, state: State) -> None:
        """Let Magnum's row name the owner, to whom alone its policy gives certificates.

        His are the managers' as well, who have theirs signed with his credential.
        """
        rows.write(cluster, {"user_id": state.owner_id})

    def stop(self, cluster: Any, sentence: str, revoked: Grant | None = None) -> None:
        """End a rotation before its end, and say how to go on."""
        sentence = sentences.failed(sentences.CREDENTIAL, sentence, (" new credential",))
        if credential_state.AGAIN not in sentence:
            sentence = f"{sentence} {credential_state.AGAIN}"
        self.end(cluster, revoked, "UPDATE_FAILED", sentence, note=sentence)

    def end(
        self,
        cluster: Any,
        revoked: Grant | None,
        status: str,
        reason: str | None,
        *,
        note: str = "",
    ) -> None:
        """Let no rotation be under way any more; what was asked for meanwhile is served next.

        :param note: what is to be said at the end of that, if there is anything.
        """
        record = self._store.get(cluster.uuid)
        if record is None or record.state.phase is not Phase.CREATED:
            return

        def ended(state: State) -> State:
            state = credential_state.over(grants.without(state, revoked) if revoked else state)
            plan = copy.deepcopy(state.plan)
            if not plan.is_over:
                if note:
                    steps.note(plan, note, lasting=True)
            elif status in _OUTCOMES:
                steps.finish(plan, _OUTCOMES[status], reason)
            return dataclasses.replace(state, plan=plan)

        record = self.write(record, ended)
        if record.state.plan.is_over:
            self.tell(cluster, status, reason)

    def write(self, record: Record, change: Callable[[State], State]) -> Record:
        """Change the record under the lease; what others write into it meanwhile stays.

        :raises Conflict: when the lease is lost, or the cluster is being deleted.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._store.write(record, change(record.state))
            except Conflict:
                now = self._store.get(record.cluster_uuid)
                if now is None or now.lease_owner != record.lease_owner:
                    raise
                if now.state.phase is not Phase.CREATED:
                    raise
                record = now
        raise Conflict(record.cluster_uuid)

    def tell(self, cluster: Any, status: str, reason: str | None) -> bool:
        """Write status and reason, unless the status was changed since the cluster was read."""
        return rows.write(cluster, {"status": status, "status_reason": reason})


def swarm_of(cluster: Any, stack: heat_client.Stack | None = None) -> swarm_client.Swarm:
    """Return the cluster's managers, at the addresses that Heat, or else Magnum's row, tells."""
    addresses = reach.output(stack, "manager_addresses") if stack else cluster.master_addresses
    return reach.swarm_of(cluster, list(addresses or ()))
