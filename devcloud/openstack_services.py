# SPDX-License-Identifier: Apache-2.0
"""The OpenStack processes: how each is started, and how its database is made.

APIs run in uWSGI, one process with threads each, but for Keystone. What is unobvious about its
options: without ``Connection: close`` clients see resets on POST, without chunked input Glance's
uploads fail, and it opens its port before the application is loaded, so only an HTTP answer says
"ready".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devcloud import commands, configuration, settings
from devcloud.processes import Service
from devcloud.releases import DEFAULT, Release

_BIN = settings.VENV / "bin"
_THREADS = 8
_KEYSTONE_PROCESSES = 3


@dataclass(frozen=True)
class Versions:
    """Hashes of the code that services run, so that each restarts when its own code changed.

    :param environment: of the virtual environment.
    :param plugins: of this package's copy that the services import.
    :param package: of the Magnum driver's wheel.
    """

    environment: str
    plugins: str
    package: str


def _python_environment() -> dict[str, str]:
    etc = settings.ETC
    return {
        "PATH": f"{_BIN}:{commands.clean_environment()['PATH']}",
        "PYTHONPATH": str(settings.LIB),
        "OS_KEYSTONE_CONFIG_DIR": f"{etc}/keystone",
        "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        "OS_NOVA_CONFIG_DIR": f"{etc}/nova",
        "OS_NEUTRON_CONFIG_DIR": f"{etc}/neutron",
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
        "OS_GLANCE_CONFIG_DIR": f"{etc}/glance",
        "OS_PLACEMENT_CONFIG_DIR": f"{etc}/placement",
    }


def _uwsgi(
    name: str,
    module: str,
    port: int,
    config_file: str = "",
    processes: int = 1,
    threads: int = _THREADS,
) -> tuple[str, ...]:
    return (
        str(_BIN / "uwsgi"),
        "--master",
        "--die-on-term",
        "--add-header",
        "Connection: close",
        "--http-socket",
        f"{settings.HOST_ADDRESS}:{port}",
        "--http-chunked-input",
        "--module",
        f"{module}:application",
        "--processes",
        str(processes),
        "--threads",
        str(threads),
        "--enable-threads",
        "--lazy-apps",
        "--need-app",
        "--thunder-lock",
        "--buffer-size",
        "65535",
        "--socket-timeout",
        "60",
        "--http-timeout",
        "300",
        "--worker-reload-mercy",
        "3",
        "--procname-prefix-spaced",
        f"devcloud-{name}",
        *(("--pyargv", f"--config-file {config_file}") if config_file else ()),
    )


class Catalogue:
    """All services of this cloud, from its rendered configuration and the versions of code."""

    def __init__(
        self,
        rendered: dict[str, str],
        versions: Versions,
        admin: dict[str, str],
        release: Release = DEFAULT,
    ) -> None:
        """Keep what the services are made from.

        :param admin: the administrator's OS_* variables.
        :param release: the release of Magnum that shall run.
        """
        self._release = release
        self._rendered = rendered
        self._versions = versions
        self._admin = admin

    def _service(
        self, name: str, command: tuple[str, ...], config: str, inputs: tuple[str, ...], port: int
    ) -> Service:
        address = f"http://{settings.HOST_ADDRESS}:{port}/" if port else ""
        return Service(
            name=name,
            command=command,
            environment=_python_environment(),
            address=address,
            inputs=(self._rendered[config], self._versions.environment, *inputs),
        )

    def services(self) -> list[Service]:
        """All of them."""
        return [self.keystone(), *self.apis(), *self.workers()]

    def keystone(self) -> Service:
        """The identity service, which all others need."""
        return self._service(
            "keystone",
            # Its middleware keeps the token of a request where the next thread overwrites it
            # (keystone 30, AuthContextMiddleware.token): who asked is mixed up among threads.
            _uwsgi(
                *("keystone", "keystone.wsgi.api", settings.KEYSTONE_PORT),
                processes=_KEYSTONE_PROCESSES,
                threads=1,
            ),
            "keystone/keystone.conf",
            (),
            settings.KEYSTONE_PORT,
        )

    def apis(self) -> list[Service]:
        """The other APIs, those that take longest first."""
        etc, plugins = settings.ETC, (self._versions.plugins,)
        rows: list[tuple[str, str, int, str, bool, tuple[str, ...]]] = [
            # name, module, port, configuration, given on the command line, inputs
            (
                "neutron",
                settings.NEUTRON_WSGI_MODULE,
                settings.NEUTRON_PORT,
                "neutron/neutron.conf",
                False,
                plugins,
            ),
            (
                "nova-api",
                "nova.wsgi.osapi_compute",
                settings.NOVA_PORT,
                "nova/nova.conf",
                False,
                (),
            ),
            (
                "magnum-api",
                "magnum.wsgi.api",
                settings.MAGNUM_PORT,
                "magnum/magnum.conf",
                True,
                (self._versions.package,),
            ),
            ("heat-api", "heat.wsgi.api", settings.HEAT_PORT, "heat/heat.conf", True, ()),
            ("heat-cfn", "heat.wsgi.cfn", settings.HEAT_CFN_PORT, "heat/heat.conf", True, ()),
            (
                "cinder-api",
                "cinder.wsgi.api",
                settings.CINDER_PORT,
                "cinder/cinder.conf",
                True,
                plugins,
            ),
            (
                "glance",
                "glance.wsgi.api",
                settings.GLANCE_PORT,
                "glance/glance-api.conf",
                False,
                (),
            ),
            (
                "placement",
                "placement.wsgi.api",
                settings.PLACEMENT_PORT,
                "placement/placement.conf",
                False,
                (),
            ),
        ]
        return [
            self._service(
                name,
                (
                    *(self._interpreter() if name == "magnum-api" else ()),
                    *_uwsgi(name, module, port, f"{etc}/{config}" if named else ""),
                ),
                config,
                inputs,
                port,
            )
            for name, module, port, config, named, inputs in rows
        ]

    def _interpreter(self) -> tuple[str, ...]:
        """What stands before a command of the environment so that it runs in the release's own."""
        return () if self._release.is_default else (str(self._release.python),)

    def workers(self) -> list[Service]:
        """The processes behind the queue, and the network daemon."""
        plugins, package = (self._versions.plugins,), (self._versions.package,)
        conductor = str(self._release.venv / "bin/magnum-conductor")
        rows: list[tuple[str, tuple[str, ...], str, tuple[str, ...]]] = [
            # name, command before --config-file, configuration, inputs
            ("heat-engine", ("heat-engine",), "heat/heat.conf", ()),
            ("magnum-conductor", (conductor,), "magnum/magnum.conf", package),
            ("nova-conductor", ("nova-conductor",), "nova/nova.conf", ()),
            ("nova-scheduler", ("nova-scheduler",), "nova/nova.conf", ()),
            ("cinder-scheduler", ("cinder-scheduler",), "cinder/cinder.conf", plugins),
            ("cinder-volume", ("cinder-volume",), "cinder/cinder.conf", plugins),
            (
                "nova-compute",
                ("python", "-m", settings.NOVA_COMPUTE_MODULE),
                "nova-compute/nova-compute.conf",
                plugins,
            ),
        ]
        found = [
            self._service(
                name,
                (
                    str(_BIN / command[0]),
                    *command[1:],
                    "--config-file",
                    str(settings.ETC / config),
                ),
                config,
                inputs,
                0,
            )
            for name, command, config, inputs in rows
        ]
        found.append(
            Service(
                name="network-daemon",
                command=(str(_BIN / "python"), "-m", settings.NETWORK_DAEMON_MODULE),
                environment={**_python_environment(), **self._admin},
                inputs=(self._versions.environment, *plugins),
            )
        )
        return found


