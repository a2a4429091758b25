# SPDX-License-Identifier: Apache-2.0
"""The virtual environment of all services, and this checkout's wheel in it.

The environment is made again only when the pinned versions change; the wheel is built and
installed only when the package's sources change.
"""

import configparser
import os
import shutil
import sys
from pathlib import Path

from devcloud import commands, files, settings
from devcloud.errors import DevcloudError

CONSTRAINTS = settings.CHECKOUT / "devcloud" / "constraints.txt"
TEST_REQUIREMENTS = settings.CHECKOUT / "test-requirements.txt"
DOC_REQUIREMENTS = settings.CHECKOUT / "doc" / "requirements.txt"
PACKAGE = "magnum-swarm-mode"
_SOURCES = (
    "magnum_swarm_mode",
    "templates",
    "requirements.txt",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.rst",
    "LICENSE",
)
_IMPORTED_BY_SERVICES = ("devcloud/__init__.py", "devcloud/settings.py", "devcloud/dataplane")
# What the cloud needs by name; everything else follows from these and the constraints.
REQUIREMENTS = (
    "keystone",
    "glance",
    "openstack-placement",
    "nova",
    "neutron",
    "cinder",
    "openstack-heat",
    "magnum",
    "python-openstackclient",
    "python-heatclient",
    "python-magnumclient",
    "PyMySQL",
    "pymemcache",
    "python-memcached",
    "pyuwsgi",
    "docker",
    "pbr",
    "setuptools",
    "wheel",
)
PYTHON = settings.VENV / "bin" / "python"


def _stamp(name: str) -> Path:
    return settings.VENV / f".devcloud-{name}"


def requirement_files() -> list[Path]:
    """Requirement files of this checkout for tests and documentation, those that exist."""
    return [path for path in (TEST_REQUIREMENTS, DOC_REQUIREMENTS) if path.exists()]


def wanted_hash() -> str:
    """Changes when the environment must be brought up to date."""
    texts = [path.read_text(encoding="utf-8") for path in (CONSTRAINTS, *requirement_files())]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return files.hash_text(version, *REQUIREMENTS, *texts)


def services_hash() -> str:
    """Changes when the services' own code does; tools for tests do not matter to them."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return files.hash_text(version, *REQUIREMENTS, CONSTRAINTS.read_text(encoding="utf-8"))


def is_current() -> bool:
    """Whether the environment is complete and made from the present versions."""
    return PYTHON.exists() and files.read(_stamp("environment")) == wanted_hash()


def is_usable(venv: Path, version: tuple[int, int] = sys.version_info[:2]) -> bool:
    """Whether a virtual environment has a living Python of that version, and pip."""
    names = ("python", "pip", f"python{version[0]}.{version[1]}")
    return all((venv / "bin" / name).exists() for name in names)


def make() -> None:
    """Make the environment or bring it up to date; what fits already is not fetched again.

    :raises DevcloudError: pip could not install everything.
    """
    log = settings.LOG / "pip.log"
    if not is_usable(settings.VENV):
        # Half made, or of a Python that the machine no longer has.
        shutil.rmtree(settings.VENV, ignore_errors=True)
        settings.VENV.parent.mkdir(parents=True, exist_ok=True)
        commands.run([sys.executable, "-m", "venv", settings.VENV], log=log)
    _stamp("environment").unlink(missing_ok=True)
    arguments: list[str | Path] = ["--constraint", CONSTRAINTS, *REQUIREMENTS]
    for path in requirement_files():
        arguments += ["--requirement", path]
    commands.run(
        [PYTHON, "-m", "pip", "install", "--progress-bar", "off", *arguments],
        log=log,
        timeout=3600,
    )
    # The old compiled uWSGI and the wheel install the same command.
    commands.run([PYTHON, "-m", "compileall", "-q", "-j", "0", _site_packages()], check=False)
    files.write(_stamp("environment"), wanted_hash())


def _site_packages() -> Path:
    found = sorted((settings.VENV / "lib").glob("python3*/site-packages"))
    if not found:
        raise DevcloudError(f"{settings.VENV} is not a virtual environment; remove it")
    return found[-1]


def source_hash() -> str:
    """Changes when the wheel of this checkout would."""
    return files.hash_tree(settings.CHECKOUT, _SOURCES)


def installed_hash() -> str:
    """The source hash of the package installed in the environment, empty when there is none."""
    return files.read(_stamp("package"))


def install_package() -> bool:
    """Build this checkout's wheel and install it; return whether there was anything to do.

    :raises DevcloudError: the build or the installation failed.
    """
    wanted = source_hash()
    if installed_hash() == wanted:
        return False
    build = settings.RUN / "build"
    shutil.rmtree(build, ignore_errors=True)
    copy = build / "source"
    # A copy, so that nothing is left in the checkout and nothing old in it gets into the wheel.
    copy.mkdir(parents=True)
    for name in (*_SOURCES, ".git", "PKG-INFO"):
        source = settings.CHECKOUT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, copy / name)
    environment = {
        # pbr asks git for the version; git refuses a checkout of another owner unless told.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    if not (copy / ".git").exists() and not (copy / "PKG-INFO").exists():
        environment["PBR_VERSION"] = "0.0.1"
    log = settings.LOG / "pip.log"
    wheels = build / "wheels"
    commands.run(
        [PYTHON, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, copy],
        environment=environment,
        log=log,
    )
    built = sorted(wheels.glob("*.whl"))
    if len(built) != 1:
        raise DevcloudError(f"building this checkout made {len(built)} wheels instead of one")
    _stamp("package").unlink(missing_ok=True)
    commands.run(
        [PYTHON, "-m", "pip", "install", "--no-deps", "--force-reinstall", built[0]], log=log
    )
    commands.run(
        [PYTHON, "-m", "pip", "install", "--constraint", CONSTRAINTS, f"{PACKAGE}[server]"],
        log=log,
    )
    files.write(_stamp("package"), wanted)
    shutil.rmtree(build, ignore_errors=True)
    return True


def install_plugins() -> str:
    """Copy this package to where the services find it, with its entry points.

    Returns a hash over what they import of it, which is only part of the package. They run from a
    copy, so that an edit of the checkout does not reach half of a running cloud.
    """
    digest = files.hash_tree(settings.CHECKOUT, ("devcloud",), (".py", ".sh"))
    imported = files.hash_tree(settings.CHECKOUT, _IMPORTED_BY_SERVICES, (".py", ".sh"))
    target = settings.LIB / "devcloud"
    if _plugin_hash() == digest:
        return imported
    settings.LIB.mkdir(parents=True, exist_ok=True)
    fresh = settings.LIB / f".devcloud.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(
        settings.CHECKOUT / "devcloud", fresh, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    information = settings.LIB / "devcloud-1.0.dist-info"
    files.write(information / "METADATA", "Metadata-Version: 2.1\nName: devcloud\nVersion: 1.0\n")
    points = configparser.ConfigParser()
    points["neutron.ml2.mechanism_drivers"] = {
        settings.NEUTRON_MECHANISM_DRIVER: settings.NEUTRON_MECHANISM_CLASS
    }
    with (information / "entry_points.txt").open("w", encoding="utf-8") as file:
        points.write(file)
    files.write(settings.LIB / "hash", digest)
    return imported


def _plugin_hash() -> str:
    return files.read(settings.LIB / "hash")
