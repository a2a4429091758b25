# SPDX-License-Identifier: Apache-2.0
"""Private instances of MariaDB, RabbitMQ and memcached; Squid is in :mod:`.proxy`.

They listen on the loopback address, on ports of their own, as users that own nothing else on
this machine; instances that the machine runs for itself are not touched.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from devcloud import commands, configuration, files, proxy, settings
from devcloud.errors import DevcloudError
from devcloud.processes import Service

# Numbers without an entry in /etc/passwd, above those that Debian gives out (Debian policy 9.2).
DATABASE_UID = 64831
RABBIT_UID = 64832
MEMCACHED_UID = 64833

DATABASE_DIRECTORY = settings.DATA / "mariadb"
DATABASE_SOCKET = settings.RUN / "mariadb" / "socket"
RABBIT_DIRECTORY = settings.DATA / "rabbit"
_RABBIT_CONFIGURATION = settings.ETC / "rabbit"


def _own(path: Path, uid: int, mode: int = 0o700) -> None:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, uid, uid)
    path.chmod(mode)


def prepare_database() -> None:
    """Make the data directory of a MariaDB whose root may log in through its socket only."""
    _own(DATABASE_DIRECTORY, DATABASE_UID)
    _own(DATABASE_SOCKET.parent, DATABASE_UID)
    if (DATABASE_DIRECTORY / ".complete").exists():
        return
    # Half a data directory of an interrupted run is of no use.
    for path in DATABASE_DIRECTORY.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    commands.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={DATABASE_DIRECTORY}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        uid=DATABASE_UID,
        log=settings.LOG / "mariadb-install.log",
    )
    (DATABASE_DIRECTORY / ".complete").touch()


def database() -> Service:
    """MariaDB. Durability is traded for speed: this cloud is made to be thrown away."""
    return Service(
        name="mariadb",
        command=(
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={DATABASE_DIRECTORY}",
            f"--socket={DATABASE_SOCKET}",
            f"--pid-file={DATABASE_SOCKET.parent}/pid",
            # Its own: a server removes every temporary table in this directory when it starts,
            # those of another server too, which then crashes.
            f"--tmpdir={DATABASE_SOCKET.parent}",
            f"--bind-address={settings.LOOPBACK}",
            f"--port={settings.DATABASE_PORT}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=64M",
            "--max-connections=1000",
            "--performance-schema=OFF",
            "--skip-name-resolve",
            "--character-set-server=utf8mb3",
        ),
        address=f"{settings.LOOPBACK}:{settings.DATABASE_PORT}",
        stop_seconds=20,
        uid=DATABASE_UID,
    )


def create_databases(passwords: Mapping[str, str]) -> None:
    """Create the databases and the user ``os``; fine when they exist."""
    user = f"'os'@'{settings.LOOPBACK}'"
    password = passwords["database"]
    statements = [f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';"]
    statements.append(f"ALTER USER {user} IDENTIFIED BY '{password}';")
    for name in configuration.DATABASES:
        statements.append(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3;")
        statements.append(f"GRANT ALL ON {name}.* TO {user};")
    # Nobody but who can read the socket's directory gets in without a password.
    query("\n".join(statements))


def recreate_databases(names: Iterable[str]) -> None:
    """Make the named databases anew and empty."""
    statements = [
        f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb3;"
        for name in names
    ]
    query("\n".join(statements))


def query(statement: str) -> str:
    """Run one SQL statement as the database's administrator and return its bare result.

    :raises CommandFailedError: the statement failed.
    """
    return commands.run(
        [
            "mariadb",
            "--no-defaults",
            f"--socket={DATABASE_SOCKET}",
            "--user=root",
            "--skip-column-names",
            "--batch",
        ],
        stdin=statement,
        uid=DATABASE_UID,
    )


def epmd() -> Service:
    """Erlang's port mapper, as a process of ours: RabbitMQ's own would outlive it."""
    return Service(
        name="epmd",
        command=("/usr/bin/epmd", "-port", str(settings.EPMD_PORT)),
        environment={"ERL_EPMD_ADDRESS": settings.LOOPBACK},
        address=f"{settings.LOOPBACK}:{settings.EPMD_PORT}",
        uid=RABBIT_UID,
    )


def prepare_rabbit(passwords: Mapping[str, str]) -> None:
    """Write RabbitMQ's configuration, with a user of our own instead of `guest`."""
    _own(RABBIT_DIRECTORY, RABBIT_UID)
    _own(RABBIT_DIRECTORY / "log", RABBIT_UID)
    _own(_RABBIT_CONFIGURATION, RABBIT_UID)
    text = "\n".join(
        (
            f"listeners.tcp.default = {settings.LOOPBACK}:{settings.RABBIT_PORT}",
            "default_user = openstack",
            f"default_pass = {passwords['rabbit']}",
            "vm_memory_high_watermark.relative = 0.2",
            "disk_free_limit.absolute = 50MB",
            "log.console = true",
            "log.file = false",
            "",
        )
    )
    cookie = RABBIT_DIRECTORY / ".erlang.cookie"
    for path, content in (
        (_RABBIT_CONFIGURATION / "rabbitmq.conf", text),
        (_RABBIT_CONFIGURATION / "enabled_plugins", "[].\n"),
        (_RABBIT_CONFIGURATION / "environment.conf", ""),
    ):
        files.write(path, content, 0o600)
        os.chown(path, RABBIT_UID, RABBIT_UID)
    files.write(cookie, passwords["erlang_cookie"], 0o400)
    os.chown(cookie, RABBIT_UID, RABBIT_UID)


