# SPDX-License-Identifier: Apache-2.0
"""Horizon with the plug-in of this checkout: what it is made of, and how it is served.

It has an environment of its own, made again only when its pinned versions change. It is served as
``horizon/tools/serve`` does, from a copy, so that an edit of the checkout does not reach half of a
running Horizon. What only tests of its pages need lies beside the environment.
"""

import shutil
import sys
from pathlib import Path

from devcloud import commands, environment, files, processes, settings
from devcloud.processes import Service

NAME = "horizon"
VENV = settings.HORIZON / "venv"
_MODULES = settings.HORIZON / "node_modules"  # of JavaScript, for tests
_SOURCES = settings.CHECKOUT / "horizon"
_REQUIREMENTS = _SOURCES / "tests" / "requirements.txt"
_CONSTRAINTS = _SOURCES / "tests" / "constraints.txt"
_PACKAGE = _SOURCES / "package.json"
_SERVED = (
    "magnum_swarm_mode_ui",
    "tests/__init__.py",
    "tests/browser",
    "tests/messages.py",
    "tools",
)
_COMPILED = ".mo"  # catalogues, which the copy gets of its own


def _stamp(name: str) -> Path:
    return settings.HORIZON / f".devcloud-{name}"


def wanted_hash() -> str:
    """Changes when the environment must be made again."""
    texts = [path.read_text(encoding="utf-8") for path in (_REQUIREMENTS, _CONSTRAINTS)]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return files.hash_text(version, *texts)


def is_current() -> bool:
    """Whether the environment is complete and made from the present versions."""
    return environment.is_usable(VENV) and files.read(_stamp("environment")) == wanted_hash()


def make() -> None:
    """Make the environment or bring it up to date.

    :raises DevcloudError: pip could not install everything.
    """
    log = settings.LOG / "pip.log"
    _stamp("environment").unlink(missing_ok=True)
    if not environment.is_usable(VENV):
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.parent.mkdir(parents=True, exist_ok=True)
        commands.run([sys.executable, "-m", "venv", VENV], log=log)
    commands.run(
        [VENV / "bin/python", "-m", "pip", "install", "--progress-bar", "off",
         "--constraint", _CONSTRAINTS, "--requirement", _REQUIREMENTS],
        log=log,
        timeout=3600,
    )  # fmt: skip
    files.write(_stamp("environment"), wanted_hash())


def _wanted_modules() -> str:
    return files.hash_text(_PACKAGE.read_text(encoding="utf-8"))


def modules_are_current() -> bool:
    """Whether the JavaScript that tests of the pages need is there."""
    return _MODULES.is_dir() and files.read(_stamp("modules")) == _wanted_modules()


def make_modules() -> None:
    """Install the JavaScript that tests of the pages need; npm must be there.

    :raises DevcloudError: npm could not install everything.
    """
    _stamp("modules").unlink(missing_ok=True)
    settings.HORIZON.mkdir(parents=True, exist_ok=True)
    files.write(settings.HORIZON / _PACKAGE.name, _PACKAGE.read_text(encoding="utf-8"))
    commands.run(
        ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"],
        log=settings.LOG / "npm.log",
        timeout=1800,
        cwd=settings.HORIZON,
    )
    files.write(_stamp("modules"), _wanted_modules())


def is_wanted(choice: bool | None) -> bool:
    """Whether Horizon shall run.

    :param choice: what the user says; None for as it is.
    """
    return processes.read_record(NAME) is not None if choice is None else choice


def copy() -> str:
    """Copy what is served to where it is served from; return a hash of it."""
    target = settings.LIB / NAME
    fresh = settings.LIB / f".{NAME}"
    shutil.rmtree(fresh, ignore_errors=True)
    for name in _SERVED:
        source, place = _SOURCES / name, fresh / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", f"*{_COMPILED}")
            shutil.copytree(source, place, ignore=ignored)
        else:
            shutil.copy2(source, place)
    digest = files.hash_tree(fresh, _SERVED)
    copied = settings.LIB / f"{NAME}.hash"
    if digest == files.read(copied):
        shutil.rmtree(fresh)
        return digest
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    files.write(copied, digest)
    return digest


def service(sources: str = "") -> Service:
    """Horizon, on the cloud's address.

    :param sources: hash of the copy that is served.
    """
    return Service(
        name=NAME,
        command=(str(settings.LIB / NAME / "tools/serve"), str(settings.HORIZON_PORT)),
        environment={
            "HORIZON_ADDRESS": settings.HOST_ADDRESS,
            "HORIZON_RUN": str(settings.STATE / NAME),
            "HORIZON_VENV": str(VENV),
            "OS_AUTH_URL": settings.AUTH_URL,
        },
        # A page that is made of all that is installed, and of what Keystone says.
        address=f"{settings.HORIZON_URL}auth/login/",
        inputs=(sources, wanted_hash()),
    )
