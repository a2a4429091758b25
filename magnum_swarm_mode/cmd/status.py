# SPDX-License-Identifier: Apache-2.0
"""The command ``magnum-swarm-mode-status upgrade check``: what an installation lacks.

It reads ``magnum.conf`` as Magnum's services do, looks at what that names, changes nothing, and
says of each thing whether it is in order or what to change. What is decided of what was seen is in
:mod:`.upgrade_rules`.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.metadata
import pathlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import magnum.conf
import oslo_messaging
import sqlalchemy
import yaml
from alembic import config as alembic_config
from alembic.runtime import migration as alembic_migration
from alembic.script import ScriptDirectory
from keystoneauth1 import exceptions as keystone_exceptions
from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from magnum_swarm_mode import conf, constants, exceptions
from magnum_swarm_mode.admission import legacy as legacy_rules
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cmd import status_rules
from magnum_swarm_mode.cmd.status_rules import Finding
from magnum_swarm_mode.db import migration, schema
from magnum_swarm_mode.registration import register as registration
from magnum_swarm_mode.stack.files import templates

CONF = magnum.conf.CONF
_SECONDS = 5  # for each connection
_AMQP_PORT = 5672
# What nodes, and this package for them, need of the catalogue.
_SERVICES = ("identity", "container-infra", "orchestration")


def _release() -> str:
    return importlib.metadata.version("magnum")


def _registered() -> Finding:
    points = importlib.metadata.entry_points(group="magnum.drivers", name=constants.ENTRY_POINT)
    return status_rules.registered(
        _release(),
        # What config_source has opened; oslo.config shows it nowhere else.
        any(isinstance(one, registration._NoValues) for one in getattr(CONF, "_sources", ())),
        bool(points),
        CONF.drivers.disabled_drivers,
    )


def _service_type() -> Finding:
    # Declares the option.
    importlib.import_module("keystonemiddleware.auth_token")
    return status_rules.service_type(CONF.keystone_authtoken.service_type)


def _options() -> Finding:
    try:
        conf.check(CONF)
    except (cfg.Error, ValueError, exceptions.Refused) as error:
        return status_rules.options(str(getattr(error, "operator_message", error)))
    return status_rules.options("")


def _templates() -> Finding:
    path = CONF.swarm_mode.template_path
    if not path:
        return status_rules.templates("", (), ())
    ours = next(one for one in templates.shipped_directories() if one.is_dir())
    names = [str(one.relative_to(ours)) for one in sorted(ours.rglob("*")) if one.is_file()]
    present = [name for name in names if pathlib.Path(path, name).is_file()]
    problems = [
        problem
        for name in present
        if (problem := _compared(name, ours / name, pathlib.Path(path, name)))
    ]
    return status_rules.templates(path, set(names) - set(present), problems)


def _compared(name: str, ours: pathlib.Path, theirs: pathlib.Path) -> str:
    """Return what a copy lacks of what is passed to it; empty for nothing."""
    try:
        text = theirs.read_text(encoding="utf-8")
        if theirs.suffix != ".yaml":
            return ""
        parameters = set(_parameters(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return f"{name} cannot be read ({' '.join(str(error).split())})"
    lost = set(_parameters(ours.read_text(encoding="utf-8"))) - parameters
    return f"{name} lacks the parameters {', '.join(sorted(lost))}" if lost else ""


def _parameters(text: str) -> dict[str, Any]:
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        return {}
    # An environment file has values here, a template declarations.
    return dict(content.get("parameters") or {})


def _messaging() -> Finding:
    try:
        url = oslo_messaging.TransportURL.parse(CONF)
    except oslo_messaging.InvalidTransportURL as error:
        return status_rules.failure(f"[DEFAULT] transport_url is not valid: {error}")
    scheme = str(url.transport)
    silent = {}
    for host in url.hosts if scheme.startswith(("rabbit", "amqp")) else ():
        where = (host.hostname, host.port or _AMQP_PORT)
        try:
            socket.create_connection(where, _SECONDS).close()
        except OSError as error:
            silent[f"{where[0]}:{where[1]}"] = error.strerror or str(error)
    return status_rules.messaging(scheme, silent, len(url.hosts))


def _trust() -> Finding:
    options = dict(CONF.trust) if "trust" in CONF else None
    return status_rules.trust(_release(), options)


# Keystone


def _catalogue() -> Any:
    """Return what Keystone tells Magnum's user of services.

    :raises Refused: why it does not.
    """
    try:
        session = cloud_sessions.service_session()
        session.timeout = min(session.timeout or 60, 6 * _SECONDS)
        return session.auth.get_access(session).service_catalog
    except (keystone_exceptions.ClientException, cfg.Error) as error:
        raise exceptions.Refused(
            f"Magnum's user cannot log in ({' '.join(str(error).split())}): correct "
            "[keystone_auth], or [keystone_authtoken] where that is not there."
        ) from error


def _region() -> Finding:
    known = {
        str(endpoint.get("region_id") or endpoint.get("region"))
        for listed in _catalogue().get_endpoints(interface="public").values()
        for endpoint in listed
    }
    return status_rules.region(cloud_sessions.region_name(), known)


def _endpoints() -> Finding:
    catalogue = _catalogue()
    return status_rules.endpoints({kind: _url(catalogue, kind) for kind in _SERVICES})


def _certificates() -> Finding:
    backend = CONF.certificates.cert_manager_type
    has_barbican = backend == "barbican" and bool(_url(_catalogue(), "key-manager"))
    return status_rules.certificates(backend, has_barbican)


def _url(catalogue: Any, kind: str) -> str | None:
    with contextlib.suppress(keystone_exceptions.CatalogException):
        url: str | None = catalogue.url_for(
            service_type=kind, interface="public", region_name=cloud_sessions.region_name()
        )
        return url
    return None


# Database


@contextlib.contextmanager
def _database() -> Iterator[Any]:
    """Connect to Magnum's database.

    :raises Refused: why that is not possible.
    """
    url = sqlalchemy.make_url(CONF.database.connection)
    arguments = {} if url.get_backend_name() == "sqlite" else {"connect_timeout": _SECONDS}
    try:
        engine = sqlalchemy.create_engine(url, connect_args=arguments)
        with engine.connect() as connection:
            yield connection
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = getattr(error, "orig", None) or error
        raise exceptions.Refused(
            f"The database {url.render_as_string(hide_password=True)} cannot be read "
            f"({' '.join(str(reason).split())}): correct [database] connection, start the "
            "database, or run magnum-db-manage upgrade."
        ) from error


def _conductors() -> Finding:
    services = sqlalchemy.table(
        "magnum_service",
        sqlalchemy.column("binary"),
        sqlalchemy.column("last_seen_up", sqlalchemy.DateTime),
    )
    oldest = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    oldest -= datetime.timedelta(seconds=CONF.service_down_time)
    with _database() as connection:
        alive = connection.execute(
            sqlalchemy.select(sqlalchemy.func.count())
            .select_from(services)
            .where(services.c.binary == "magnum-conductor", services.c.last_seen_up > oldest)
        ).scalar_one()
        return status_rules.conductors(alive, connection.dialect.name, CONF.host)


def _table() -> Finding:
    options = alembic_config.Config()
    scripts_at = pathlib.Path(migration.__file__).parent / "alembic"
    options.set_main_option("script_location", str(scripts_at))
    scripts = ScriptDirectory.from_config(options)
    known = {revision.revision for revision in scripts.walk_revisions()}
    with _database() as connection:
        present = alembic_migration.MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE}
        ).get_current_revision()
    return status_rules.table(present, scripts.get_current_head(), known)


def _old_clusters() -> Finding:
    template = sqlalchemy.table(
        "cluster_template",
        *(sqlalchemy.column(name) for name in ("uuid", "coe", "cluster_distro", "server_type")),
    )
    cluster = sqlalchemy.table("cluster", sqlalchemy.column("cluster_template_id"))
    with _database() as connection:
        rows = connection.execute(
            sqlalchemy.select(template.c.coe, template.c.cluster_distro, template.c.server_type)
            .select_from(cluster)
            .join(template, template.c.uuid == cluster.c.cluster_template_id)
        ).all()
    return status_rules.old_clusters(
        sum(legacy_rules.concerns(*row) for row in rows), has_trusts="trust" in CONF
    )


_CHECKS: tuple[tuple[str, Callable[[], Finding]], ...] = (
    ("Magnum knows swarm-mode", _registered),
    ("Options of swarm-mode", _options),
    ("Templates", _templates),
    ("Type of service", _service_type),
    ("Trusts", _trust),
    ("Message queue", _messaging),
    ("Region", _region),
    ("Endpoints for nodes", _endpoints),
    ("Certificates", _certificates),
    ("Conductors", _conductors),
    ("Table of swarm-mode clusters", _table),
    ("Clusters of old drivers", _old_clusters),
)


def _carried_out(check: Callable[[], Finding]) -> Callable[[Any], upgradecheck.Result]:
    def carried_out(_: Any) -> upgradecheck.Result:
        try:
            finding = check()
        except exceptions.SwarmModeError as error:
            finding = status_rules.failure(error.operator_message)
        return upgradecheck.Result(upgradecheck.Code(finding.level), finding.text)

    return carried_out


class Checks(upgradecheck.UpgradeCommands):
    """What ``upgrade check`` carries out."""

    display_title = "Upgrade Check Results of magnum-swarm-mode"
    _upgrade_checks = tuple((name, _carried_out(check)) for name, check in _CHECKS)


def main() -> int:
    """Run the command; return 0 when all is well, 1 after warnings, 2 after failures."""
    conf.register_opts(CONF)
    try:
        return int(
            upgradecheck.main(CONF, project="magnum", upgrade_command=Checks(), argv=sys.argv[1:])
        )
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        # What keeps Magnum's own services from starting; nothing else can be looked at then.
        sys.stderr.write(f"{end.code}\n")
        return int(upgradecheck.Code.FAILURE)


if __name__ == "__main__":
    sys.exit(main())
