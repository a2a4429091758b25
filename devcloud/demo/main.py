# SPDX-License-Identifier: Apache-2.0
"""``tools/demo``: a real OpenStack, and on it a swarm of 11 nodes that Magnum makes."""

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from devcloud import settings
from devcloud.demo import shell, steps
from devcloud.demo.observe import Seen, look
from devcloud.demo.progress import Display, duration, line
from devcloud.demo.rest import Cloud, RestError, UnreachableError

INTERVAL = 3.0  # seconds between two looks at the cluster
DOCKER_DEADLINE = 60.0  # seconds until every node must be Ready after Magnum said that all is made
CLIENTS = settings.DATA / "clients"


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and where to read more."""


def say(text: str = "") -> None:
    """Print for people at once, in the order of the commands' own output."""
    print(text, flush=True)


def echo(command: str) -> None:
    """Show a command as a user would type it."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    say(f"\n{bold}$ {command}{plain}")


def typed(path: Path) -> str:
    """A path as one would type it from here: relative where it is below."""
    here = Path.cwd()
    below = here != Path("/") and path.is_relative_to(here)
    return shlex.quote(str(path.relative_to(here) if below else path))


class Demo:
    """One run.

    :param timeout: seconds that the cluster may take
    :param horizon: whether to start Horizon
    """

    def __init__(self, timeout: float, horizon: bool = False) -> None:
        self._timeout = timeout
        self._horizon = horizon
        self._environment: Mapping[str, str] = {}
        self._cloud: Cloud
        self._devcloud = typed(shell.DEVCLOUD)
        self._started = time.monotonic()

    def run(self) -> None:
        """Everything, in order.

        :raises DemoError, shell.CommandError, RestError, UnreachableError: it cannot go on
        """
        self._up()
        self._environment = shell.user_environment()
        self._cloud = Cloud(self._environment)
        self._template()
        made_in = self._cluster()
        directory = self._client_files()
        self._show(directory)
        say(f"\nThe swarm runs{made_in}; {duration(time.monotonic() - self._started)} in all.\n")
        docker = "docker" if shutil.which("docker") else self._docker()
        say(steps.farewell(steps.CLUSTER, shlex.quote(str(directory)), docker, self._devcloud))
        if self._horizon:
            user, password = (self._environment[f"OS_{name}"] for name in ("USERNAME", "PASSWORD"))
            say(steps.pages(settings.HORIZON_URL, user, password))

    # -- the cloud ----------------------------------------------------------------------------

    def _up(self) -> None:
        words = ["up", *(["--horizon"] if self._horizon else [])]
        command = " ".join([self._devcloud, *words])
        echo(command)
        # It installs with the proxies and certificates of the caller, so it gets all of them.
        code = shell.run([shell.DEVCLOUD, *words], os.environ)
        if code:
            raise DemoError(
                f"The cloud did not start: `{command}` ended with {code} and says why above. "
                f"Its logs are in {settings.LOG}."
            )

    # -- the seed commands ----------------------------------------------------------------------

    def _template(self) -> None:
        path = f"/clustertemplates/{steps.TEMPLATE}"
        if self._cloud.find("container-infra", path):
            say(f"\nThe cluster template {steps.TEMPLATE} is there already and used as it is.")
            return
        self._type(steps.CREATE_TEMPLATE)

    def _cluster(self) -> str:
        """See to it that the cluster exists; the words that tell how long making it took."""
        seen = self._look()
        step = steps.next_step(seen.status if seen else None)
        if step is steps.Step.USE:
            assert seen is not None
            say(
                f"\nThe cluster {steps.CLUSTER} is there already ({seen.status}) and used as it "
                f"is. For a new one: magnum cluster-delete {steps.CLUSTER}"
            )
            return ""
        if step is steps.Step.REMOVE:
            assert seen is not None
            say(
                f"\nThe cluster {steps.CLUSTER} of an earlier run is {seen.status} "
                f"({seen.reason or 'no reason given'}); it is made again."
            )
            self._type(f"magnum cluster-delete {steps.CLUSTER}")
        if step in (steps.Step.REMOVE, steps.Step.WAIT_UNTIL_GONE):
            self._wait("it is deleted", lambda seen: seen is None)
        began = time.monotonic()
        if step is steps.Step.WAIT:
            say(f"\nThe cluster {steps.CLUSTER} of an earlier run is still being made.")
        else:
            self._type(steps.CREATE_CLUSTER)
            # The API answers before the conductor has written the cluster down.
            self._wait("it exists", lambda seen: seen is not None)
        self._wait_until_made()
        taken = duration(time.monotonic() - began)
        return f", {taken} after " + (
            "this run found it" if step is steps.Step.WAIT else "`magnum cluster-create`"
        )

    def _wait_until_made(self) -> None:
        seen = self._wait(
            "it is made",
            lambda seen: seen is None or steps.next_step(seen.status) is not steps.Step.WAIT,
        )
        if seen is None:
            raise DemoError(f"The cluster {steps.CLUSTER} was deleted while it was made.")
        if not seen.status.endswith("_COMPLETE"):
            raise DemoError(self._why_not(seen))

    def _why_not(self, seen: Seen) -> str:
        """What a failed cluster's owner has to know, and which log explains it."""
        details = "".join(f"\n    {one}" for one in seen.failures[:5])
        return (
            f"The cluster is {seen.status}: {seen.reason or 'no reason given'}"
            + (f"\nHeat's resources that failed:{details}" if details else "")
            + "\nWhat its machines wrote: openstack console log show SERVER "
            f"(or {settings.NODES}/*/console.log)."
            f"\nWhat the services wrote: {settings.LOG}/magnum-conductor.log, heat-engine.log "
            "and nova-compute.log beside it."
        )

    def _look(self) -> Seen | None:
        return look(self._cloud, steps.CLUSTER)

    def _wait(self, what: str, done: Callable[[Seen | None], bool]) -> Seen | None:
        """Show progress until ``done``; the last look.

        :raises DemoError: not in time; it says what was seen last
        """
        display = Display(sys.stdout)
        began = time.monotonic()
        last = "nothing seen yet"
        try:
            while True:
                try:
                    seen = self._look()
                    if done(seen):
                        if seen is not None:
                            display.show(line(seen), time.monotonic() - began)
                        return seen
                    last = line(seen) if seen else "not there yet"
                except UnreachableError as error:
                    last = str(error)
                except RestError as error:
                    if error.status < 500:
                        raise
                    last = str(error)
                passed = time.monotonic() - began
                display.show(last, passed)
                if passed > self._timeout:
                    raise DemoError(
                        f"Waited {duration(passed)} until {what}; last seen: {last}. It goes on "
                        f"by itself: run tools/demo again to look. Logs: {settings.LOG}."
                    )
                time.sleep(INTERVAL)
        finally:
            display.close()

    # -- what the user gets -----------------------------------------------------------------------

    def _client_files(self) -> Path:
        """Write what a docker client needs; where."""
        directory = CLIENTS / steps.CLUSTER
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        where = shlex.quote(str(directory))
        variables = f"{where}/docker.sh"
        self._type(f"magnum cluster-config {steps.CLUSTER} --dir {where} --force")
        self._type(
            f"openstack coe cluster config {steps.CLUSTER} --output-certs --force --dir {where} "
            f"> {variables}"
        )
        return directory

    def _show(self, directory: Path) -> None:
        """What the swarm, and Magnum, say of it."""
        docker = self._docker()
        variables = shlex.quote(str(directory / "docker.sh"))
        client = shell.login_environment()
        count = f". {variables}; {docker} node ls --format '{{{{.Status}}}}' | grep -c Ready"
        wanted = self._wanted()
        deadline = time.monotonic() + DOCKER_DEADLINE
        while True:
            try:
                ready = shell.capture(["bash", "-c", count], client).strip()
            except shell.CommandError as error:
                ready = str(error)
            if ready == str(wanted) or time.monotonic() > deadline:
                break
            time.sleep(INTERVAL)
        self._type(f". {variables}\n{docker} node ls", client)
        if ready != str(wanted):
            raise DemoError(
                f"{wanted} nodes should be Ready, seen: {ready}. What the nodes wrote: "
                f"{settings.NODES}/*/console.log."
            )
        say("\nAs the administrator:")
        self._type(steps.SERVICE_LIST, shell.user_environment("admin"))

    def _wanted(self) -> int:
        seen = self._look()
        return seen.nodes_wanted if seen else steps.NODES

    def _docker(self) -> str:
        found = shutil.which("docker", path=self._environment.get("PATH"))
        if found is None:
            raise DemoError(f"No docker command: {self._devcloud} install brings one.")
        return found

    def _type(self, text: str, environment: Mapping[str, str] | None = None) -> None:
        """Show a command and run exactly what is shown.

        :raises DemoError: it failed
        """
        echo(text)
        code = shell.run(["bash", "-c", text], environment or self._environment)
        if code:
            raise DemoError(
                f"That command ended with {code}. Magnum's logs: {settings.LOG}/magnum-api.log "
                f"and {settings.LOG}/magnum-conductor.log."
            )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration; the exit code (1 failed, 130 interrupted)."""
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__)
    parser.add_argument(
        "--timeout",
        type=float,
        default=15.0,
        metavar="MINUTES",
        help="how long the cluster may take (default: %(default)s)",
    )
    parser.add_argument(
        "--horizon", action="store_true", help="start Horizon with the panel for swarms, too"
    )
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        Demo(chosen.timeout * 60, chosen.horizon).run()
    except KeyboardInterrupt:
        say(
            "\nInterrupted. What was begun goes on by itself; `tools/demo` again continues, "
            "`tools/devcloud down` stops everything."
        )
        return 130
    except (DemoError, shell.CommandError, RestError, UnreachableError) as error:
        print(f"\ntools/demo: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
