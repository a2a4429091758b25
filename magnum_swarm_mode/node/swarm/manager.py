# SPDX-License-Identifier: Apache-2.0
"""A manager's way into the swarm: asks the others, founds or joins, and serves the API."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, Tuple

from ..base import openstack, system, wait, web
from ..base.codes import Code
from ..base.docker import Docker, Info, place
from ..base.errors import NodeError, Temporary
from ..base.node import Node
from ..duties import networks, proxy, units
from . import certificates, formation
from .formation import Peer

# A Swarm config: its name is unique in the whole swarm, so that making it is an atomic lock.
LOCK = "magnum-swarm-mode.manager-join"
_HOLDER = "magnum-swarm-mode.holder"
LOCK_LIFETIME = 180  # seconds; longer than a holder needs for everything it does
CONFIRM_TIMEOUT = 60  # seconds for a new manager to be seen by the others
PENDING_PATIENCE = 120  # seconds that an engine may go on joining by itself
CERTIFICATE_TIMEOUT = 300  # seconds for Magnum to sign
# Nanoseconds that the swarm's own certificates live: two years. A node renews its own after half of
# that, and not while it is switched off.
NODE_LIFE = 63072000 * 10**9


def ensure_certificate(node: Node, index: int, timeout: float) -> str:
    """Have a valid certificate, and trust whom the settings say.

    :returns: what is to be done with the proxy: start, reload or restart

    :param index: which manager this is
    :param timeout: seconds to wait for Magnum
    :raises NodeError: refused, or not signed in time
    """
    config, paths = node.config, node.paths
    names = certificates.wanted_names(config, index, socket.gethostname())

    def reason() -> str:
        known, now = certificates.known(paths), time.time()
        return certificates.reason_to_issue(known, names, index, now, config.api_issuer)

    def issue() -> None:
        with system.locked(paths.signing):
            # Another process may have had one signed.
            if reason():
                certificates.issue(paths, names, index, config)

    why = reason()
    trusted = system.read(paths.cluster_ca)
    if why:
        node.say(f"a certificate is needed: {why}")
        wait.until(
            "certificate from Magnum",
            issue,
            timeout,
            3,
            node.say,
            code=Code.CERTIFICATE_NOT_SIGNED,
        )
    changed = certificates.dress(config, paths)
    if trusted not in system.read(paths.cluster_ca):
        # Connections live on over a reload, also those of whoever is not to be let in any more.
        return "restart"
    return "reload-or-restart" if why or changed else "start"


def renew(node: Node) -> bool:
    """Renew the certificate when it is time, have the proxy use it, and say whether it was.

    :raises NodeError: it was time, and it did not work
    """
    verb = ensure_certificate(node, node.own_index(), 0)
    if verb == "start":
        return False
    proxy.ensure(node.config, node.paths, verb)
    start_timer(node)
    node.say("renewed")
    return True


def start_timer(node: Node) -> None:
    """Have the certificate looked at as often as its life asks for."""
    known = certificates.known(node.paths)
    units.set_timer(certificates.check_interval(known["issued"], known["expires"]), node.paths)


class Formation:
    """One manager on its way into the swarm; attempt() is one step.

    :param index: which manager this is
    :param connect: returns a client of another manager's engine
    """

    def __init__(
        self,
        node: Node,
        index: int,
        connect: Callable[[int], Docker],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._index = index
        self._address = node.config.address(index)
        self._docker = node.docker
        self._connect = connect
        self._clock = clock
        self._started = self._leaderless_since = clock()
        self._lock_seen = ("", 0.0)

    def attempt(self) -> Info:
        """Return the engine's state once it is a manager that others reach.

        :raises Temporary: not yet, with the reason
        :raises NodeError: never
        """
        info = self._docker.info()
        if info.state == "active":
            return self._confirm(info)
        peers = self._ask()
        if formation.classify(info) is not Peer.OUTSIDE:
            self._give_up_half_done(info, peers)
        if not formation.lost_quorum(peers):
            self._leaderless_since = self._clock()
        status = ""
        if formation.may_found(self._index, peers):
            status = openstack.cluster_status(self._node.config)
        leaderless = self._clock() - self._leaderless_since
        through = formation.decide(self._index, peers, status, leaderless)
        if through is None:
            self._found()
        else:
            self._join(self._connect(through))
        return self._confirm(self._docker.info())

    def _ask(self) -> Dict[int, Peer]:
        """Ask every other manager at once."""

        def ask(index: int) -> Tuple[int, Peer]:
            try:
                return index, formation.classify(self._connect(index).info())
            except NodeError as error:
                self._node.say(f"manager {index}: {error}")
                return index, Peer.SILENT

        others = [index for index in self._node.config.indexes if index != self._index]
        with ThreadPoolExecutor(len(others) + 1) as pool:
            return dict(pool.map(ask, others))

    def _found(self) -> None:
        self._node.say("founding the swarm: every other manager says that it is in none")
        config = self._node.config
        # Kept for a second run, should this one end before the ingress network is right.
        system.write(self._node.paths.founding, "yes")
        body = {
            **place(self._address, config.swarm_manager_availability),
            "DataPathPort": config.swarm_data_path_port,
            "Spec": {"CAConfig": {"NodeCertExpiry": NODE_LIFE}},
        }
        if config.swarm_address_pool:
            body["DefaultAddrPool"] = [config.swarm_address_pool]
            body["SubnetSize"] = config.swarm_address_pool_mask
        self._docker.call("POST", "/swarm/init", body)

    def _confirm(self, info: Info) -> Info:
        """Return info when this manager is in Raft and the others reach it."""
        if not info.control:
            raise NodeError("this server is in the swarm as a worker, not as a manager")
        if info.error:
            raise Temporary(info.error)
        if not any(
            node.id == info.node_id and node.reachability == "reachable"
            for node in self._docker.nodes()
        ):
            raise Temporary("the other managers do not reach this one yet")
        founding = self._node.paths.founding
        if founding.exists():
            networks.ensure_ingress(self._docker, self._node.config.engine_mtu)
            founding.unlink()
        return info

    def _join(self, via: Docker) -> None:
        lock = self._lock(via)
        try:
            managers = self._clear(via)
            self._node.say("joining the swarm")
            availability = self._node.config.swarm_manager_availability
            self._docker.join(self._address, via.tokens()[1], managers, availability)
            # Whoever joins next needs this one to be reachable: it keeps the lock until then.
            wait.until(
                "place among the managers",
                lambda: self._confirm(self._docker.info()),
                CONFIRM_TIMEOUT,
            )
        except NodeError as error:
            # Nothing here is final: the next step sees what became of it.
            raise Temporary(str(error)) from error
        finally:
            try:
                via.delete(f"/configs/{lock}")
            except NodeError as error:
                self._node.say(f"the lock on joining stays until it expires: {error}")

    def _clear(self, via: Docker) -> List[str]:
        """Return the living managers' host:port when nothing stands in the way any more.

        :raises Temporary: something does; a dead entry of this address goes step by step
        """
        nodes = via.nodes()
        dead = formation.may_join(nodes, self._address)
        if not dead:
            return [node.manager_address for node in nodes if node.in_raft]
        self._node.say(f"removing the dead entry {dead.id} of this address")
        if dead.role == "manager":
            via.demote(dead)
        else:
            # Refused while it is a member of Raft: until the leader has seen that it was demoted.
            via.delete(f"/nodes/{dead.id}?force=true")
        raise Temporary(f"node {dead.id} is being removed")

    def _lock(self, via: Docker) -> str:
        """Take the lock on joining and return its id; one that is void is removed first.

        :raises Temporary: somebody else has it
        """
        own = self._node.uuid
        found = via.find(f"/configs/{LOCK}")
        if found:
            if found["ID"] != self._lock_seen[0]:
                self._lock_seen = (found["ID"], self._clock())
            # Void: our own of an earlier life, or the very same one for too long.
            expired = self._clock() - self._lock_seen[1] >= LOCK_LIFETIME
            if found["Spec"].get("Labels", {}).get(_HOLDER) != own and not expired:
                raise Temporary("another manager is joining")
            via.delete("/configs/" + found["ID"])
        body = {"Name": LOCK, "Labels": {_HOLDER: own}, "Data": "e30="}
        try:
            return str(via.call("POST", "/configs/create", body)["ID"])
        except NodeError as error:
            if error.status != 409:
                raise
            raise Temporary("another manager is joining") from error

    def _give_up_half_done(self, info: Info, peers: Dict[int, Peer]) -> None:
        """Leave what a join left behind, where that can cost nobody the quorum.

        :raises Temporary: always, for there is nothing else to do in this step
        """
        seen = f"the engine is {info.state} in the swarm: {info.error}"
        inside = [index for index, peer in peers.items() if peer is Peer.INSIDE]
        # A volume may hold the state of a node that was removed: that one stays pending for ever.
        if inside and (info.state == "error" or self._clock() > self._started + PENDING_PATIENCE):
            nodes = self._connect(inside[0]).nodes()
            if formation.may_leave(nodes, self._address, info.node_id):
                self._docker.leave()
        raise Temporary(seen)


def join(node: Node, index: int, timeout: float) -> Info:
    """Found the swarm or join it, and return the engine's state in it.

    :param index: which manager this is
    :param timeout: seconds
    :raises NodeError: refused, or not possible in time
    """
    config = node.config
    context = web.tls(system.read(node.paths.cluster_ca), str(node.paths.certificate))

    def connect(other: int) -> Docker:
        return Docker(f"{web.host(config.address(other))}:{config.api_port}", context)

    process = Formation(node, index, connect)
    what = "place in the swarm"
    return wait.until(what, process.attempt, timeout, 1, node.say, code=Code.NOT_JOINED)


def run(node: Node, deadline: float) -> Info:
    """Do everything that a manager does at a boot, and return the engine's state in the swarm.

    :param deadline: on the monotonic clock, of the first boot
    :raises NodeError: it is not possible
    """
    index = node.own_index()
    left = deadline - time.monotonic()
    if index == node.config.indexes[0]:
        # The others wait as long as it takes that one to come up, which asks Magnum for them.
        left = min(CERTIFICATE_TIMEOUT, left)
    node.begin("certificate")
    try:
        verb = ensure_certificate(node, index, 0 if node.is_known else left)
    except NodeError as error:
        # The swarm comes back without Magnum; the timer goes on trying.
        if not node.is_known:
            if error.status in (401, 403, 404):
                error.code = Code.CERTIFICATE_REFUSED
            raise
        node.say(f"not renewed: {error}")
        verb = "start"
    node.begin("api")
    proxy.ensure(node.config, node.paths, verb)
    node.begin("swarm")
    if node.is_known:
        return node.docker.info()
    # The other managers get their certificates through it.
    system.run("systemctl", "start", "--no-block", units.JOIN)
    info = join(node, index, deadline - time.monotonic())
    start_timer(node)
    # Now there are settings to be taken over.
    system.run("systemctl", "restart", "--no-block", units.JOIN)
    return info