def _manage(*command: str, log: str) -> str:
    return commands.run(
        [str(_BIN / command[0]), *command[1:]],
        environment=_python_environment(),
        log=settings.LOG / f"{log}.log",
        timeout=900,
    )


def bootstrap_keystone(admin_password: str) -> None:
    """Make Keystone's tables, keys, administrator and its own catalog entry."""
    for keys in ("fernet", "credential"):
        (settings.DATA / "keystone" / keys).mkdir(parents=True, exist_ok=True, mode=0o700)
    manage = ("keystone-manage", "--config-file", str(settings.ETC / "keystone/keystone.conf"))
    _manage(*manage, "db_sync", log="db-keystone")
    owner = ("--keystone-user", "root", "--keystone-group", "root")
    for verb in ("fernet_setup", "credential_setup"):
        _manage(*manage, verb, *owner, log="db-keystone")
    urls = [f"--bootstrap-{kind}-url" for kind in ("admin", "internal", "public")]
    arguments = [word for url in urls for word in (url, settings.AUTH_URL)]
    # Not logged: the password is an argument.
    commands.run(
        [
            str(_BIN / manage[0]),
            *manage[1:],
            "bootstrap",
            "--bootstrap-password",
            admin_password,
            *arguments,
            "--bootstrap-region-id",
            settings.REGION,
        ],
        environment=_python_environment(),
    )


