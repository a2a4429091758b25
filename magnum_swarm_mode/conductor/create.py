# SPDX-License-Identifier: Apache-2.0
"""Creates clusters.

A conductor may die after any line. So the record is written before that which it names is made,
what is made can be found again from the cluster's uuid alone, and each step may be done twice.

One gap is left. Where a conductor stands still before a request until the cluster was deleted and
is gone, makes a trust, a credential or the stack then, and dies before it finds the cluster gone,
that thing stays. The record could outlive the cluster as a list of what may yet come, but the list
is of use only to somebody with the owner's rights, and those end with the cluster: to keep its
trust for some time after each creation that was interrupted would leave more, and more often. The
owner's token, without which nothing is made, ends the gap when it expires.
"""

import contextlib
import dataclasses
from typing import Any

from magnum import objects
from magnum.common import exception as magnum_exception

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import credentials, grants, networks
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import delete, lease, rows
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status
from magnum_swarm_mode.decisions.record import Kind, Phase, new
from magnum_swarm_mode.fixed_network import FixedNetwork
from magnum_swarm_mode.labels import address_pools
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.stack import request as stack_request

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

# How long a creation waits for another conductor's look at the cluster to end, in seconds.
_LEASE_PATIENCE = 30.0


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is known before anything is made."""

    endpoints: cloud_sessions.Endpoints
    fixed_network: FixedNetwork | None
    labels: label_table.Labels
    address_pool: str
    ca_certificate: str
    openstack_ca: str | None


def create(store: Store, context: Any, cluster: Any, timeout_minutes: int) -> None:
    """Ask Heat for a cluster, with the token of the user who wants it.

    :raises SwarmModeError: with a sentence for the user; what was made is undone by then, or
        remembered and undone when the cluster is deleted.
    """
    try:
        _create(store, context, cluster, timeout_minutes)
    except Exception:
        # Magnum's handler calls the cluster failed, and leaves the rows of its groups as they are.
        for group in cluster.nodegroups:
            failed = {"status": "CREATE_FAILED", "status_reason": status.NOT_AT_FAULT}
            with contextlib.suppress(magnum_exception.NodeGroupNotFound):
                rows.write_group(group, failed)
        raise


def _create(store: Store, context: Any, cluster: Any, timeout_minutes: int) -> None:
    # Magnum has made the cluster's certificates, and saves where they are only when this
    # returns; a conductor that dies before would leave a cluster without them.
    _save(store, cluster)
    try:
        session = cloud_sessions.user_session(context)
        plan = _plan(session, cluster)
        # Whatever is refused shall be so before a credential is made.
        _request(cluster, plan, stack_request.NodeCredential("", ""), timeout_minutes)
    except Exception:
        _forget(store, cluster)
        raise
    record = _begin(store, session, cluster)
    if record is None:
        return
    try:
        with lease.kept(store, record, "creation"):
            _make(store, session, cluster, plan, record, timeout_minutes)
    except Conflict:
        _yield(store, session, cluster, record)
    except Exception as error:
        LOG.warning("Creating cluster %s failed: %s", cluster.uuid, _for_operator(error))
        _undo(store, session, cluster, store.get(cluster.uuid))
        if isinstance(error, exceptions.SwarmModeError):
            raise
        raise exceptions.SwarmModeError(
            "The cluster could not be created for a reason that the operator finds in the log "
            f"of magnum-conductor ({type(error).__name__}).",
            str(error),
        ) from error


def _save(store: Store, cluster: Any) -> None:
    """Let the row name the certificates.

    :raises ClusterNotFound: when a delete was quicker and has finished; nothing stays of it then.
    """
    references = [one for one in certificate_store.references(cluster).values() if one]
    try:
        cluster.save()
    except magnum_exception.ClusterNotFound:
        orphans.discard(store, cluster.uuid, references)
        record = store.get(cluster.uuid)
        if record is not None:
            orphans.forget(store, record)
        raise
    store.amend(cluster.uuid, lambda state: orphans.used(state, references))


def _begin(store: Store, session: Any, cluster: Any) -> Record | None:
    """Write the record; None when there is nothing to make (any more)."""
    owner_id = session.get_user_id()
    name = stack_request.stack_name(cluster)
    state = new(Phase.PREPARING, owner_id, name)
    leased: Record | None = None
    with contextlib.suppress(Conflict):
        # Without rights it is forgotten again if this conductor dies here after a delete.
        empty, seconds = new(Phase.PREPARING, "", name), lease.LEASE_SECONDS
        leased = store.insert(cluster.uuid, cluster.project_id, empty, lease=seconds)
        if not _is_wanted(cluster):
            # A delete was quicker, has finished, and will not look for this record.
            store.delete(leased)
            return None
    # Else the record is there since the certificates were made, and polls look at it.
    leased = leased or lease.take(store, cluster.uuid, _LEASE_PATIENCE)
    if leased is None:
        raise Conflict(cluster.uuid)
    if leased.state.phase not in (Phase.PREPARING, Phase.SUBMITTING):
        cluster.stack_id = leased.state.stack.id or None
        lease.release(store, leased)
        return None
    if leased.state.has_begun:
        return leased
    # The rights are noted before they are asked for.
    owned = (*state.owned, *leased.state.things(Kind.CERTIFICATE))
    try:
        return store.write(
            leased, dataclasses.replace(leased.state, owner_id=owner_id, owned=owned)
        )
    except Conflict:
        # A delete has begun; nothing was made that it does not know of.
        lease.release(store, leased)
        return None


def _forget(store: Store, cluster: Any) -> None:
    """Forget a cluster of which only certificates were made, which its row names."""
    record = store.get(cluster.uuid)
    if record is None or record.state.has_begun:
        return
    if record.state.phase is Phase.PREPARING:
        with contextlib.suppress(Conflict):
            store.delete(record)


def _make(
    store: Store, session: Any, cluster: Any, plan: _Plan, record: Record, timeout_minutes: int
) -> None:
    heat_api = reach.heat_of(session)
    name = record.state.stack.name
    # An earlier attempt may have got as far as Heat.
    found = heat_api.get(name) if record.state.stack.since else None
    if found is None:
        trust_id = credentials.create_trust(session, cluster.uuid, grants.trustee_id())
        state = record.state.owning(Kind.TRUST, "0", id=trust_id)
        record = store.write(record, state.entering(Phase.PREPARING))
        node = credentials.create_node_credential(session, cluster.uuid, plan.endpoints.magnum_url)
        request = _request(cluster, plan, node, timeout_minutes)
        state = record.state.owning(Kind.CREDENTIAL, "0", id=node.id)
        state = state.owning(Kind.STACK, since=int(clocks.now()))
        record = store.write(record, state.entering(Phase.SUBMITTING))
        before = credentials.trusts_given(session)
        stack_id = reach.submit(heat_api, request, name, timeout_minutes)
        heat_trust = credentials.only_new(before, credentials.trusts_given(session))
    else:
        stack_id, heat_trust = found.id, ""
    state = record.state.owning(Kind.STACK, id=stack_id, trust=heat_trust)
    record = store.write(record, state.entering(Phase.CREATED))
    cluster.stack_id = stack_id
    # Of clusters that somebody else deleted: only their owner's own token can remove them.
    owner_id = record.state.owner_id
    credentials.remove_access_rules([lambda: session], owner_id, None, store.known)


def _undo(store: Store, session: Any, cluster: Any, record: Record | None) -> None:
    """Unmake what a failed creation has made; what cannot be unmade now stays in the record."""
    name = stack_request.stack_name(cluster)
    try:
        heat_api = reach.heat_of(session)
        stack_is_there = heat_api.get(name) is not None
        if stack_is_there:
            heat_api.delete(name)
        if record is not None and record.state.phase not in (Phase.DELETING, Phase.CLEANING):
            # Nobody has asked for a deletion; when somebody does, it looks for the stack.
            record = store.write(record, record.state.entering(Phase.ABANDONED))
        if not stack_is_there:
            delete.revoke(store, cluster, record.state if record else None, [lambda: session])
    except Exception as error:
        LOG.warning(
            "Undoing the creation of cluster %s is left to its deletion: %s",
            cluster.uuid,
            _for_operator(error),
        )


def _yield(store: Store, session: Any, cluster: Any, held: Record) -> None:
    """Leave a cluster to whoever wrote its record while it was created."""
    record = store.get(cluster.uuid)
    if record is not None and record.state.phase not in (Phase.DELETING, Phase.CLEANING):
        # Another conductor took the lease over, and finds by its name what was made.
        LOG.warning("Cluster %s was taken over while it was created", cluster.uuid)
        return
    # A user's delete has begun and may already have looked for what is here.
    LOG.info("Cluster %s is deleted while it is created", cluster.uuid)
    try:
        # Absent is fine. The delete finds the stack as well, unless it looked too early.
        reach.heat_of(session).delete(stack_request.stack_name(cluster))
        grant = grants.present(held.state)
        grants.revoke_node(store, cluster.uuid, grant, [lambda: session])
        if record is None or record.state.phase is Phase.CLEANING:
            # Else cleaning is still to come, and until then the trust is needed.
            delete.revoke(store, cluster, held.state, [lambda: session])
    except Exception as error:
        LOG.error(
            "Cluster %s was deleted while it was created; its stack or credentials may stay "
            "behind: %s",
            cluster.uuid,
            _for_operator(error),
        )


def _is_wanted(cluster: Any) -> bool:
    """Return whether Magnum still has the cluster's row, and not for deleting it."""
    try:
        row = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid)
    except magnum_exception.ClusterNotFound:
        return False
    return not str(row.status).startswith("DELETE")


