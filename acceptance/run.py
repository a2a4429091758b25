# SPDX-License-Identifier: Apache-2.0
"""Makes a cluster, tries every promise, and removes what it made, whatever happens."""

import contextlib
import os
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from acceptance import docker as docker_module
from acceptance import probe, promises, waiting
from acceptance.cloud import Cloud, Resource
from acceptance.docker import Docker, Task
from acceptance.errors import Broken
from acceptance.options import Options
from acceptance.promises import Result, Verdict

READY_TIMEOUT = 120.0  # seconds until every node of a complete cluster must be Ready
TASKS_TIMEOUT = 300.0  # the nodes may have to fetch the image first
REBOOT_TIMEOUT = 600.0
DELETE_TIMEOUT = 900.0
PREPARE_TIMEOUT = 900.0
LEFT_TIMEOUT = 60.0  # servers and ports may vanish from lists a moment later
# Ports of the engine without TLS, of managers, of what only nodes may ask, and of gossip.
CLOSED_PORTS = (2375, 2377, *probe.NODE_PORTS, 7946)
WEB, VIRTUAL, SEALED, ASKER = (f"acceptance-{name}" for name in ("web", "virtual", "sealed", "ask"))


class Run:
    """One run; ``results`` fills as it goes on.

    :param say: takes each line of progress.
    """

    def __init__(self, options: Options, cloud: Cloud, say: Callable[[str], None]) -> None:
        self.results: dict[str, Result] = {}
        self._options = options
        self._cloud = cloud
        self._say = say
        self._cluster = ""
        self._stack = ""
        self._gone = False
        self._resources: list[Resource] = []
        self._networks: dict[str, str] = {}  # ids by service

    def all(self) -> None:
        """Try everything; what cannot be tried stays without a result."""
        with contextlib.ExitStack() as cleanup:
            directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
            if not self._try("create", lambda: self._create(cleanup)):
                return
            made: list[Docker] = []

            def connect() -> None:
                made.append(self._client(directory))
                self._nodes(made[0])

            if not self._try("nodes", connect):
                return
            docker = made[0]
            self._try("api-tls", lambda: self._api_tls(docker))
            self._try("closed-ports", lambda: self._closed_ports(docker))
            self._services(docker)
            if not self._options.keep:
                self._try("delete", self._delete)

    # -- bookkeeping -------------------------------------------------------------------------------

    def _try(self, name: str, function: Callable[[], None]) -> bool:
        """Try one promise, write down what became of it, and say whether it holds."""
        self._say(next(one.sentence for one in promises.PROMISES if one.name == name))
        began = time.monotonic()
        reason = ""
        try:
            function()
        except Broken as error:
            reason = str(error) or type(error).__name__
        except Exception as error:
            # What answers in a way that nobody foresaw keeps no promise.
            self._say(traceback.format_exc())
            reason = f"unexpected {type(error).__name__}: {error}"
        self._note(name, reason, time.monotonic() - began)
        return not reason

    def _note(self, name: str, reason: str, seconds: float) -> None:
        verdict = Verdict.FAILED if reason else Verdict.PASSED
        self.results[name] = Result(verdict, seconds, reason)
        self._say(f"{name}: {verdict.value}" + (f": {reason}" if reason else ""))

    def _clean(self, what: str, function: Callable[[], None]) -> Callable[[], None]:
        """Return a step of cleaning up, whose failure does not keep others from being done."""

        def step() -> None:
            if self._options.keep:
                self._say(f"kept: {what}")
                return
            try:
                function()
            except Broken as error:
                self._say(f"{what} could not be removed, do so by hand: {error}")
            except KeyboardInterrupt:
                self._say(f"{what} is left, remove it by hand")
                raise

        return step

    # -- the cluster -------------------------------------------------------------------------------

    def _create(self, cleanup: contextlib.ExitStack) -> None:
        template = self._cloud.make_template(self._options)
        cleanup.callback(
            self._clean(f"template {template}", lambda: self._cloud.delete_template(template))
        )
        self._cluster = self._cloud.make_cluster(self._options, template)
        cleanup.callback(self._clean(f"cluster {self._cluster}", self._remove))

        def status() -> str:
            record = self._cloud.cluster(self._cluster)
            self._stack = record.get("stack_id") or self._stack
            reason = record.get("status_reason") or ""
            failed = str(record.get("status", "")).endswith("_FAILED")
            return f"{record.get('status')}" + (f": {reason}" if failed else "")

        seen = waiting.until(
            f"cluster {self._cluster}",
            status,
            lambda seen: "IN_PROGRESS" not in seen and seen != "None",
            timeout=self._options.create_timeout,
            interval=3,
            say=self._say,
        )
        if seen != "CREATE_COMPLETE":
            raise Broken(seen)
        self._resources = self._cloud.resources(self._stack)

    def _client(self, directory: Path) -> Docker:
        """Return a client of the cluster, after the operator's own preparation."""
        self._cloud.client_files(self._cluster, directory)
        address = str(self._cloud.cluster(self._cluster)["api_address"]).rpartition("//")[2]
        if self._options.prepare:
            self._prepare(address, directory)
        return Docker(address, directory)

    def _prepare(self, address: str, directory: Path) -> None:
        self._say(f"running {self._options.prepare}")
        environment = {
            **os.environ,
            "CLUSTER": self._cluster,
            "DOCKER_HOST": f"tcp://{address}",
            "DOCKER_CERT_PATH": str(directory),
            "DOCKER_TLS_VERIFY": "1",
        }
        try:
            subprocess.run(
                self._options.prepare,
                shell=True,
                env=environment,
                timeout=PREPARE_TIMEOUT,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise Broken(f"the preparation failed: {error}") from error

    def _nodes(self, docker: Docker) -> None:
        wanted = {"manager": self._options.managers, "worker": self._options.workers}

        def ready() -> dict[str, int]:
            found = [one.role for one in docker.nodes() if one.state == "ready"]
            return {role: found.count(role) for role in wanted}

        waiting.until(
            "Ready nodes", ready, lambda seen: seen == wanted, timeout=READY_TIMEOUT, say=self._say
        )

    def _api_tls(self, docker: Docker) -> None:
        if docker.answers_without_certificate():
            raise Broken("the API answers who has no certificate")
        if docker.answers_without_tls():
            raise Broken("the API answers without TLS")

    def _closed_ports(self, docker: Docker) -> None:
        # What drops packets takes its time, so all at once.
        with ThreadPoolExecutor(len(CLOSED_PORTS)) as pool:
            answers = pool.map(lambda port: docker_module.is_open(docker.host, port), CLOSED_PORTS)
        found = [port for port, is_open in zip(CLOSED_PORTS, answers, strict=True) if is_open]
        if found:
            raise Broken(f"{docker.host} is open at " + ", ".join(map(str, found)))

    # -- services ----------------------------------------------------------------------------------

    def _services(self, docker: Docker) -> None:
        if not self._try("tasks", lambda: self._start(docker)):
            return
        began = time.monotonic()
        try:
            seen = self._ask(docker)
        except (Broken, KeyError) as error:
            seen = dict.fromkeys(probe.judge(probe.Answers(""), _NOBODY), str(error))
        for name, reason in seen.items():
            self._note(name, reason, time.monotonic() - began)
        self._try("reboot", lambda: self._reboot(docker))

    def _start(self, docker: Docker) -> None:
        image = self._options.service_image
        plain = docker.make_network("acceptance-plain")
        sealed = docker.make_network("acceptance-sealed", encrypted=True)
        self._networks = {WEB: plain, SEALED: sealed}
        docker.make_service(docker_module.service(WEB, image, probe.WEB, [plain]))
        docker.make_service(
            docker_module.service(
                SEALED, image, probe.SEALED, [sealed], environment={"SEALED": SEALED}
            )
        )
        docker.make_service(
            docker_module.service(
                VIRTUAL,
                image,
                probe.WEB,
                [plain],
                published=self._options.published_port,
                virtual=True,
            )
        )
        nodes = docker.nodes()
        environment = {
            "WEB": WEB,
            "VIRTUAL": VIRTUAL,
            "API_PORT": str(docker.port),
            "PUBLISHED": str(self._options.published_port),
            "NODES": " ".join(one.address for one in nodes),
            "WORKERS": " ".join(one.address for one in nodes if one.role == "worker"),
            "MANAGERS": " ".join(one.address for one in nodes if one.role == "manager"),
            "NODE_PORTS": " ".join(map(str, probe.NODE_PORTS)),
        }
        docker.make_service(
            docker_module.service(ASKER, image, probe.ASK, [plain], environment=environment)
        )
        self._wait_running(docker, WEB)
        self._wait_running(docker, ASKER)

    def _active(self, docker: Docker) -> dict[str, str]:
        """Return the names of the nodes that take tasks, by id."""
        return {one.ident: one.name for one in docker.nodes() if one.availability == "active"}

    def _wait_running(self, docker: Docker, service: str) -> list[Task]:
        """Wait until a service runs on every node, and return its tasks."""
        names = self._active(docker)
        found: list[Task] = []

        def states() -> dict[str, str]:
            found[:] = docker.tasks(service)
            by_node = {one.node: one for one in found}
            return {
                name: _state(by_node[ident]) if ident in by_node else "no task"
                for ident, name in names.items()
            }

        waiting.until(
            f"tasks of {service}",
            states,
            lambda seen: all(state == "running" for state in seen.values()),
            timeout=TASKS_TIMEOUT,
            say=self._say,
        )
        return found

    def _layout(self, docker: Docker) -> probe.Layout:
        nodes = docker.nodes()
        names = {one.ident: one.name for one in nodes}

        def where(service: str) -> dict[str, str]:
            return {
                one.addresses[self._networks[service]]: names[one.node]
                for one in docker.tasks(service)
                if one.state == "running" and self._networks[service] in one.addresses
            }

        return probe.Layout(
            nodes={one.name: one.address for one in nodes if one.availability == "active"},
            tasks=where(WEB),
            sealed=where(SEALED),
            workers=tuple(one.address for one in nodes if one.role == "worker"),
            managers=tuple(one.address for one in nodes if one.role == "manager"),
            api_port=docker.port,
        )

    def _ask(self, docker: Docker) -> dict[str, str]:
        """Return what the tasks' answers come to, as soon as all is well or patience ends."""
        end = time.monotonic() + self._options.patience

        def look() -> dict[str, str]:
            layout = self._layout(docker)
            answers = probe.Answers(docker.logs(ASKER) + docker.logs(SEALED))
            seen = probe.judge(answers, layout)
            missing = [name for name, reason in seen.items() if reason]
            asked = all(answers.rounds.get(node, 0) >= 2 for node in layout.nodes)
            if missing and not (asked and time.monotonic() > end):
                raise Broken("not seen yet: " + ", ".join(missing))
            return seen

        return waiting.until(
            "answers of the tasks",
            look,
            lambda _: True,
            timeout=self._options.patience + TASKS_TIMEOUT,
            interval=3,
            say=self._say,
        )

    def _reboot(self, docker: Docker) -> None:
        worker = next(one for one in docker.nodes() if one.role == "worker")

        def task() -> str:
            found = [one for one in docker.tasks(WEB) if one.node == worker.ident]
            return next((one.ident for one in found if one.state == "running"), "no running task")

        before = task()
        self._cloud.reboot(worker.name, self._resources)
        waiting.until(
            f"a new task on {worker.name} after its reboot",
            task,
            lambda seen: seen.isalnum() and seen != before,
            timeout=REBOOT_TIMEOUT,
            interval=3,
            say=self._say,
        )
        self._nodes(docker)

    # -- the end -----------------------------------------------------------------------------------

    def _delete(self) -> None:
        self._remove()
        waiting.until(
            "the cluster's resources to be gone",
            lambda: self._cloud.left(self._cluster, self._stack, self._resources),
            lambda seen: not seen,
            timeout=LEFT_TIMEOUT,
        )

    def _remove(self) -> None:
        """Delete the cluster unless that was done, and wait until it is gone."""
        if self._gone:
            return
        self._say(f"deleting cluster {self._cluster}")
        self._cloud.delete_cluster(self._cluster)
        seen = waiting.until(
            f"cluster {self._cluster} to be gone",
            lambda: self._cloud.cluster(self._cluster),
            lambda seen: not seen or seen["status"] == "DELETE_FAILED",
            timeout=DELETE_TIMEOUT,
            interval=3,
        )
        if seen:
            raise Broken(f"DELETE_FAILED: {seen.get('status_reason')}")
        self._gone = True


_NOBODY = probe.Layout({}, {}, {}, ())


def _state(task: Task) -> str:
    """Return a task's state, with the reason while it does not run."""
    return task.state if task.state == "running" else f"{task.state} ({task.error})"
