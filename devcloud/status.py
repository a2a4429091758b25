# SPDX-License-Identifier: Apache-2.0
"""Shows every process, whether its endpoint answers, the servers, and memory."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from devcloud import (
    configuration,
    environment,
    horizon,
    images,
    infrastructure,
    passwords,
    processes,
    readiness,
    releases,
)
from devcloud.openstack_services import Catalogue, Versions
from devcloud.processes import Service

_ANSWER_SECONDS = 20  # a busy machine is not a broken cloud


@dataclass(frozen=True)
class Row:
    """One process as ``status`` shows it. Memory in MiB, shared pages counted once."""

    name: str
    pid: int
    answer: str
    memory: float

    @property
    def well(self) -> bool:
        """Whether it runs and answers, as far as it has to."""
        return self.pid != 0 and self.answer in ("", "answers")


def services() -> list[Service]:
    """All services of the cloud. Only names and addresses are right, not fingerprints."""
    rendered = dict.fromkeys(configuration.FILES, "")
    catalogue = Catalogue(rendered, Versions("", "", ""), {})
    more = [horizon.service()] if horizon.is_wanted(None) else []
    return [*infrastructure.services(), *catalogue.services(), *more]


def look(service: Service, members: Iterable[int]) -> Row:
    """Look at one service, whose processes are ``members``."""
    record = processes.running(service.name)
    if record is None:
        return Row(service.name, 0, "", 0)
    answer = ""
    if service.address:
        answer = "answers" if readiness.answers(service.address, _ANSWER_SECONDS) else "silent"
    return Row(service.name, record.pid, answer, processes.memory_mib(members))


def render(rows: Sequence[Row], servers: Sequence[str], magnum: str) -> str:
    """The text that ``status`` prints.

    :param magnum: the release of Magnum that was started last.
    """
    lines = [f"{'SERVICE':<18} {'PID':>7} {'ENDPOINT':<9} {'MEMORY':>9}"]
    for row in rows:
        pid = str(row.pid) if row.pid else "stopped"
        lines.append(f"{row.name:<18} {pid:>7} {row.answer:<9} {row.memory:>5.0f} MiB")
    total = sum(row.memory for row in rows)
    lines.append(f"{'control plane':<36} {total:>5.0f} MiB")
    lines.append(f"release of Magnum: {magnum}")
    lines.append(f"servers: {len(servers)}" + "".join(f"\n  {line}" for line in servers))
    return "\n".join(lines) + "\n"


def servers() -> list[str]:
    """One line per server of the cloud that has not been deleted: name, state, uuid."""
    if processes.running("mariadb") is None:
        return []
    text = infrastructure.query(
        "SELECT display_name, vm_state, uuid FROM nova.instances WHERE deleted = 0"
        " ORDER BY created_at;"
    )
    return [line.replace("\t", "  ") for line in text.splitlines()]


def show() -> bool:
    """Print everything; return whether the cloud is up and every service well."""
    found = services()
    members = processes.members(service.name for service in found)

    def row(service: Service) -> Row:
        return look(service, [pid for pid, name in members.items() if name == service.name])

    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        rows = list(pool.map(row, found))
    release = releases.chosen()
    print(render(rows, servers(), release.version), end="")
    for recipe in images.RECIPES:
        if not images.is_current(recipe):
            print(f"node image {recipe.name}: missing or old")
    if not environment.is_current():
        print("virtual environment: missing or old")
    if not release.is_current:
        print(f"environment of Magnum {release.version}: missing or old")
    if passwords.read() and all(row.well for row in rows):
        return True
    print("the cloud is not up; `tools/devcloud up` starts it" if not _any(rows) else "not well")
    return False


def _any(rows: Sequence[Row]) -> bool:
    return any(row.pid for row in rows)
