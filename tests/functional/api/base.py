# SPDX-License-Identifier: Apache-2.0
"""Magnum's own API application on sqlite, with this package registered in it."""

from __future__ import annotations

import atexit
import configparser
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import fixtures
import requests
import sqlalchemy
from oslotest import base

from devcloud import releases
from tests.functional.api import fake_cloud

ROOT = Path(__file__).parents[3]
START_TIMEOUT = 120.0
# A template that is in the database from the beginning.
OLD_TEMPLATE = "99999999-9999-4999-8999-999999999999"

_MAGNUM_CONF = """
[DEFAULT]
{source}
transport_url = fake://
log_file = {directory}/magnum.log
# Messages are dealt with one after the other, so that a call comes back after every cast before it.
executor_thread_pool_size = 1
debug = false
[swarm_mode]
{driver}
{options}
[api]
host = 127.0.0.1
port = {port}
workers = 1
api_paste_config = {paste}
[conductor]
workers = 1
[database]
connection = sqlite:///{directory}/magnum.sqlite
sqlite_synchronous = false
[oslo_messaging_notifications]
driver = noop
[keystone_authtoken]
service_type = container-infra
{auth}
[keystone_auth]
{auth}
[trust]
trustee_domain_name = magnum
trustee_domain_admin_name = magnum
trustee_domain_admin_password = magnum
{extra}
"""

_AUTH = """auth_type = password
auth_url = {url}/v3
www_authenticate_uri = {url}/v3
username = magnum
password = magnum
project_name = service
user_domain_name = Default
project_domain_name = Default"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def entry_points() -> str:
    """Return what an installation of this package would make known to Magnum."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return "\n".join(
        f"[{group}]{names}"
        for group, names in setup["entry_points"].items()
        if group != "console_scripts"
    )


