# SPDX-License-Identifier: Apache-2.0
"""MariaDB, RabbitMQ and Heat of one's own, in a temporary directory, and what they use."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaled import cloud

DATABASE_PORT, RABBIT_PORT = 13306, 5672
DATABASES = ("heat", "magnum")
_BIN = Path(sysconfig.get_path("scripts"))
_ETC = Path(sys.prefix) / "etc/heat"
_ROOT = Path(__file__).resolve().parent.parent.parent
_TICK = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 180
_RABBIT = "scale@localhost"
# A nested stack takes a thread of the engine until all in it is made: where all threads wait for
# what nobody has a thread for, Heat stands still. So there are more than nested stacks here.
_HEAT_THREADS = 1200


def database_url(name: str) -> str:
    """Return where SQLAlchemy finds a database."""
    return f"mysql+pymysql://root@127.0.0.1:{DATABASE_PORT}/{name}?charset=utf8"


class Processes:
    """What runs for a measurement; all of it ends with the block.

    :param space: an empty directory for all data and logs.
    """

    def __init__(self, space: Path) -> None:
        self._space = space
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a service and wait until it listens.

        :raises RuntimeError: with the end of its log, when it does not.
        """
        log = self._space / f"{name}.log"
        path = f"{_BIN}:{os.environ['PATH']}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=_ROOT,
                env={**os.environ, "PATH": path, **(environment or {})},
                # What it uses is found by the session, its own processes included.
                start_new_session=True,
            )
        self._running[name] = process
        deadline = time.monotonic() + _START_SECONDS
        while port and not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} does not listen at {port}:\n{tail}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End all, the last first."""
        for process in reversed(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def used(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return seconds of processor so far, and MiB of memory now, of each service."""
        sessions = {process.pid: name for name, process in self._running.items()}
        seconds = dict.fromkeys(self._running, 0.0)
        memory = dict.fromkeys(self._running, 0.0)
        for session, cpu, resident in _all_processes():
            if name := sessions.get(session):
                seconds[name] += cpu
                memory[name] += resident
        return seconds, memory


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _all_processes() -> Iterator[tuple[int, float, float]]:
    """Yield session, seconds with those of ended children, and MiB of each process."""
    page = os.sysconf("SC_PAGE_SIZE")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(int(field) for field in fields[11:15])
        yield int(fields[3]), ticks / _TICK, int(fields[21]) * page / 2**20


def database(processes: Processes, space: Path) -> None:
    """Start MariaDB with empty databases; durability is of no use here."""
    data = space / "mariadb"
    # At its start MariaDB removes temporary tables from its directory for them, whosever they are.
    own = ["env", f"TMPDIR={space}"]
    install = [*own, "mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"]
    _run([*install, "--auth-root-authentication-method=normal", "--skip-test-db"])
    processes.start(
        "mariadb",
        [
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--tmpdir={space}",
            "--user=root",
            f"--datadir={data}",
            f"--socket={space}/mariadb.sock",
            f"--pid-file={space}/mariadb.pid",
            "--bind-address=127.0.0.1",
            f"--port={DATABASE_PORT}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=256M",
            "--max-connections=4000",
            "--max-allowed-packet=64M",
            "--performance-schema=OFF",
            "--skip-name-resolve",
            "--character-set-server=utf8mb3",
        ],
        DATABASE_PORT,
    )
    for name in DATABASES:
        query("", f"CREATE DATABASE {name} CHARACTER SET utf8mb3")


