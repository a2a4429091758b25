# SPDX-License-Identifier: Apache-2.0
"""Private database servers of a test: MariaDB and PostgreSQL, on a socket in a directory."""

import abc
import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from typing import Any

import fixtures
import sqlalchemy as sa
from oslo_db.sqlalchemy import engines

# Neither server runs as root.
_USER = "nobody"
_START_SECONDS = 120
_STOP_SECONDS = 60


class Server(fixtures.Fixture, abc.ABC):
    """A server, which ends with the test class that uses it."""

    def _setUp(self) -> None:  # noqa: N802 - the name of fixtures
        # A path of a socket has at most 107 octets.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="swarm-mode-db-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.log = self.directory / "log"
        self._owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_USER)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self._owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self._run(self.initialize())
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.directory, **self._owner
            )
        self.addCleanup(self._stop, process)
        self._wait(process)

    def _run(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            subprocess.run(
                command,
                stdout=log,
                stderr=log,
                check=True,
                timeout=_START_SECONDS,
                cwd=self.directory,
                **self._owner,
            )

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        # Nobody needs what is in it any more.
        process.kill()
        process.wait(_STOP_SECONDS)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                engine = self._administrators()
                with contextlib.closing(engine.connect()):
                    return
            except Exception as error:
                if process.poll() is not None or time.monotonic() > end:
                    text = self.log.read_text(encoding="utf-8", errors="replace")
                    raise AssertionError(f"{self.command()[0]} does not start: {text}") from error
                time.sleep(0.1)
            finally:
                engine.dispose()

    def _administrators(self) -> Any:
        return sa.create_engine(self.url(self.first_database), isolation_level="AUTOCOMMIT")

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"magnum_{uuid.uuid4().hex}"
        engine = self._administrators()
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name} {self.options}"))
        engine.dispose()
        return name

    def engine(self, database: str) -> Any:
        """Return an engine as a service has it."""
        return engines.create_engine(
            self.url(database).render_as_string(hide_password=False),
            mysql_sql_mode="TRADITIONAL",
            max_retries=0,
        )

    first_database = ""
    options = ""
    # Lets new sessions have another time zone.
    far_zone = ""

    @abc.abstractmethod
    def initialize(self) -> list[str]:
        """Return the command that makes the data directory."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server."""

    @abc.abstractmethod
    def url(self, database: str) -> sa.URL:
        """Return the address of a database."""


class MariaDB(Server):
    """MariaDB with the character set that Magnum's installation guide gives its database."""

    first_database = "mysql"
    options = "CHARACTER SET utf8mb3"
    far_zone = "SET GLOBAL time_zone = '+09:00'"

    @property
    def _data(self) -> pathlib.Path:
        return self.directory / "data"

    def initialize(self) -> list[str]:
        """Make the data directory; whoever may use the socket is the administrator."""
        return [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]

    def command(self) -> list[str]:
        """Run without a port."""
        return [
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self.directory}/socket",
            f"--pid-file={self.directory}/pid",
            "--skip-networking",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=0",
            "--performance-schema=OFF",
            "--character-set-server=utf8mb3",
        ]

    def url(self, database: str) -> sa.URL:
        """Return the address of a database."""
        query = {"unix_socket": f"{self.directory}/socket", "charset": "utf8"}
        return sa.URL.create("mysql+pymysql", "root", database=database, query=query)


class PostgreSQL(Server):
    """PostgreSQL as Debian has it."""

    first_database = "postgres"
    far_zone = "ALTER ROLE postgres SET timezone = 'Asia/Tokyo'"

    @staticmethod
    def _program(name: str) -> str:
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        if not found:
            raise AssertionError(f"{name} is missing; install the package postgresql")
        return str(found[-1])

    def initialize(self) -> list[str]:
        """Make the data directory; whoever may use the socket is the administrator."""
        return [
            self._program("initdb"),
            f"--pgdata={self.directory}/data",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]

    def command(self) -> list[str]:
        """Run without a port."""
        return [
            self._program("postgres"),
            "-D",
            f"{self.directory}/data",
            "-k",
            str(self.directory),
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=16MB",
        ]

    def url(self, database: str) -> sa.URL:
        """Return the address of a database."""
        query = {"host": str(self.directory)}
        return sa.URL.create("postgresql+psycopg2", "postgres", database=database, query=query)
