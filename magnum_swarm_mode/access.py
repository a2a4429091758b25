# SPDX-License-Identifier: Apache-2.0
"""How the conductor reaches what belongs to a cluster: its stacks, and its managers."""

from collections.abc import Iterator
from typing import Any

from keystoneauth1 import exceptions as keystone_exceptions
from magnum.conductor.handlers.common import cert_manager
from oslo_log import log as logging

from magnum_swarm_mode import cloud, docker_api, heat
from magnum_swarm_mode.cluster_record import State

CONF = cloud.CONF
LOG = logging.getLogger(__name__)

TRUST, CALLER, SERVICE = "the creator's trust", "the caller", "Magnum's user"

SWARMS = docker_api.Pool()


def heat_of(session: Any) -> heat.Heat:
    """Return Heat as the owner of a session sees it."""
    return heat.Heat(session, region_name=cloud.region_name(), interface=cloud.interface())


def heat_sessions(context: Any, cluster: Any, state: State) -> Iterator[tuple[str, Any]]:
    """Yield sessions that may reach the cluster's stacks, the best first.

    Magnum's own user sees them in another project, if at all, and there only by their ids.
    """
    if state.trust_id:
        session = cloud.trust_session(state.trust_id)
        try:
            with cloud.keystone_errors("Keystone"):
                session.get_token()
            yield TRUST, session
        except keystone_exceptions.ClientException as error:
            LOG.info("Trust of cluster %s is of no use any more: %s", cluster.uuid, error)
    if cloud.has_token(context) and context.project_id == cluster.project_id:
        yield CALLER, cloud.user_session(context)
    yield SERVICE, cloud.service_session()


def swarm_of(cluster: Any, addresses: list[str]) -> docker_api.Swarm:
    """Return kept connections to a cluster's managers at ``addresses``."""

    def make() -> docker_api.Swarm:
        admin = cloud.admin_context()
        ca = cert_manager.get_cluster_ca_certificate(cluster, context=admin)
        own = cert_manager.get_cluster_magnum_cert(cluster, context=admin)
        identity = docker_api.Identity(
            ca=as_text(ca.get_certificate()),
            certificate=as_text(own.get_certificate()),
            key=as_text(own.get_decrypted_private_key()),
        )
        return docker_api.Swarm(addresses, identity, CONF.swarm_mode.docker_api_timeout)

    key = (cluster.uuid, cluster.ca_cert_ref, cluster.magnum_cert_ref, tuple(addresses))
    return SWARMS.get(key, make)


def output(stack: heat.Stack, name: str) -> list[str]:
    """Return an output that is a list, without what Heat does not know."""
    return [str(value) for value in stack.outputs.get(name) or () if value]


def as_text(value: str | bytes) -> str:
    """Return what Magnum's certificate store gives, which is text or bytes."""
    return value.decode() if isinstance(value, bytes) else value