def write_distribution(site: Path, name: str, points: str) -> None:
    """Make entry points known to whoever has ``site`` on its path."""
    directory = site / f"{name}-1.0.dist-info"
    directory.mkdir(parents=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (directory / "entry_points.txt").write_text(textwrap.dedent(points))


def _kept_directory() -> Path:
    """Return a directory that is there until this process ends."""
    directory = Path(tempfile.mkdtemp(prefix="magnum-tests-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@functools.cache
def _site(installed: bool, other_driver: str | None) -> Path:
    """Make entry points known, as an installation would, ahead of what is installed.

    Installations with the same ones share it: stevedore reads all that are installed, which takes
    a second, unless its cache knows the directories.
    """
    site = _kept_directory() / "site"
    write_distribution(site, "magnum_swarm_mode", entry_points() if installed else "")
    if other_driver:
        write_distribution(
            site,
            "other_driver",
            f"""
            [magnum.drivers]
            {other_driver} = tests.functional.api.other_driver:Driver
            """,
        )
    return site


@functools.cache
def _tables(python: str) -> bytes:
    """Return a sqlite database with the tables of a release, whose migrations need another one."""
    file = _kept_directory() / "magnum.sqlite"
    subprocess.run(
        [
            python,
            "-c",
            "import sqlalchemy, sys; from magnum.db.sqlalchemy import models; "
            "models.Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))",
            f"sqlite:///{file}",
        ],
        check=True,
        capture_output=True,
    )
    return file.read_bytes()


class MagnumService(fixtures.Fixture):
    """One of Magnum's services in a process of its own.

    :param kind: as the first argument of ``magnum_process``; None starts none.
    :param registered: whether ``config_source`` names this package.
    :param installed: whether this package's entry points are there.
    :param other_driver: the entry point name of a Kubernetes driver to install beside, if any.
    :param options: lines for ``[swarm_mode]``.
    :param release: the Magnum that runs; its environment must have been made.
    """

    def __init__(
        self,
        kind: str | None = "wsgi",
        *,
        registered: bool = True,
        installed: bool = True,
        other_driver: str | None = None,
        options: str = "",
        extra: str = "",
        release: releases.Release = releases.DEFAULT,
    ) -> None:
        if not release.is_current:
            raise AssertionError(
                f"There is no environment of Magnum {release.version}, or an old one: "
                "`tools/devcloud install` makes it."
            )
        self.release = release
        # The newest release is tested in the environment that the tests run in.
        self.python = sys.executable if release.is_default else str(release.python)
        self.kind = kind
        self.registered = registered
        self.installed = installed
        self.other_driver = other_driver
        self.options = options
        self.extra = extra

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self.cloud = self.useFixture(fake_cloud.FakeCloud())
        self.directory = Path(self.useFixture(fixtures.TempDir()).path)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.journal = self.directory / "journal"
        self._config = self.directory / "magnum.conf"
        self.site = _site(self.installed, self.other_driver)
        self._write_configuration()
        self._create_tables()
        if self.kind:
            self._start()

    def _write_configuration(self) -> None:
        # Where pip puts a wheel's data files.
        prefix = Path(self.python).parents[1]
        self._config.write_text(
            _MAGNUM_CONF.format(
                source="config_source = swarm_mode" if self.registered else "",
                driver="driver = magnum_swarm_mode" if self.registered else "",
                options=self.options,
                directory=self.directory,
                port=self.port,
                paste=prefix / "etc/magnum/api-paste.ini",
                auth=_AUTH.format(url=self.cloud.url),
                extra=self.extra,
            )
        )

    def _create_tables(self) -> None:
        (self.directory / "magnum.sqlite").write_bytes(_tables(self.python))
        # A template of an earlier day.
        self.insert(
            "cluster_template",
            uuid=OLD_TEMPLATE,
            project_id=fake_cloud.PROJECT,
            name="old",
            coe="swarm-mode",
            driver="swarm_mode",
            cluster_distro="ubuntu",
            server_type="vm",
            image_id="ubuntu_xenial",
            labels="{}",
            public=True,
        )
        # So that readers do not shut out the writer.
        engine = sqlalchemy.create_engine(self.database)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        engine.dispose()

    @property
    def database(self) -> str:
        """The URL of the database."""
        return f"sqlite:///{self.directory}/magnum.sqlite"

    def insert(self, table: str, **values: Any) -> None:
        """Write a row as it is in the database, of what columns the release's table has."""
        engine = sqlalchemy.create_engine(self.database)
        metadata = sqlalchemy.MetaData()
        metadata.reflect(engine, only=[table])
        found = metadata.tables[table]
        row = {name: value for name, value in values.items() if name in found.columns}
        with engine.begin() as connection:
            connection.execute(found.insert(), [row])
        engine.dispose()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of processes that belong to this installation."""
        return os.environ | {
            "PYTHONPATH": ":".join(
                filter(None, (str(self.site), str(ROOT), os.environ.get("PYTHONPATH")))
            ),
            # stevedore's cache of entry points knows nothing of PYTHONPATH's content.
            "XDG_CACHE_HOME": str(self.site.parent / "cache"),
            "OS_STDOUT_CAPTURE": "0",
        }

    def run_magnum(
        self, command: str, *arguments: str, check: bool = True, before: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Magnum's commands to its end.

        :param command: name of its module in ``magnum.cmd``.
        :param before: a statement to execute in the process before.
        """
        result = subprocess.run(
            [
                self.python,
                "-c",
                f"import sys\n{before}\n"
                f"from magnum.cmd import {command}\nsys.exit({command}.main())",
                "--config-file",
                str(self._config),
                *arguments,
            ],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
        )
        if check and result.returncode:
            raise AssertionError(f"{command} ended with {result.returncode}: {result.stderr}")
        return result

    def _start(self) -> None:
        output = (self.directory / "output").open("w")
        self.addCleanup(output.close)
        kind = str(self.kind)
        self.process = subprocess.Popen(
            [
                self.python,
                "-m",
                "tests.functional.api.magnum_process",
                kind,
                str(self.port),
                str(self.journal),
                str(self._config),
            ],
            env=self.environment,
            cwd=self.directory,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.addCleanup(self._stop)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{kind} did not start: {self.output}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        if self.kind == "conductor":
            return self.journal.exists() and self.journal.read_text().endswith("\n")
        with contextlib.suppress(requests.RequestException):
            return requests.get(self.url, timeout=10).status_code == 200
        return False

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    @property
    def output(self) -> str:
        """What the service printed and logged."""
        log = self.directory / "magnum.log"
        return (self.directory / "output").read_text() + (log.read_text() if log.exists() else "")

    def rows(self) -> dict[str, int]:
        """Return how many rows each table of the database has."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(f"sqlite:///{self.directory}/magnum.sqlite")
        metadata = sqlalchemy.MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            found = {
                name: connection.execute(
                    sqlalchemy.select(sqlalchemy.func.count()).select_from(table)
                ).scalar_one()
                for name, table in metadata.tables.items()
            }
        engine.dispose()
        return found

    def messages(self) -> list[dict[str, Any]]:
        """Return what the conductor was sent, oldest first."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def call(
        self, method: str, path: str, body: Any = None, token: str = "demo", **options: Any
    ) -> requests.Response:
        """Call Magnum's API with the newest microversion."""
        headers = {
            "X-Auth-Token": token,
            "OpenStack-API-Version": "container-infra latest",
            "Accept": "application/json",
        }
        if body is not None:
            options["data"] = json.dumps(body)
            headers["Content-Type"] = "application/json"
        headers |= options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)


class MagnumTestCase(base.BaseTestCase):
    """Tests that share one service, which starts with the first and ends after the last."""

    service_options: dict[str, Any] = {}
    service: MagnumService

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.service = MagnumService(**cls.service_options)
        cls.service.setUp()
        cls.addClassCleanup(cls.service.cleanUp)

    def template(self, **fields: Any) -> dict[str, Any]:
        """Return the fields of the template that the README shows, changed by ``fields``."""
        return {
            "name": self.id().rpartition(".")[2],
            "coe": "swarm-mode",
            "image_id": "ubuntu_xenial",
            "keypair_id": "fuel",
            "fixed_network": "private",
            "external_network_id": "public",
            "dns_nameserver": "8.8.8.8",
            "flavor_id": "m1.medium",
            "docker_volume_size": 5,
            **fields,
        }

    def create_template(self, **fields: Any) -> dict[str, Any]:
        """Create a template and return it."""
        answer = self.service.call("POST", "/v1/clustertemplates", self.template(**fields))
        self.assertEqual(201, answer.status_code, answer.text + self.service.output[-3000:])
        created: dict[str, Any] = answer.json()
        return created

    def cluster(self, template: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Return the fields of a cluster."""
        return {
            "name": "swarm",
            "cluster_template_id": template["uuid"],
            "master_count": 3,
            "node_count": 8,
            **fields,
        }

    def sentence(self, answer: requests.Response) -> str:
        """Return what a user reads of an answer that is an error."""
        detail: str = answer.json()["errors"][0]["detail"]
        return detail

    def assert_refused(self, answer: requests.Response, *words: str) -> None:
        """Check that the answer is a 400 whose sentence contains all these words."""
        self.assertEqual(400, answer.status_code, answer.text)
        sentence = self.sentence(answer)
        for word in words:
            self.assertIn(word, sentence)
