# SPDX-License-Identifier: Apache-2.0
"""A manager's way into the swarm: asks the others, founds or joins, and serves the API."""

import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Optional

from . import certificates, formation, magnum, networks, proxy, system, units, wait, web
from .config import Config
from .docker import Docker, Info
from .errors import NodeError, Temporary
from .formation import Kind, Peer, Step
from .identity import Identity
from .paths import Paths

# A Swarm config: its name is unique in the whole swarm, so that making it is an atomic lock.
LOCK = "magnum-swarm-mode.manager-join"
_HOLDER = "magnum-swarm-mode.holder"
LOCK_LIFETIME = 240.0  # seconds; longer than a holder needs for everything it does
CLEAR_TIMEOUT = 45.0  # seconds for a dead entry to go
CONFIRM_TIMEOUT = 60.0  # seconds for a new manager to be seen by the others
CERTIFICATE_TIMEOUT = 300.0  # seconds for Magnum to sign
SWARM_PORT = 2377


def ensure_certificate(config: Config, index: int, paths: Paths, timeout: float) -> bool:
    """Have a valid certificate; return whether a new one was issued.

    :param timeout: seconds to wait for Magnum
    :raises NodeError: refused, or not signed in time
    """
    system.write(paths.cluster_ca, config.ca_certificate.strip() + "\n")
    names = certificates.wanted_names(config, index, socket.gethostname())
    current = certificates.inspect(paths)
    if not certificates.reason_to_issue(current, names, index, time.time()):
        return False
    wait.until(
        "certificate from Magnum",
        lambda: certificates.issue(paths, names, index, lambda csr: magnum.sign(config, csr)),
        timeout,
        interval=3,
    )
    return True


def renew(config: Config, index: int, paths: Paths) -> bool:
    """Renew the certificate when it is time, and have everything use it.

    :returns: whether there is a new one
    :raises NodeError: it was time, and it did not work
    """
    renewed = ensure_certificate(config, index, paths, timeout=0)
    if renewed:
        proxy.ensure(config, paths, renewed=True)
        system.run("systemctl", "try-restart", units.JOIN)
    current = certificates.inspect(paths)
    if renewed and current:
        units.set_timer(certificates.check_interval(current.issued, current.expires), paths)
    return renewed