def _sync_nova(database_password: str) -> None:
    manage = ("nova-manage", "--config-file", str(settings.ETC / "nova/nova.conf"))
    cell0 = configuration.database_url("nova_cell0", database_password)
    _manage(*manage, "api_db", "sync", log="db-nova")
    # Not logged: the password is in the URL.
    commands.run(
        [
            str(_BIN / manage[0]),
            *manage[1:],
            *("cell_v2", "map_cell0", "--database_connection", cell0),
        ],
        environment=_python_environment(),
    )
    _manage(*manage, "db", "sync", log="db-nova")
    if "cell1" not in _manage(*manage, "cell_v2", "list_cells", log="db-nova"):
        _manage(*manage, "cell_v2", "create_cell", "--name=cell1", log="db-nova")


def discover_compute_host() -> None:
    """Tell Nova's API database of the compute host, once nova-compute has registered itself."""
    manage = ("nova-manage", "--config-file", str(settings.ETC / "nova/nova.conf"))
    _manage(*manage, "cell_v2", "discover_hosts", log="db-nova")


@dataclass(frozen=True)
class Tables:
    """The tables of one service: in which databases they are, and what makes or upgrades them."""

    service: str
    databases: tuple[str, ...]
    make: Callable[[], object]


def _plain(service: str, config: str, *words: str) -> Tables:
    """The tables of a service that has one database and one command for it."""
    command, *verbs = words

    def make() -> None:
        _manage(command, "--config-file", str(settings.ETC / config), *verbs, log=f"db-{service}")

    return Tables(service, (service,), make)


def all_tables(passwords: Mapping[str, str], release: Release = DEFAULT) -> list[Tables]:
    """The tables of all services, Keystone's first, then those that take longest.

    :param release: the release of Magnum that shall run, which has a database of its own.
    """
    magnum_manage = str(release.venv / "bin/magnum-db-manage")
    return [
        Tables("keystone", ("keystone",), lambda: bootstrap_keystone(passwords["admin"])),
        Tables(
            "nova",
            ("nova_api", "nova", "nova_cell0"),
            lambda: _sync_nova(passwords["database"]),
        ),
        _plain("neutron", "neutron/neutron.conf", "neutron-db-manage", "upgrade", "heads"),
        _plain("cinder", "cinder/cinder.conf", "cinder-manage", "db", "sync"),
        _plain("heat", "heat/heat.conf", "heat-manage", "db_sync"),
        _plain(release.database, "magnum/magnum.conf", magnum_manage, "upgrade"),
        _plain("glance", "glance/glance-api.conf", "glance-manage", "db_sync"),
        _plain("placement", "placement/placement.conf", "placement-manage", "db", "sync"),
    ]
