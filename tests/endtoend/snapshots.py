# SPDX-License-Identifier: Apache-2.0
"""What exists: in the cloud's APIs, in its databases and on this machine.

Two snapshots, one from before a cluster was made and one from after it was deleted, must not
differ. Each thing is one line of text that says what it is.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pymysql

from devcloud import passwords, processes, settings
from devcloud.dataplane import cgroup
from tests.endtoend import users
from tests.endtoend.waiting import TimedOutError, wait_for

Snapshot = Mapping[str, frozenset[str]]

NAMESPACES = Path("/run/netns")
INTERFACES = Path("/sys/class/net")
SETTLE_TIMEOUT = 60.0  # seconds that what is asynchronous may take to go after the API says "gone"

# -- APIs ------------------------------------------------------------------------------------------

# kind: (service, path, key in the answer)
LISTS = {
    "server": ("compute", "/servers/detail?all_tenants=1", "servers"),
    "server group": ("compute", "/os-server-groups?all_projects=True", "server_groups"),
    "volume": ("block-storage", "/volumes/detail?all_tenants=1", "volumes"),
    "volume snapshot": ("block-storage", "/snapshots/detail?all_tenants=1", "snapshots"),
    "port": ("network", "/v2.0/ports", "ports"),
    "floating IP": ("network", "/v2.0/floatingips", "floatingips"),
    "security group": ("network", "/v2.0/security-groups", "security_groups"),
    "security group rule": ("network", "/v2.0/security-group-rules", "security_group_rules"),
    "router": ("network", "/v2.0/routers", "routers"),
    "network": ("network", "/v2.0/networks", "networks"),
    "subnet": ("network", "/v2.0/subnets", "subnets"),
}


def _apis() -> dict[str, frozenset[str]]:
    cloud = users.admin().cloud
    groups = cloud.get("network", "/v2.0/security-groups")["security_groups"]
    defaults = {one["id"] for one in groups if one["name"] == "default"}
    found = {}
    for kind, (service, path, key) in LISTS.items():
        found[kind] = frozenset(
            _text(one) for one in cloud.get(service, path)[key] if not _by_neutron(one, defaults)
        )
    stacks = users.demo().cloud.get("orchestration", "/stacks?show_nested=true")["stacks"]
    found["stack"] = frozenset(f"{one['stack_name']} {one['id']}" for one in stacks)
    return found


def _by_neutron(one: Mapping[str, Any], defaults: set[str]) -> bool:
    """Whether it is, or belongs to, the group that Neutron makes for each project it first sees."""
    return one.get("id") in defaults or one.get("security_group_id") in defaults


def _text(one: Mapping[str, Any]) -> str:
    details = (one.get(key) for key in ("id", "name", "floating_ip_address", "device_owner"))
    return " ".join(str(value) for value in details if value)


# -- databases -------------------------------------------------------------------------------------

# Rows that services write for themselves and that no cluster causes.
NOT_COMPARED = {"magnum": {"magnum_service", "alembic_version"}}
QUERIES = {
    "application credential": "select id, name, user_id from keystone.application_credential",
    "access rule": "select external_id, method, path, user_id from keystone.access_rule",
    "trust": "select id, trustor_user_id from keystone.trust where deleted_at is null",
    "user": "select u.id, u.domain_id from keystone.user u",
    "project": "select id, name, domain_id from keystone.project",
    "EC2 credential": "select id, user_id from keystone.credential",
    "role assignment": "select type, actor_id, target_id, role_id from keystone.assignment",
    "allocation": "select consumer_id, resource_class_id from placement.allocations",
    "stack in Heat's database": "select id, name from heat.stack where deleted_at is null",
    "certificate or key": "select uuid from magnum.x509keypair",
}


def _databases() -> dict[str, frozenset[str]]:
    connection = pymysql.connect(
        host=settings.LOOPBACK,
        port=settings.DATABASE_PORT,
        user="os",
        password=passwords.read()["database"],
    )
    with connection, connection.cursor() as cursor:
        found = {kind: _rows(cursor, query) for kind, query in QUERIES.items()}
        tables = _rows(
            cursor,
            "select table_name from information_schema.tables where table_schema = 'magnum'",
        )
        for table in tables:
            if table in NOT_COMPARED["magnum"] or "alembic" in table:
                continue
            columns = _rows(
                cursor,
                "select column_name from information_schema.columns where table_schema = 'magnum' "
                f"and table_name = '{table}' and (column_key = 'PRI' or column_name in "
                "('name', 'uuid', 'cluster_id', 'cluster_uuid'))",
            )
            names = ", ".join(f"`{column}`" for column in sorted(columns)) or "*"
            found[f"row of {table}"] = _rows(cursor, f"select {names} from magnum.`{table}`")
    return found


def _rows(cursor: Any, query: str) -> frozenset[str]:
    cursor.execute(query)
    return frozenset(" ".join(str(value) for value in row) for row in cursor.fetchall())


# -- this machine --------------------------------------------------------------------------------


def _machine() -> dict[str, frozenset[str]]:
    return {
        "network namespace": frozenset(names(NAMESPACES, settings.PREFIX)),
        "interface": frozenset(_interfaces()),
        "mount": frozenset(mounts()),
        "process of a server": frozenset(machine_processes().values()),
        "loop device": frozenset(loop_devices()),
        "cgroup": frozenset(cgroups()),
        "directory of a server": frozenset(names(settings.NODES)),
        "file of a volume": frozenset(names(settings.VOLUMES)),
        "firewall rule": frozenset(firewall_rules()),
    }


def names(directory: Path, prefix: str = "") -> list[str]:
    """Names in a directory that begin with ``prefix``."""
    if not directory.is_dir():
        return []
    return [one.name for one in directory.iterdir() if one.name.startswith(prefix)]


def output(*command: str) -> str:
    """What a command prints; nothing where it fails, as for a namespace that is not there."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else ""