def _plan(session: Any, cluster: Any) -> _Plan:
    """Find out everything that can be without making anything."""
    template = cluster.cluster_template
    parsed = label_parsing.parse(cluster.labels or {}, CONF.swarm_mode)
    endpoints = cloud_sessions.node_endpoints(session)
    fixed = networks.resolve(
        session,
        cloud_sessions.region_name(),
        cloud_sessions.interface(),
        cluster.fixed_network or template.fixed_network,
        cluster.fixed_subnet or template.fixed_subnet,
    )
    pool = address_pools.pool_for(
        parsed.swarm_address_pool,
        CONF.swarm_mode.address_pools,
        parsed.swarm_address_pool_mask,
        subnet=fixed,
        dns=template.dns_nameserver,
        endpoints=cloud_sessions.addresses_of((endpoints.auth_url, endpoints.magnum_url)),
    )
    return _Plan(
        endpoints=endpoints,
        fixed_network=fixed,
        labels=parsed,
        address_pool=pool,
        ca_certificate=certificate_store.certificate(cluster.uuid, cluster.ca_cert_ref),
        openstack_ca=cloud_sessions.openstack_ca(),
    )


def _request(
    cluster: Any, plan: _Plan, node: stack_request.NodeCredential, timeout_minutes: int
) -> stack_request.StackRequest:
    return stack_request.build(
        stack_request.from_magnum(
            cluster,
            cluster.cluster_template,
            plan.labels,
            ca_certificate=plan.ca_certificate,
            magnum_url=plan.endpoints.magnum_url,
            auth_url=plan.endpoints.auth_url,
            region_name=cloud_sessions.region_name(),
            node_credential=node,
            fixed_network=plan.fixed_network,
            openstack_ca=plan.openstack_ca,
            address_pool=plan.address_pool,
            timeout_minutes=timeout_minutes,
        )
    )


def _for_operator(error: BaseException) -> str:
    if isinstance(error, exceptions.SwarmModeError):
        return error.operator_message
    return f"{type(error).__name__}: {error}"
