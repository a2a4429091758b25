# SPDX-License-Identifier: Apache-2.0
"""Clusters that fail, all at once, each of a cause of its own; see :mod:`tests.endtoend.faults`."""

import atexit
import contextlib
import datetime
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from devcloud import settings
from devcloud.dataplane.machine import Machine
from devcloud.demo import observe
from devcloud.demo.rest import RestError
from tests.endtoend import accepted, clusters, faults, snapshots, users
from tests.endtoend.clusters import Cluster
from tests.endtoend.users import User
from tests.endtoend.waiting import wait_for

WIDTH = 8  # clusters at once: some of them only wait
HEAD_START = 25.0  # seconds that the late one boots alone
# Seconds for which a worker does not reach the managers of a cluster that succeeds;
# LATE_SECONDS=300 has five minutes of it.
LATE = float(os.environ.get("LATE_SECONDS", "90"))
JOIN_TIMEOUT = 60  # seconds, label of those that wait in vain
TIMEOUT = 2  # minutes, of the cluster that Heat gives up
WAIT = TIMEOUT * 60 - 30  # seconds, of its wait conditions
TOO_LARGE = 25_000  # GiB, more than the backend takes
SUBNET = "10.0.9.0/28"
POOL = ("10.0.9.10", "10.0.9.11")
ASKED = (  # resources that a service of the cloud makes
    "OS::Nova::Server",
    "Magnum::SwarmMode::Worker",
    "OS::Neutron::Port",
    "OS::Cinder::Volume",
)
NODE = re.compile(rf"^({faults.NAME}-[a-z]+-(?:manager|worker)-\d+): ")
SENTENCE = re.compile(r"^.*?\(log on that server: [^)]*\)")

Hook = Callable[["World", Cluster], None]


@dataclass(frozen=True)
class Case:
    """A cluster, what is done to it, and from when its cause counts as final.

    :ivar unit: the node's unit whose start makes the cause final; empty: that which a service
        of the cloud said no
    :ivar later: seconds after that
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    workers: int = 0
    after: Hook | None = None
    by_member: bool = False
    unit: str = ""
    later: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How the making of a cluster ended."""

    status: str
    reason: str
    seconds: float  # from the cause becoming final to the status
    took: float  # seconds from the request to the status
    console: str  # of the node that failed, if one did
    events: tuple[str, ...]  # Heat's reasons, of all stacks

    @property
    def sentence(self) -> str:
        """The node's own words."""
        found = SENTENCE.match(self.reason)
        assert found, f"no node's words: {self.reason}"
        return found[0]


def _labels(**labels: object) -> dict[str, object]:
    return {"labels": {name: str(value) for name, value in labels.items()}}


def _delete_credential(_: "World", cluster: Cluster) -> None:
    """Delete the nodes' application credential, as its owner may, before a node can use it."""
    cloud = cluster.user.cloud
    assert cloud.token
    path = f"/users/{cloud.user_id}/application_credentials"
    wanted = f"magnum-swarm-mode-node-{cluster.uuid}"

    def mine() -> list[str]:
        found = cloud.get("identity", path)["application_credentials"]
        return [one["id"] for one in found if one["name"].startswith(wanted)]

    for ident in wait_for("the credential", mine, timeout=60, interval=0.5):
        cloud.call("DELETE", "identity", f"{path}/{ident}")


def _lower_quota(world: "World", _: Cluster) -> None:
    """Take away the member's servers, after they were counted for the request."""
    world.admin.call("PUT", "compute", world.quota, {"quota_set": {"instances": 0, "force": True}})


def _take_address(world: "World", _: Cluster) -> None:
    """Take one of the subnet's two addresses."""
    port = {"network_id": world.network, "name": "takes-an-address"}
    made = world.demo.cloud.call("POST", "network", "/v2.0/ports", {"port": port})["port"]
    world.at_end(world.demo, "network", f"/v2.0/ports/{made['id']}")


PREPARE, RUN = "magnum-swarm-prepare.service", "magnum-swarm-node.service"
CASES = {
    "late": Case(workers=1),
    "timeout": Case({"create_timeout": TIMEOUT}, workers=1),
    "join": Case(_labels(join_timeout=JOIN_TIMEOUT), workers=1, unit=RUN, later=JOIN_TIMEOUT),
    "magnum": Case(_labels(join_timeout=JOIN_TIMEOUT), unit=RUN, later=JOIN_TIMEOUT),
    "certificate": Case(after=_delete_credential, unit=RUN),
    "clock": Case(unit=RUN),
    "engine": Case(unit=RUN),
    "disk": Case(unit=PREPARE),
    # Without the cloud's proxy no mirror can be reached, and the image has another version.
    "packages": Case(
        _labels(docker_version="99.9", join_timeout=JOIN_TIMEOUT), unit=PREPARE, later=JOIN_TIMEOUT
    ),
    "host": Case({"flavor_id": "{flavor}", "master_flavor_id": "{flavor}"}, workers=1),
    "quota": Case(workers=1, after=_lower_quota, by_member=True),
    "address": Case({"fixed_network": "{network}"}, workers=1, after=_take_address),
    "volume": Case({"docker_volume_size": TOO_LARGE}, workers=1),
}


