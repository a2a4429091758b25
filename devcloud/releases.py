# SPDX-License-Identifier: Apache-2.0
"""The releases of Magnum that the cloud can run, each with an environment and a database.

One of them is in the environment of all services. Each other one has a small environment that is
laid over that: its own packages come first, and whatever it lacks is found in the other, with this
checkout's driver. So making one takes seconds.

Magnum's migrations only go upwards, so each release has a database of its own, and what a release
left behind it finds again when it runs the next time.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from devcloud import commands, environment, files, settings, state
from devcloud.errors import DevcloudError

_STATE = "magnum release"
_LINK = "devcloud.pth"


@dataclass(frozen=True)
class Release:
    """A release of Magnum, such as 22.0.0."""

    version: str

    @property
    def is_default(self) -> bool:
        """Whether it is the one in the environment of all services."""
        return self.version == settings.MAGNUM_RELEASE

    @property
    def venv(self) -> Path:
        """Its environment."""
        return settings.VENV if self.is_default else settings.RELEASES / self.version

    @property
    def python(self) -> Path:
        """The interpreter that finds this release."""
        return self.venv / "bin" / "python"

    @property
    def database(self) -> str:
        """The name of its database."""
        return "magnum" if self.is_default else f"magnum_{self.version.partition('.')[0]}"

    @property
    def is_current(self) -> bool:
        """Whether its environment is complete and made from the present versions."""
        return self.is_default or (
            self.python.exists() and self._text(self._stamp) == self._wanted()
        )

    @property
    def _stamp(self) -> Path:
        return self.venv / ".devcloud-release"

    def _wanted(self) -> str:
        return files.hash_text(environment.services_hash(), self.version, str(settings.VENV))

    @staticmethod
    def _text(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except OSError:
            return ""

    def make(self) -> None:
        """Make its environment anew, over the one of all services, which must be there.

        :raises DevcloudError: pip could not install everything.
        """
        log = settings.LOG / "pip.log"
        shutil.rmtree(self.venv, ignore_errors=True)
        self.venv.parent.mkdir(parents=True, exist_ok=True)
        # Without pip of its own: that of the other environment installs into whatever runs it.
        commands.run([sys.executable, "-m", "venv", "--without-pip", self.venv], log=log)
        below, above = (site_packages(venv) for venv in (settings.VENV, self.venv))
        files.write(above / _LINK, f"{below}\n")
        constraints = self.venv / "constraints.txt"
        files.write(constraints, self.constraints())
        commands.run(
            [self.python, "-m", "pip", "install", "--progress-bar", "off", "--constraint",
             constraints, f"magnum=={self.version}"],
            log=log,
        )  # fmt: skip
        commands.run(
            [self.python, "-m", "compileall", "-q", "-j", "0", above / "magnum"], check=False
        )
        files.write(self._stamp, self._wanted())

    def constraints(self) -> str:
        """The versions that were run together, with this one of Magnum."""
        lines = environment.CONSTRAINTS.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if not line.startswith("magnum==")]
        return "\n".join([*kept, f"magnum=={self.version}", ""])


def site_packages(venv: Path) -> Path:
    """Where an environment has its packages.

    :raises DevcloudError: it is none.
    """
    found = sorted((venv / "lib").glob("python3*/site-packages"))
    if not found:
        raise DevcloudError(f"{venv} is not a virtual environment; remove it")
    return found[-1]


DEFAULT = Release(settings.MAGNUM_RELEASE)
ALL = tuple(Release(version) for version in settings.MAGNUM_RELEASES)


def find(version: str) -> Release:
    """The release of that version.

    :raises DevcloudError: there is none.
    """
    for release in ALL:
        if release.version == version:
            return release
    raise DevcloudError(
        f"there is no Magnum {version} here; there are {', '.join(r.version for r in ALL)}"
    )


def chosen() -> Release:
    """The release that the last ``up`` started."""
    version = state.read().get(_STATE, settings.MAGNUM_RELEASE)
    return next((release for release in ALL if release.version == version), DEFAULT)


def choose(release: Release) -> None:
    """Remember which release runs."""
    state.mark_done(_STATE, release.version)
