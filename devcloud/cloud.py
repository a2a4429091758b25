# SPDX-License-Identifier: Apache-2.0
"""The verbs that change the cloud: install, up, reset, down.

``up`` can be run at any time: it starts what does not run, restarts what runs from something that
changed, and makes only what is missing. So an interrupted ``up`` is continued by the next one.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devcloud import (
    commands,
    configuration,
    debian,
    docker_client,
    environment,
    files,
    horizon,
    images,
    infrastructure,
    openrc,
    openstack_services,
    passwords,
    preflight,
    probe,
    processes,
    proxy,
    readiness,
    releases,
    settings,
    state,
)
from devcloud.dataplane import fabric
from devcloud.errors import DevcloudError
from devcloud.openstack_services import Catalogue, Tables, Versions
from devcloud.processes import Service
from devcloud.progress import Progress
from devcloud.releases import Release

_START_SECONDS = 180  # of one service on a loaded machine
_DATA_PLANE_DIRECTORIES = (settings.NODES, settings.VOLUMES)


def make_directories() -> None:
    """Make the directories of the cloud. Only root reads configuration, data and logs."""
    for path in (settings.HOME, settings.IMAGES, settings.RUN, settings.BIN):
        path.mkdir(parents=True, exist_ok=True)
    settings.LOG.mkdir(parents=True, exist_ok=True)
    settings.LOG.chmod(0o700)
    for path in (settings.DATA, settings.ETC, settings.STATE, settings.LIB):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711)  # the private users of database and broker pass through


def install(
    progress: Progress,
    *,
    with_images: bool = True,
    magnum: Sequence[Release] = releases.ALL,
    with_horizon: bool = True,
    with_browser: bool = True,
) -> None:
    """Install packages, environments and node images; start nothing.

    :param with_images: whether to make node images.
    :param magnum: the releases of Magnum that are wanted.
    :param with_horizon: whether to make the environment of Horizon.
    :param with_browser: whether to install what tests of Horizon's pages need.
    :raises DevcloudError: what is in the way, as a sentence.
    """
    preflight.check_host()
    make_directories()
    _stop_strays()
    packages = debian.wanted_packages(with_browser=with_browser)
    if debian.missing(packages):
        with progress.step("Debian packages"):
            debian.install(packages)
    with ThreadPoolExecutor(max_workers=2) as pool:
        # Both wait for the network most of the time.
        made = pool.submit(_install_environments, progress, magnum, with_horizon, with_browser)
        if with_images:
            images.build_all(progress)
        made.result()
    docker_client.provide()


def _install_environments(
    progress: Progress, magnum: Sequence[Release], with_horizon: bool, with_browser: bool
) -> None:
    if not environment.is_current():
        with progress.step("virtual environment"):
            environment.make()
    for release in magnum:
        if not release.is_current:
            with progress.step(f"environment of Magnum {release.version}"):
                release.make()
    if environment.installed_hash() != environment.source_hash():
        with progress.step("wheel of this checkout"):
            environment.install_package()
    if with_horizon and not horizon.is_current():
        with progress.step("environment of Horizon"):
            horizon.make()
    if with_browser and not horizon.modules_are_current():
        with progress.step("JavaScript for tests of Horizon"):
            horizon.make_modules()


def _bring_up(services: Sequence[Service]) -> list[Service]:
    """Start those services that do not run as they should; return what was started."""
    changed = []
    for service in services:
        record = processes.running(service.name)
        if record is None or record.fingerprint != service.fingerprint:
            changed.append(service)
    if changed:
        processes.stop([service.name for service in changed], max(s.stop_seconds for s in changed))
    for service in changed:
        processes.start(service)
    return changed


def _wait(services: Sequence[Service], progress: Progress) -> list[DevcloudError]:
    """Wait for each service's answer; return what went wrong instead of stopping there."""

    def wait(service: Service) -> DevcloudError | None:
        try:
            with progress.step(service.name):
                readiness.wait(service, _START_SECONDS)
        except DevcloudError as error:
            return error
        return None

    with ThreadPoolExecutor(max_workers=max(1, len(services))) as pool:
        return [error for error in pool.map(wait, services) if error]


def _start_and_wait(services: Sequence[Service]) -> None:
    """Start what does not run and wait for it, without a step of its own.

    :raises DevcloudError: one of them does not come up.
    """
    for service in _bring_up(services):
        readiness.wait(service, _START_SECONDS)


def _start_infrastructure(secrets: dict[str, str], progress: Progress) -> None:
    """Start what the services need; RabbitMQ, which takes longest, is not waited for."""
    fabric.up()
    with progress.step("database"):
        infrastructure.prepare_database()
        infrastructure.prepare_rabbit(secrets)
        proxy.prepare(proxy.find_upstream())
        _start_and_wait([infrastructure.epmd(), infrastructure.memcached(), proxy.service()])
        _bring_up([infrastructure.rabbit()])
        _start_and_wait([infrastructure.database()])
        infrastructure.create_databases(secrets)