class World:
    """Everything that the cases need, and the cases themselves, once they are started.

    :ivar before: what there was before it
    """

    def __init__(self) -> None:
        self.before = snapshots.settled()
        self.demo = users.demo()
        self.admin = users.admin().cloud
        self.member: User | None = None
        self.quota = ""
        self.flavor = f"huge-{secrets.token_hex(4)}"
        self.network = ""
        self._stack = contextlib.ExitStack()
        self._pool = ThreadPoolExecutor(WIDTH)
        self._outcomes: dict[str, Future[Outcome]] = {}
        self._clusters: list[Cluster] = []

    def at_end(
        self, user: User, service: str, path: str, method: str = "DELETE", **body: Any
    ) -> None:
        """Call something when everything is over; what is gone already is fine."""

        def call() -> None:
            try:
                user.cloud.call(method, service, path, body or None)
            except RestError as error:
                if error.status != 404:
                    raise

        self._stack.callback(call)

    def start(self) -> None:
        """Make what the cases need, and start all of them."""
        self._stack.enter_context(faults.image(self.demo))
        self._make_flavor()
        self._make_network()
        self._make_member()
        self._raise_volume_quota()
        clusters.make_template(self.demo, faults.NAME, image_id=faults.NAME)
        self.at_end(self.demo, "container-infra", f"/clustertemplates/{faults.NAME}")
        for name, case in CASES.items():
            work = self._late if name == "late" else self._fails
            self._outcomes[name] = self._pool.submit(work, name, case)
            if name == "late":
                # It takes longest by far, and longer still when it boots beside all others.
                time.sleep(HEAD_START)
        accepted.begin()

    def outcome(self, name: str) -> Outcome:
        """How a case ended; waits for it."""
        return self._outcomes[name].result()

    def close(self) -> None:
        """Remove everything; a second time does nothing."""
        self._pool.shutdown(cancel_futures=True)
        for cluster in self._clusters:
            if cluster.record() is not None:
                cluster.delete()
        while self._clusters:
            self._clusters.pop().remove()
        self._stack.close()

    # -- what the cases need --------------------------------------------------------------------

    def _make_flavor(self) -> None:
        """A flavor with more disk than the host has; of the rest the quota would refuse it."""
        flavor = {"name": self.flavor, "ram": 1024, "vcpus": 1, "disk": 9_000_000}
        made = self.admin.call("POST", "compute", "/flavors", {"flavor": flavor})["flavor"]
        self.at_end(users.admin(), "compute", f"/flavors/{made['id']}")

    def _make_network(self) -> None:
        """A network with a router and two addresses, enough for one manager and one worker."""

        def make(kind: str, **values: Any) -> str:
            made = self.demo.cloud.call("POST", "network", f"/v2.0/{kind}s", {kind: values})[kind]
            self.at_end(self.demo, "network", f"/v2.0/{kind}s/{made['id']}")
            return str(made["id"])

        self.network = make("network", name=faults.NAME)
        subnet = make(
            "subnet",
            network_id=self.network,
            ip_version=4,
            cidr=SUBNET,
            allocation_pools=[{"start": POOL[0], "end": POOL[1]}],
        )
        routers = self.demo.cloud.get("network", f"/v2.0/routers?name={settings.ROUTER}")["routers"]
        path = f"/v2.0/routers/{routers[0]['id']}"
        self.demo.cloud.call(
            "PUT", "network", f"{path}/add_router_interface", {"subnet_id": subnet}
        )
        remove = f"{path}/remove_router_interface"
        self.at_end(self.demo, "network", remove, "PUT", subnet_id=subnet)

    def _make_member(self) -> None:
        """Another user of the project, who has a quota of servers of their own."""
        name, password = f"member-{secrets.token_hex(4)}", secrets.token_hex(16)
        user = {"name": name, "password": password, "domain_id": "default"}
        ident = self.admin.call("POST", "identity", "/users", {"user": user})["user"]["id"]
        self.at_end(users.admin(), "identity", f"/users/{ident}")
        project = self.admin.get("identity", "/projects?name=demo")["projects"][0]["id"]
        for wanted in ("member", "heat_stack_owner"):
            role = self.admin.get("identity", f"/roles?name={wanted}")["roles"][0]["id"]
            path = f"/projects/{project}/users/{ident}/roles/{role}"
            self.admin.call("PUT", "identity", path)
        self.member = users.same_project(name, password)
        public = settings.SSH_KEY.with_suffix(".pub").read_text(encoding="utf-8").strip()
        key = {"name": settings.KEYPAIR, "public_key": public}
        self.member.cloud.call("POST", "compute", "/os-keypairs", {"keypair": key})
        self.at_end(self.member, "compute", f"/os-keypairs/{settings.KEYPAIR}")
        self.quota = f"/os-quota-sets/{project}?user_id={ident}"
        self.at_end(users.admin(), "compute", self.quota)

    def _raise_volume_quota(self) -> None:
        """Let the project ask for more than the backend has."""
        assert self.demo.cloud.token
        path = f"/os-quota-sets/{self.demo.cloud.project_id}"
        before = self.admin.get("block-storage", path)["quota_set"]["gigabytes"]
        quota: dict[str, Any] = {"quota_set": {"gigabytes": -1}}
        self.admin.call("PUT", "block-storage", path, quota)
        quota = {"quota_set": {"gigabytes": before}}
        self.at_end(users.admin(), "block-storage", path, "PUT", **quota)

    # -- one case -------------------------------------------------------------------------------

    def _ask(self, name: str, case: Case) -> Cluster:
        values = {"flavor": self.flavor, "network": self.network}
        fields = {
            key: value.format(**values) if isinstance(value, str) else value
            for key, value in case.fields.items()
        }
        user = self.member if case.by_member else self.demo
        assert user
        cluster = clusters.ask_for(
            user, f"{faults.NAME}-{name}", faults.NAME, 1, case.workers, **fields
        )
        self._clusters.append(cluster)
        return cluster

    def _fails(self, name: str, case: Case) -> Outcome:
        asked = time.time()
        cluster = self._ask(name, case)
        if case.after:
            case.after(self, cluster)
        status, reason = cluster.wait("CREATE_FAILED")
        failed = time.time()
        stack = observe.find_stack(cluster.user.cloud, cluster.uuid)
        assert stack, reason
        events = _events(cluster, stack)
        node = NODE.match(reason)
        ident = next((s.ident for s in cluster.servers() if node and s.name == node[1]), "")
        if name == "timeout":
            final = _moment(stack["creation_time"]) + WAIT
        elif case.unit:
            assert ident, reason
            final = _started(Machine(ident), case.unit) + case.later
        else:
            final = _refused(cluster)
        outcome = Outcome(
            status=status,
            reason=reason,
            seconds=failed - final,
            took=failed - asked,
            console=_console(cluster.user, ident) if ident else "",
            events=tuple(str(event["resource_status_reason"]) for event in events),
        )
        cluster.delete()
        cluster.wait_gone()
        return outcome

    def _late(self, name: str, case: Case) -> Outcome:
        """Let a worker reach the managers long after it first tried."""
        asked = time.time()
        cluster = self._ask(name, case)
        worker = wait_for("a worker", cluster.workers, timeout=120)[0]
        machine = Machine(worker.ident)
        since = wait_for(
            "the worker to try to join", lambda: _tried(machine), timeout=240, interval=2
        )
        time.sleep(max(0.0, since + LATE - time.time()))
        before = cluster.status()
        assert before[0] == "CREATE_IN_PROGRESS", before
        machine.execute(*faults.CUT)
        opened = time.time()
        status, _ = cluster.wait("CREATE_COMPLETE", timeout=180)
        console = _console(cluster.user, worker.ident)
        seconds = time.time() - opened
        cluster.delete()
        cluster.wait_gone()
        took = time.time() - asked
        return Outcome(status, before[1], seconds, took, console, ())