def namespaces() -> list[str]:
    """Network namespaces of the cloud's own, beside those of servers and routers."""
    mine = names(NAMESPACES, settings.PREFIX)
    apart = (settings.NODE_NETNS_PREFIX, settings.ROUTER_NETNS_PREFIX)
    return [name for name in mine if not name.startswith(apart)]


def _interfaces() -> Iterable[str]:
    for name in names(INTERFACES, "dc"):
        yield f"host {name}"
    for namespace in namespaces():
        for line in output("ip", "-n", namespace, "-o", "link", "show").splitlines():
            yield f"{namespace} {line.split(': ')[1].partition('@')[0]}"


def mounts() -> list[str]:
    """Mount points below the cloud's directory."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = (line.split()[4] for line in lines)
    return [point for point in points if point.startswith(f"{settings.HOME}/")]


def machine_processes() -> dict[int, str]:
    """Processes inside servers: number, and a text without anything that changes."""
    found = {}
    for process in processes.all_facts():
        directory = Path(f"/proc/{process.pid}")
        try:
            groups = (directory / "cgroup").read_text(encoding="utf-8")
            if f"/{settings.CGROUP}/" in groups:
                command = (directory / "comm").read_text(encoding="utf-8").strip()
                server = re.search(rf"/{settings.CGROUP}/([^/\n]+)", groups)
                found[process.pid] = f"{command} in {server[1] if server else '?'}"
        except OSError:
            continue
    return found


def service_processes() -> dict[int, str]:
    """Processes of the cloud's services: number and name."""
    return processes.members(processes.marked_names() | set(processes.recorded_names()))


def loop_devices() -> list[str]:
    """Files of the cloud that are attached to loop devices."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = path.read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if file.startswith(f"{settings.HOME}/"):
            found.append(file)
    return found


def cgroups() -> list[str]:
    """Directories of servers in any hierarchy of control groups."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    return [
        str(one)
        for root in roots
        if (root / settings.CGROUP).is_dir()
        for one in (root / settings.CGROUP).iterdir()
        if one.is_dir() and one.name != cgroup.LAUNCHERS
    ]


COUNTERS = re.compile(r"\[[0-9:]*\]|counter packets \d+ bytes \d+")


def firewall_rules() -> Iterable[str]:
    """Rules and chains of the cloud's own namespaces, without counters."""
    for namespace in namespaces():
        for program in ("iptables-save", "ip6tables-save"):
            for line in output("ip", "netns", "exec", namespace, program).splitlines():
                if line.startswith(("-A", ":")):
                    yield f"{namespace} {program} {COUNTERS.sub('', line)}"
        text = output("ip", "netns", "exec", namespace, "nft", "list", "ruleset")
        for line in text.splitlines():
            yield f"{namespace} nft {COUNTERS.sub('', line).strip()}"


# -- together -----------------------------------------------------------------------------------


def take() -> Snapshot:
    """What there is now."""
    return {**_apis(), **_databases(), **_machine()}


def settled() -> Snapshot:
    """What there is once nothing has changed for a few seconds."""
    last: list[Snapshot] = [take()]

    def unchanged() -> bool:
        last.append(take())
        return last[-1] == last[-2]

    wait_for("nothing to change any more", unchanged, timeout=SETTLE_TIMEOUT, interval=3)
    return last[-1]


def added(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """What is there after and was not before, by kind."""
    return {
        kind: sorted(things - before.get(kind, frozenset()))
        for kind, things in after.items()
        if things - before.get(kind, frozenset())
    }


def leftovers(before: Snapshot, look: Callable[[], Snapshot] = take) -> dict[str, list[str]]:
    """What remains of all that came after ``before``, once that had time to go; by kind."""
    seen: dict[str, list[str]] = {}

    def remaining() -> dict[str, list[str]]:
        seen.clear()
        seen.update(added(before, look()))
        return seen

    try:
        wait_for("nothing to be left", remaining, lambda left: not left, timeout=SETTLE_TIMEOUT)
    except TimedOutError:
        return seen
    return {}


def describe(left: Mapping[str, list[str]]) -> str:
    """Leftovers for people: how many of each kind, and the first few."""
    return "; ".join(
        f"{len(things)} {kind}: {', '.join(things[:4])}" for kind, things in left.items()
    )