def _rabbit_script() -> str:
    # The wrapper in /usr/sbin changes to Debian's user and instance.
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise DevcloudError("rabbitmq-server is not installed where Debian puts it")
    return str(found[-1])


def rabbit() -> Service:
    """RabbitMQ, one scheduler thread, on the loopback address."""
    erlang = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface"
    return Service(
        name="rabbit",
        command=(_rabbit_script(),),
        environment={
            "HOME": str(RABBIT_DIRECTORY),
            "ERL_EPMD_PORT": str(settings.EPMD_PORT),
            "ERL_EPMD_ADDRESS": settings.LOOPBACK,
            "RABBITMQ_NODENAME": "devcloud@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": settings.LOOPBACK,
            "RABBITMQ_NODE_PORT": str(settings.RABBIT_PORT),
            "RABBITMQ_DIST_PORT": str(settings.RABBIT_DIST_PORT),
            "RABBITMQ_MNESIA_BASE": str(RABBIT_DIRECTORY),
            "RABBITMQ_LOG_BASE": str(RABBIT_DIRECTORY / "log"),
            "RABBITMQ_PID_FILE": str(RABBIT_DIRECTORY / "pid"),
            "RABBITMQ_CONFIG_FILE": str(_RABBIT_CONFIGURATION / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(_RABBIT_CONFIGURATION / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(_RABBIT_CONFIGURATION / "environment.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang + " {127,0,0,1}",
        },
        address=f"{settings.LOOPBACK}:{settings.RABBIT_PORT}",
        stop_seconds=15,
        uid=RABBIT_UID,
    )


def memcached() -> Service:
    """Keystone's cache."""
    return Service(
        name="memcached",
        command=(
            "/usr/bin/memcached",
            "-l",
            settings.LOOPBACK,
            "-p",
            str(settings.MEMCACHED_PORT),
            "-U",
            "0",
            "-m",
            "64",
            "-t",
            "1",
        ),
        address=f"{settings.LOOPBACK}:{settings.MEMCACHED_PORT}",
        uid=MEMCACHED_UID,
    )


def services() -> list[Service]:
    """All of them."""
    return [database(), epmd(), rabbit(), memcached(), proxy.service()]