def query(name: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    import pymysql

    connection = pymysql.connect(
        host="127.0.0.1", port=DATABASE_PORT, user="root", database=name or None, autocommit=True
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def rabbit(processes: Processes, space: Path) -> None:
    """Start RabbitMQ, without the wrapper that knows only the system's own instance."""
    script = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    data = space / "rabbit"
    data.mkdir()
    (data / "enabled_plugins").write_text("[].\n")
    (data / "environment.conf").write_text("")
    (data / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{RABBIT_PORT}\n")
    environment = {
        "HOME": str(data),
        "RABBITMQ_NODENAME": _RABBIT,
        "RABBITMQ_MNESIA_BASE": str(data),
        "RABBITMQ_LOG_BASE": str(data),
        "RABBITMQ_PID_FILE": str(data / "pid"),
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(data / "environment.conf"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
    processes.start("epmd", ["/usr/bin/epmd"], 4369, environment)
    processes.start("rabbitmq", [str(script[-1])], RABBIT_PORT, environment)


def messages(space: Path) -> int:
    """Return how many messages RabbitMQ took so far."""
    control = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmqctl"))
    told = _run(
        [
            str(control[-1]),
            "-n",
            _RABBIT,
            "eval",
            "rabbit_global_counters:overview().",
        ],
        {"HOME": str(space / "rabbit"), "RABBITMQ_CONF_ENV_FILE": "/dev/null"},
    )
    found = re.findall(r"messages_received_total\s*=>\s*(\d+)", told)
    return sum(map(int, found[:1]))


def heat(processes: Processes, space: Path, workers: int) -> None:
    """Start Heat's engine and API on a database of their own."""
    configuration = space / "heat.conf"
    configuration.write_text(_heat_configuration(space, workers))
    _run([str(_BIN / "heat-manage"), "--config-file", str(configuration), "db_sync"])
    processes.start("heat-engine", [str(_BIN / "heat-engine"), f"--config-file={configuration}"], 0)
    processes.start(
        "heat-api",
        [
            str(_BIN / "uwsgi"),
            "--master",
            "--die-on-term",
            "--add-header",
            "Connection: close",
            "--http-socket",
            f"127.0.0.1:{cloud.HEAT_PORT}",
            "--http-chunked-input",
            "--module",
            "heat.wsgi.api:application",
            "--processes",
            "1",
            "--threads",
            "16",
            "--enable-threads",
            "--lazy-apps",
            "--need-app",
            "--buffer-size",
            "65535",
            "--disable-logging",
            "--pyargv",
            f"--config-file {configuration}",
        ],
        cloud.HEAT_PORT,
    )
    _answers(f"http://127.0.0.1:{cloud.HEAT_PORT}/")


def _heat_configuration(space: Path, workers: int) -> str:
    login = f"""auth_type = password
auth_url = {cloud.URL}/identity/v3
username = heat
password = heat
user_domain_name = Default
"""
    return f"""[DEFAULT]
transport_url = rabbit://guest:guest@127.0.0.1:{RABBIT_PORT}/
state_path = {space}
use_stderr = true
rpc_response_timeout = 600
executor_thread_pool_size = {_HEAT_THREADS}
region_name_for_services = RegionOne
stack_user_domain_name = heat
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = heat
num_engine_workers = {workers}
deferred_auth_method = trusts
auth_encryption_key = {"0" * 32}
environment_dir = {_ETC}/environment.d
template_dir = {_ETC}/templates
plugin_dirs =
max_stacks_per_tenant = -1
max_resources_per_stack = -1
max_json_body_size = 33554432
stack_action_timeout = 36000
[paste_deploy]
api_paste_config = {_ETC}/api-paste.ini
[database]
connection = {database_url("heat")}
max_pool_size = 64
max_overflow = {_HEAT_THREADS}
[keystone_authtoken]
{login}project_name = service
project_domain_name = Default
service_token_roles_required = false
[trustee]
{login}[clients_keystone]
auth_uri = {cloud.URL}/identity/v3
[clients]
endpoint_type = publicURL
[cache]
enabled = true
backend = dogpile.cache.memory
[constraint_validation_cache]
expiration_time = 60
[resource_finder_cache]
expiration_time = 60
[oslo_concurrency]
lock_path = {space}
"""


def _answers(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url}: {error}") from error
            time.sleep(0.5)


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def state_of_heat() -> tuple[int, float]:
    """Return how many rows Heat's database has, and MiB of what its stacks' state is."""
    tables = [str(row[0]) for row in query("heat", "SHOW TABLES")]
    rows = sum(int(query("heat", f"SELECT COUNT(*) FROM `{table}`")[0][0]) for table in tables)
    columns = (
        ("raw_template", "template"),
        ("raw_template", "environment"),
        ("raw_template_files", "files"),
        ("stack", "current_deps"),
        ("resource", "rsrc_metadata"),
        ("resource_properties_data", "data"),
    )
    size = sum(
        int(query("heat", f"SELECT COALESCE(SUM(LENGTH({column})), 0) FROM {table}")[0][0])
        for table, column in columns
    )
    return rows, size / 2**20
