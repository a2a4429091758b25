# SPDX-License-Identifier: Apache-2.0
"""Swarm services for tests, of the local image.

This kernel has no IPVS, so services are found by the addresses of their tasks (``dnsrr``).
"""

from dataclasses import dataclass

from devcloud.demo import shell
from tests.endtoend import images
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

WEB = "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"
# Asks each task by its address, and the service by its name; says who asked, how, and whom it got.
# No wget: the one in a static busybox crashes without the files of a whole system.
ASK = r"""
find() {{ nslookup "$1" | awk '/^Name:/ {{n=1}} n && /^Address/ {{print $NF}}'; }}
get() {{ printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 "$1" 8080 | tail -n 1; }}
while true; do
  for address in $(find tasks.{web}); do echo "$NODE address $(get $address)"; done
  for address in $(find {web}); do echo "$NODE name $(get $address)"; done
  sleep 3
done
"""


@dataclass(frozen=True)
class Task:
    """A task of a service that shall run."""

    ident: str
    node: str  # host name
    state: str


def overlay(docker: Docker, name: str) -> str:
    """Make an overlay network; its name."""
    docker.run("network", "create", "--driver", "overlay", name)
    return name


def remove_network(docker: Docker, name: str) -> None:
    """Remove a network as soon as nothing uses it."""

    def removed() -> str:
        try:
            docker.run("network", "rm", name)
        except shell.CommandError as error:
            return "" if "not found" in error.output else error.output
        return ""

    wait_for(f"network {name} to be removable", removed, lambda why: not why, timeout=60)


def web(docker: Docker, name: str, network: str, replicas: int) -> str:
    """Run a web server ``replicas`` times on workers; its page is its container's host name."""
    return _create(docker, name, network, "--replicas", str(replicas), command=WEB)


def asker(docker: Docker, name: str, network: str, asked: str) -> str:
    """Ask the service ``asked`` from every worker, again and again."""
    return _create(docker, name, network, "--mode", "global", command=ASK.format(web=asked))


def _create(docker: Docker, name: str, network: str, *mode: str, command: str) -> str:
    docker.run(
        *("service", "create", "--detach", "--no-resolve-image", "--name", name),
        *("--network", network, "--endpoint-mode", "dnsrr", "--constraint", "node.role==worker"),
        *("--env", "NODE={{.Node.Hostname}}"),
        *("--restart-delay", "2s", *mode, images.NAME, "sh", "-c", command),
    )
    return name


def remove(docker: Docker, name: str) -> None:
    """Remove a service."""
    docker.run("service", "rm", name)


def tasks(docker: Docker, service: str) -> list[Task]:
    """The tasks of a service that shall run; empty while the managers do not answer."""
    try:
        rows = docker.rows("service", "ps", service, "--filter", "desired-state=running")
    except shell.CommandError:
        return []
    return [Task(one["ID"], one["Node"], one["CurrentState"].split()[0]) for one in rows]


def wait_running(docker: Docker, service: str, count: int, timeout: float = 90.0) -> list[Task]:
    """Wait until ``count`` tasks run; them.

    :raises TimedOutError: not in time
    """
    return wait_for(
        f"{count} running tasks of {service}",
        lambda: tasks(docker, service),
        lambda seen: sum(task.state == "Running" for task in seen) == count == len(seen),
        timeout=timeout,
    )


def containers(docker: Docker, service: str) -> set[str]:
    """Host names of the containers of a service's tasks: the first characters of their ids."""
    wanted = [task.ident for task in tasks(docker, service)]
    found = docker.run(
        "inspect", "--format", "{{.Status.ContainerStatus.ContainerID}}", "--type", "task", *wanted
    )
    return {line[:12] for line in found.split()}


def reached(docker: Docker, service: str, how: str) -> set[tuple[str, str]]:
    """Pairs of asking node and answering container, from an asker's log; ``how`` it asked."""
    lines = docker.run("service", "logs", "--raw", service).splitlines()
    words = (line.split() for line in lines)
    return {(one[0], one[2]) for one in words if len(one) == 3 and one[1] == how}