def _stop_strays() -> None:
    """Stop what bears our mark without a record: left by a killed `up`, or its record was lost."""
    known = {name for name in processes.recorded_names() if processes.running(name)}
    strays = processes.marked_names() - known
    if strays:
        processes.stop(strays)


def _stop_obsolete(services: Iterable[Service]) -> None:
    """Stop what shall not run: other services than these and those below them.

    An older version of this package started them, or an earlier `up` with other options.
    """
    known = {service.name for service in [*infrastructure.services(), *services]}
    processes.stop(set(processes.recorded_names()) - known)


def _make_tables(
    tables: Tables,
    version: str,
    empty: Callable[[Iterable[str]], None] = infrastructure.recreate_databases,
) -> None:
    """Make or upgrade the tables of a service, unless this version's are there."""
    stage = f"tables of {tables.service}"
    done = state.read().get(stage)
    if done == version:
        return
    if done is None:
        # A migration that was interrupted cannot go on: MariaDB keeps half of it.
        empty(tables.databases)
    tables.make()
    state.mark_done(stage, version)


def _make_state(
    secrets: dict[str, str],
    version: str,
    progress: Progress,
    keystone: Service,
    release: Release,
) -> None:
    """All tables, Keystone and its contents, as far as they are missing or of another version."""
    first, *others = openstack_services.all_tables(secrets, release)
    others = [
        tables for tables in others if not state.is_done(f"tables of {tables.service}", version)
    ]
    has_identity = state.is_done("identity", version)
    if has_identity:
        _bring_up([keystone])
        if not others:
            return
    with ThreadPoolExecutor(max_workers=2) as pool, progress.step("database tables"):
        futures = [pool.submit(_make_tables, tables, version) for tables in others]
        try:
            if not has_identity:
                with progress.step("keystone tables and keys"):
                    _make_tables(first, version)
                with progress.step("keystone"):
                    _start_and_wait([keystone])
                with progress.step("users and catalog"):
                    _run_module("devcloud.services.identity")
                state.mark_done("identity", version)
            for future in futures:
                future.result()
        finally:
            # After a failure or an interrupt the rest need not begin.
            for future in futures:
                future.cancel()


def _note_what_stays_behind(release: Release, progress: Progress) -> None:
    """Say which clusters another release of Magnum has, which this one will not know."""
    before = releases.chosen()
    if before == release or state.read().get(f"tables of {before.database}") is None:
        return
    count = infrastructure.query(f"SELECT COUNT(*) FROM {before.database}.cluster;").strip()
    if count != "0":
        progress.say(
            f"clusters of Magnum {before.version}, which only `up --magnum {before.version}` "
            f"shows again: {count}"
        )


def _run_module(module: str) -> None:
    commands.run(
        [environment.PYTHON, "-m", module],
        environment={"PYTHONPATH": str(settings.LIB)},
        log=settings.LOG / f"{module.rpartition('.')[2]}.log",
        timeout=300,
    )


def _make_resources(version: str, progress: Progress) -> None:
    if not settings.SSH_KEY.exists():
        commands.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", settings.SSH_KEY])
    wanted = files.hash_text(version, repr((settings.FLAVORS, settings.GLANCE_IMAGES)))
    if state.is_done("resources", wanted):
        return
    with progress.step("networks, images, flavors"):
        _run_module("devcloud.services.resources")
    state.mark_done("resources", wanted)


def _wait_for_compute(version: str, progress: Progress) -> None:
    """Wait until Nova may schedule to this host."""
    if state.is_done("compute", version):
        return
    with progress.step("compute host"):
        deadline = time.monotonic() + _START_SECONDS
        while not _compute_is_mapped():
            if time.monotonic() > deadline:
                raise DevcloudError(
                    f"nova-compute did not register; {readiness.log_end('nova-compute')}"
                )
            if processes.running("nova-compute") is None:
                raise DevcloudError(f"nova-compute ended; {readiness.log_end('nova-compute')}")
            time.sleep(0.5)
    state.mark_done("compute", version)


def _compute_is_mapped() -> bool:
    statement = "SELECT COUNT(*) FROM nova.compute_nodes WHERE deleted = 0;"
    if infrastructure.query(statement).strip() == "0":
        return False
    openstack_services.discover_compute_host()
    return infrastructure.query("SELECT COUNT(*) FROM nova_api.host_mappings;").strip() != "0"