@cache
def world() -> World:
    """The world that all tests share, started when it is first asked for."""
    made = World()
    atexit.register(made.close)  # nothing happens if a test has done so
    made.start()
    return made


def _moment(text: str) -> float:
    """Seconds of the epoch; services give Greenwich time and do not always say so."""
    when = datetime.datetime.fromisoformat(text.removesuffix("Z"))
    return when.replace(tzinfo=datetime.UTC).timestamp()


def _journal(machine: Machine, unit: str) -> list[tuple[float, str]]:
    """Time and text of each line of a unit."""
    if machine.leader is None:
        return []
    said = machine.execute("journalctl", "-q", "--no-pager", "-o", "short-unix", "-u", unit)
    return [(float(line.split()[0]), line) for line in said.splitlines() if line[:1].isdigit()]


def _started(machine: Machine, unit: str) -> float:
    return _journal(machine, unit)[0][0]


def _tried(machine: Machine) -> float:
    """When a worker first asked for a token; 0 if it did not."""
    lines = _journal(machine, RUN)
    return next((when for when, line in lines if ": swarm: manager 0: " in line), 0.0)


def _console(user: User, ident: str) -> str:
    return user.run("openstack", "console", "log", "show", ident)


def _events(cluster: Cluster, stack: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = f"/stacks/{stack['stack_name']}/{stack['id']}/events?nested_depth=5&limit=1000"
    events: list[dict[str, Any]] = cluster.user.cloud.get("orchestration", path)["events"]
    return events


def _refused(cluster: Cluster) -> float:
    """When a service first said no: what it made since then bears the time, else Heat does."""
    failed = [
        one
        for one in cluster.resources()
        if one["resource_status"].endswith("_FAILED") and one["resource_type"] in ASKED
    ]
    first = min(failed, key=lambda one: str(one["updated_time"]))
    cloud, ident = cluster.user.cloud, first["physical_resource_id"]
    server = ident and cloud.find("compute", f"/servers/{ident}")
    volume = ident and cloud.find("block-storage", f"/volumes/{ident}")
    if server:
        return _moment(server["server"]["updated"])
    return _moment(volume["volume"]["updated_at"] if volume else first["updated_time"])
