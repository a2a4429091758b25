# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002 - the names of the parameters are Magnum's
"""Deletes the clusters that the Swarm drivers of Magnum up to release 17 have left."""

from __future__ import annotations

import contextlib
from typing import Any

from magnum_swarm_mode import driver
from magnum_swarm_mode.admission import legacy as legacy_rules
from magnum_swarm_mode.db.store import Conflict, Store
from magnum_swarm_mode.decisions.record import Phase, new

_INTERRUPTED = (
    "This operation was interrupted when Magnum lost the driver of this cluster; the cluster can "
    "only be deleted."
)


class Driver(driver.Driver):
    """Knows kinds of cluster that nobody can make any more."""

    @property
    def provides(self) -> list[dict[str, str]]:
        """The kinds of cluster that this driver deletes."""
        return legacy_rules.provides()

    def create_cluster(self, context: Any, cluster: Any, cluster_create_timeout: int) -> None:
        """Refuse: a second line behind the API, which refuses first."""
        legacy_rules.refuse_template()

    def delete_cluster(self, context: Any, cluster: Any) -> None:
        """Start to delete the cluster; raises what its ``status_reason`` shall say."""
        _record(cluster)
        super().delete_cluster(context, cluster)

    def update_cluster_status(
        self, context: Any, cluster: Any, use_admin_ctx: bool = False
    ) -> None:
        """Watch a cluster that is deleted; end what a driver that is gone has begun."""
        if cluster.status == "DELETE_IN_PROGRESS":
            _record(cluster)
            super().update_cluster_status(context, cluster)
        elif cluster.status.endswith("_IN_PROGRESS"):
            cluster.status = cluster.status.replace("_IN_PROGRESS", "_FAILED")
            cluster.status_reason = _INTERRUPTED
            cluster.save()

    def _refuse(self, *args: Any, **kwargs: Any) -> None:
        legacy_rules.refuse_operation()

    update_cluster = resize_cluster = upgrade_cluster = _refuse
    create_nodegroup = update_nodegroup = delete_nodegroup = _refuse
    rotate_ca_certificate = rotate_credential = _refuse

    def get_monitor(self, context: Any, cluster: Any) -> None:  # type: ignore[override]
        """Return None: nobody looks at the health of these clusters."""
        return

    def validate_master_size(self, node_count: int) -> None:
        """Leave it to what is refused next, in the API process."""
        return

    validate_master_resize = validate_master_size


def _record(cluster: Any) -> None:
    """Write down where the cluster's stack is; that of such a cluster has a name of its own."""
    store = Store()
    if store.get(cluster.uuid) is not None:
        return
    # None of our credentials were made, which would be its owner's.
    state = new(Phase.DELETING, "", cluster.stack_id or "", cluster.stack_id or "")
    with contextlib.suppress(Conflict):
        store.insert(cluster.uuid, cluster.project_id, state)
