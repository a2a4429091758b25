# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002 - the names of the parameters are Magnum's
"""The class that Magnum calls; what it does is in ``conductor``."""

import contextlib
from collections.abc import Iterator
from typing import Any

from magnum.common import exception as magnum_exception
from magnum.drivers.common import driver

from magnum_swarm_mode import conf, constants, exceptions, log, sentences
from magnum_swarm_mode.admission import cluster_request
from magnum_swarm_mode.conductor import create, delete, poll
from magnum_swarm_mode.conductor.change import new_group, requests
from magnum_swarm_mode.conductor.monitor import SwarmModeMonitor
from magnum_swarm_mode.conductor.rotation import ca
from magnum_swarm_mode.conductor.rotation.credential_request import Request as CredentialRequest
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions import status as decisions_status
from magnum_swarm_mode.registration import register as registration
from magnum_swarm_mode.stack import upgrade as stack_upgrade

LOG = log.of(__name__)

registration.register()
conf.register_opts(conf.CONF)


class Driver(driver.Driver):
    """Docker Swarm mode on virtual machines with one of ``constants.OS_DISTROS``."""

    @property
    def provides(self) -> list[dict[str, str]]:
        """The kinds of cluster that this driver makes."""
        return [
            {"server_type": constants.SERVER_TYPE, "os": distro, "coe": constants.COE}
            for distro in constants.OS_DISTROS
        ]

    def create_cluster(self, context: Any, cluster: Any, cluster_create_timeout: int) -> None:
        """Ask Heat for the cluster; raises what its ``status_reason`` shall say."""
        with _requested(cluster, sentences.CREATION):
            create.create(Store(), context, cluster, cluster_create_timeout or 0)

    def update_cluster_status(
        self, context: Any, cluster: Any, use_admin_ctx: bool = False
    ) -> None:
        """Bring a cluster in progress up to date."""
        with _logged(cluster):
            poll.poll(Store(), context, cluster)

    def delete_cluster(self, context: Any, cluster: Any) -> None:
        """Start to delete the cluster; raises what its ``status_reason`` shall say."""
        with _requested(cluster, sentences.DELETION):
            delete.delete(Store(), context, cluster)

    def get_monitor(self, context: Any, cluster: Any) -> SwarmModeMonitor:
        """Return what reads the cluster's health and use."""
        return SwarmModeMonitor(context, cluster)

    def get_scale_manager(self, context: Any, osclient: Any, cluster: Any) -> None:
        """Return None: ``update`` chooses nodes to remove."""
        return

    def validate_master_size(self, node_count: int) -> None:
        """Refuse numbers of managers that make no sense, with the arithmetic."""
        cluster_request.validate_manager_count(node_count)

    def validate_master_resize(self, node_count: int) -> None:
        """Refuse, as :meth:`validate_master_size`; whether it is safe now is decided later."""
        cluster_request.validate_manager_count(node_count)

    def update_cluster(
        self,
        context: Any,
        cluster: Any,
        scale_manager: Any = None,
        rollback: bool = False,
    ) -> None:
        """Let the first group of workers have as many nodes as its row says by now."""
        group = cluster.default_ng_worker
        with _requested(cluster, sentences.change_of([group.name])):
            requests.request(Store(), cluster, group, rollback=bool(rollback))
            requests.begin(Store(), context, cluster)

    def resize_cluster(
        self,
        context: Any,
        cluster: Any,
        resize_manager: Any,
        node_count: int,
        nodes_to_remove: Any,
        nodegroup: Any = None,
    ) -> None:
        """Let a group have as many nodes as its row says by now, without the given ones."""
        group = nodegroup or cluster.default_ng_worker
        named = [str(name) for name in nodes_to_remove or ()]
        with _requested(cluster, sentences.change_of([group.name])):
            requests.request(Store(), cluster, group, named)
            requests.begin(Store(), context, cluster)

    def upgrade_cluster(
        self,
        context: Any,
        cluster: Any,
        cluster_template: Any,
        max_batch_size: int,
        nodegroup: Any,
        scale_manager: Any = None,
        rollback: bool = False,
    ) -> None:
        """Let groups be made of what another template says."""
        with _requested(cluster, sentences.change_of([nodegroup.name], "upgrade")):
            upgrade = stack_upgrade.build(cluster, cluster_template, nodegroup, max_batch_size)
            requests.request(Store(), cluster, nodegroup, resized=False, upgrade=upgrade)

    def create_nodegroup(self, context: Any, cluster: Any, nodegroup: Any) -> None:
        """Ask Heat for a further group of workers."""
        with _requested(cluster, group=nodegroup):
            new_group.create(Store(), context, cluster, nodegroup)

    def update_nodegroup(self, context: Any, cluster: Any, nodegroup: Any) -> None:
        """Let the nodes of a group have the labels that its row says by now."""
        with _requested(cluster, group=nodegroup):
            requests.request(Store(), cluster, nodegroup, resized=False)

    def delete_nodegroup(self, context: Any, cluster: Any, nodegroup: Any) -> None:
        """Let a further group of workers be emptied and deleted."""
        with _requested(cluster, group=nodegroup):
            requests.request(Store(), cluster, nodegroup, resized=False, status=requests.DELETING)

    def create_federation(self, context: Any, federation: Any) -> None:
        """Refuse: swarms do not federate."""
        raise _not_offered("Federating")

    def update_federation(self, context: Any, federation: Any) -> None:
        """Refuse: swarms do not federate."""
        raise _not_offered("Federating")

    def delete_federation(self, context: Any, federation: Any) -> None:
        """Refuse: swarms do not federate."""
        raise _not_offered("Federating")

    def rotate_ca_certificate(self, context: Any, cluster: Any) -> None:
        """Have managers and clients use the certificates that Magnum has just made."""
        with _requested(cluster, sentences.CERTIFICATES):
            ca.begin(Store(), context, cluster)

    def rotate_credential(self, context: Any, cluster: Any) -> None:
        """Make new rights with the user's token, and begin to revoke the former ones."""
        with _logged(cluster), _answered():
            CredentialRequest(Store()).serve(context, cluster)