def up(
    progress: Progress, release: Release = releases.DEFAULT, with_horizon: bool | None = None
) -> None:
    """Bring the whole cloud up.

    :param release: the release of Magnum that shall run.
    :param with_horizon: whether Horizon shall run; None: if it does already.
    :raises DevcloudError: what is in the way, as a sentence.
    """
    preflight.check_host()
    _stop_strays()
    with_horizon = horizon.is_wanted(with_horizon)
    others = {name for name in processes.recorded_names() if processes.running(name)}
    preflight.check_ports(others if with_horizon else others | {horizon.NAME})
    install(progress, magnum=[release], with_horizon=with_horizon, with_browser=False)
    preflight.check_kernel()
    preflight.check_addresses()
    secrets = passwords.make()
    rendered = configuration.render(secrets, release=release)
    configuration.write(rendered)
    versions = Versions(
        environment=environment.services_hash(),
        plugins=environment.install_plugins(),
        package=environment.installed_hash(),
    )
    catalogue = Catalogue(rendered, versions, openrc.variables("admin", secrets), release)
    pages = [horizon.service(horizon.copy())] if with_horizon else []
    _stop_obsolete([*catalogue.services(), *pages])
    for path in _DATA_PLANE_DIRECTORIES:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711)
    _start_infrastructure(secrets, progress)
    _note_what_stays_behind(release, progress)
    _make_state(secrets, versions.environment, progress, catalogue.keystone(), release)
    releases.choose(release)
    apis, workers = catalogue.apis(), catalogue.workers()
    _bring_up(apis)
    with progress.step("message queue"):
        readiness.wait(infrastructure.rabbit(), _START_SECONDS)
    _bring_up([*workers, *pages])
    # Also what an interrupted `up` started: nobody has seen it answer yet.
    errors = _wait([catalogue.keystone(), *apis, *pages], progress)
    if not errors:
        with progress.step("a request to each API"):
            login = probe.log_in(secrets["admin"])
            errors = probe.ask([service.name for service in [*apis, *pages]], login)
    _wait_for_compute(versions.environment, progress)
    _make_resources(versions.environment, progress)
    errors += [
        DevcloudError(f"{service.name} ended; {readiness.log_end(service.name)}")
        for service in workers
        if processes.running(service.name) is None
    ]
    if errors:
        raise DevcloudError("; ".join(str(error) for error in errors))
    progress.say(f"the cloud is up after {progress.seconds:.0f} s; to use it:")
    progress.say(f'  eval "$({settings.CHECKOUT}/tools/devcloud openrc)" && openstack image list')
    if with_horizon:
        user, password = openrc.USERS[0], secrets[openrc.USERS[0]]
        progress.say(f"Horizon: {settings.HORIZON_URL} user {user}, password {password}")


def _stop_all() -> None:
    names = set(processes.recorded_names()) | processes.marked_names()
    data = {"mariadb", "rabbit", "epmd", "memcached"}
    # Services first: while they end they still write to database and queue.
    processes.stop(names - data, seconds=3)
    processes.stop(names & data - {"epmd"}, seconds=20)
    processes.stop(names & {"epmd"}, seconds=3)


def _clean_data_plane() -> None:
    from devcloud.dataplane import cleanup

    with (settings.LOG / "down.log").open("a", encoding="utf-8") as file:
        cleanup.remove_everything(lambda line: print(line, file=file))


def _stop_everything(progress: Progress) -> None:
    make_directories()
    with progress.step("services"):
        _stop_all()
    with progress.step("servers, networks, volumes"):
        _clean_data_plane()


def down(progress: Progress, *, purge: bool = False) -> None:
    """Stop everything and leave nothing in the kernel; keep environment, images and state.

    :param purge: remove ``settings.HOME`` as well.
    """
    _stop_everything(progress)
    if purge:
        with progress.step(f"removing {settings.HOME}"):
            _remove_home()
        return
    progress.say(
        f"kept below {settings.HOME}: environment, node images and the cloud's data; "
        "`down --purge` removes them, Debian packages stay installed"
    )


def _remove_home() -> None:
    for root in settings.IMAGES.iterdir():
        if root.is_dir() and not root.is_symlink():
            images.discard(root)
    mounted = Path("/proc/self/mounts").read_text(encoding="utf-8")
    if f" {settings.HOME}/" in mounted:
        raise DevcloudError(f"something is still mounted below {settings.HOME}; see /proc/mounts")
    shutil.rmtree(settings.HOME)


def reset(progress: Progress) -> None:
    """Stop everything and delete the cloud's state; keep environment and node images."""
    _stop_everything(progress)
    with progress.step("deleting the cloud's data"):
        for path in (
            settings.DATA,
            settings.STATE,
            settings.ETC,
            settings.LIB,
            settings.IMAGES_BY_ID,
            settings.LOG,
            *_DATA_PLANE_DIRECTORIES,
        ):
            if path.exists():
                shutil.rmtree(path)
        images.prune()
        proxy.PLACE.requests.unlink(missing_ok=True)
    progress.say("the next `up` makes a new cloud")