class Formation:
    """One manager on its way into the swarm; attempt() is one step and does not sleep long.

    :param index: which manager this is
    :param address: its own, advertised to the swarm
    :param docker: its own engine
    :param connect: returns a client of another manager's engine
    :param status: returns Magnum's status of the cluster
    :param say: takes lines for the log
    """

    def __init__(
        self,
        config: Config,
        identity: Identity,
        index: int,
        paths: Paths,
        docker: Docker,
        connect: Callable[[int], Docker],
        status: Callable[[], str],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._identity = identity
        self._index = index
        self._paths = paths
        self._address = config.managers[index].address
        self._docker = docker
        self._connect = connect
        self._status = status
        self._say = say
        self._clock = clock
        self._leaderless_since: Optional[float] = None
        self._lock_seen = ("", 0.0)

    def attempt(self) -> Info:
        """Return the engine's state once it is a manager that others see.

        :raises Temporary: not yet, with the reason
        :raises NodeError: never
        """
        info = self._docker.info()
        if info.state == "active":
            return self._confirm(info)
        peers = self._ask()
        if info.state != "inactive" or info.node_id:
            self._give_up_half_done(info, peers)
        step = self._decide(peers)
        if step.kind is Kind.FAIL:
            raise NodeError(step.why)
        if step.kind is Kind.WAIT:
            raise Temporary(step.why)
        self._say(f"{step.kind.value}: {step.why}")
        if step.through is None:
            self._found()
        else:
            self._join(self._connect(step.through))
        return self._confirm(self._docker.info())

    def _ask(self) -> Dict[int, Peer]:
        """Ask every other manager at once."""

        def ask(index: int) -> Peer:
            try:
                return formation.classify(self._connect(index).info())
            except NodeError:
                return Peer.SILENT

        others = [index for index in self._config.managers if index != self._index]
        if not others:
            return {}
        with ThreadPoolExecutor(len(others)) as pool:
            return dict(pool.map(lambda index: (index, ask(index)), others))

    def _decide(self, peers: Dict[int, Peer]) -> Step:
        status = None
        if self._index == 0 and all(peer is Peer.OUTSIDE for peer in peers.values()):
            status = self._status()
        if not formation.lost_quorum(peers):
            self._leaderless_since = None
        elif self._leaderless_since is None:
            self._leaderless_since = self._clock()
        since = self._leaderless_since
        return formation.decide(
            self._index, peers, status, 0.0 if since is None else self._clock() - since
        )

    def _place(self) -> Dict[str, Any]:
        return {
            "ListenAddr": f"0.0.0.0:{SWARM_PORT}",
            "AdvertiseAddr": self._address,
            "DataPathAddr": self._address,
            "Availability": self._config.manager_availability,
        }

    def _found(self) -> None:
        config = self._config
        # Kept for a second run, should this one end before the ingress network is right.
        system.write(self._paths.founding, "")
        pool = {}
        if config.address_pool:
            pool = {
                "DefaultAddrPool": [config.address_pool],
                "SubnetSize": config.address_pool_mask,
            }
        self._docker.call(
            "POST",
            "/swarm/init",
            {
                **self._place(),
                **pool,
                "DataPathPort": config.data_path_port,
                "Spec": {},
            },
            timeout=90,
        )

    def _confirm(self, info: Info) -> Info:
        """Return info when this manager is in Raft and the others reach it."""
        if not info.control:
            raise NodeError("this server is in the swarm as a worker, not as a manager")
        if info.error:
            raise Temporary(f"the swarm has no leader: {info.error}")
        own = [node for node in self._docker.nodes() if node.id == info.node_id]
        if not own or own[0].reachability != "reachable":
            raise Temporary("the other managers do not reach this one yet")
        if self._paths.founding.exists():
            networks.ensure_ingress(self._docker, self._config.mtu)
            self._paths.founding.unlink()
        return info

    def _join(self, via: Docker) -> None:
        lock = self._lock(via)
        try:
            managers = self._clear(via)
            token = via.tokens()[1]
            self._docker.call(
                "POST",
                "/swarm/join",
                {
                    **self._place(),
                    "RemoteAddrs": managers,
                    "JoinToken": token,
                },
                timeout=90,
            )
            # Whoever joins next needs this one to be reachable: so it keeps the lock until then.
            wait.until(
                "place among the managers",
                lambda: self._confirm(self._docker.info()),
                CONFIRM_TIMEOUT,
            )
        finally:
            try:
                via.delete(f"/configs/{lock}")
            except NodeError as error:
                self._say(f"the lock on joining stays until it expires: {error}")

    def _clear(self, via: Docker) -> Any:
        """Remove this address's dead entry; return the addresses of living managers.

        :raises Temporary: somebody's state forbids to join now
        """

        def clear() -> Any:
            nodes = via.nodes()
            entry = formation.may_join(nodes, self._address)
            if entry.dead is None:
                return entry, [node.manager_address for node in nodes if node.in_raft]
            self._say(entry.why)
            if entry.dead.role == "manager":
                via.demote(entry.dead)
                raise Temporary(f"node {entry.dead.id} is being demoted")
            try:
                via.remove(entry.dead.id)
            except NodeError as error:
                raise Temporary(f"node {entry.dead.id} cannot be removed yet: {error}") from error
            raise Temporary(f"node {entry.dead.id} was removed")

        entry, managers = wait.until("removal of the dead entry", clear, CLEAR_TIMEOUT)
        if not entry.ready:
            raise Temporary(entry.why)
        return managers

    def _lock(self, via: Docker) -> str:
        """Take the lock on joining and return its id.

        :raises Temporary: somebody else has it
        """
        found = via.find("/configs", LOCK)
        if found:
            lock = formation.Lock(found["ID"], found["Spec"].get("Labels", {}).get(_HOLDER, ""))
            if self._lock_seen[0] != lock.id:
                self._lock_seen = (lock.id, self._clock())
            age = self._clock() - self._lock_seen[1]
            if not formation.lock_is_void(lock, self._identity.server_uuid, age, LOCK_LIFETIME):
                raise Temporary("another manager is joining")
            via.delete(f"/configs/{lock.id}")
        try:
            made = via.call(
                "POST",
                "/configs/create",
                {
                    "Name": LOCK,
                    "Labels": {_HOLDER: self._identity.server_uuid},
                    "Data": "e30=",
                },
            )
        except NodeError as error:
            if error.status != 409:
                raise
            raise Temporary("another manager is joining") from error
        return str(made["ID"])

    def _give_up_half_done(self, info: Info, peers: Dict[int, Peer]) -> None:
        """Leave what a join left behind, where that can cost nobody the quorum."""
        seen = f"the engine is {info.state}: {info.error or 'no reason given'}"
        inside = [index for index, peer in peers.items() if peer is Peer.INSIDE]
        if info.state == "pending" or not inside:
            raise Temporary(seen)
        nodes = self._connect(inside[0]).nodes()
        if not formation.may_leave(nodes, self._address, info.node_id):
            raise Temporary(f"{seen}; it is listed in the swarm")
        self._docker.call("POST", "/swarm/leave?force=true")
        raise Temporary(f"{seen}; a join half done was given up")


def peer_client(config: Config, context: ssl.SSLContext, index: int) -> Docker:
    """Return a client of another manager's engine."""
    address = config.managers[index].address
    host = f"[{address}]" if ":" in address else address
    return Docker(f"{host}:{config.api_port}", context)


def join(
    config: Config,
    identity: Identity,
    index: int,
    paths: Paths,
    docker: Docker,
    say: Callable[[str], None],
    timeout: float,
) -> Info:
    """Found the swarm or join it, and return the engine's state in it.

    :param timeout: seconds
    :raises NodeError: refused, or not possible in time
    """
    context = web.tls(config.ca_certificate, str(paths.certificate))

    def attempt() -> Info:
        try:
            return process.attempt()
        except Temporary as error:
            say(str(error))
            raise

    process = Formation(
        config,
        identity,
        index,
        paths,
        docker,
        connect=lambda other: peer_client(config, context, other),
        status=lambda: magnum.cluster_status(config),
        say=say,
    )
    return wait.until("place in the swarm", attempt, timeout, interval=1)


def summary(info: Info, version: str) -> str:
    """Return the data that goes with the signal of success."""
    return json.dumps({"node_id": info.node_id, "engine": version})