def _not_offered(what: str) -> Exception:
    """Return the error that Magnum's handlers know to change nothing for, where they know one."""
    error: Exception = magnum_exception.NotSupported(
        f"{what} a swarm-mode cluster is not offered in this release."
    )
    return error


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Turn our errors into those that Magnum's API passes on to the user who waits for them.

    :raises magnum.common.exception.InvalidParameterValue: HTTP 400 for what stays refused.
    :raises magnum.common.exception.Conflict: HTTP 409 for what may work later.
    """
    try:
        yield
    except exceptions.Unavailable as error:
        raise magnum_exception.Conflict(error.user_message) from error
    except exceptions.SwarmModeError as error:
        raise magnum_exception.InvalidParameterValue(err=error.user_message) from error


class _logged:  # noqa: N801 - a context manager reads like a function
    """Puts the operator's sentence into the log; the user's goes where Magnum puts it."""

    def __init__(self, cluster: Any) -> None:
        self._uuid = cluster.uuid

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, exceptions.SwarmModeError):
            LOG.error("Cluster %s: %s", self._uuid, error.operator_message)


class _requested(_logged):  # noqa: N801 - as above
    """Puts into the user's sentence which request has failed: Magnum's handlers save it as it is.

    :param what: words for the request.
    :param group: whose request it is. Magnum gives a reason to its row alone, which needs no other
        name, and calls the cluster failed as well.
    """

    def __init__(self, cluster: Any, what: str = "", group: Any = None) -> None:
        super().__init__(cluster)
        self._cluster, self._what, self._group = cluster, what, group

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if not isinstance(error, Exception) or isinstance(error, magnum_exception.MagnumException):
            return
        own = error
        if not isinstance(own, exceptions.SwarmModeError):
            LOG.exception("Cluster %s: a request failed", self._uuid)
            own = exceptions.SwarmModeError(decisions_status.unexpected(type(error).__name__))
        if self._group is not None:
            self._cluster.status_reason = f"Node group {self._group.name}: {own.user_message}"
        else:
            own.user_message = sentences.failed(self._what, own.user_message)
        if own is not error:
            raise own from error
