# SPDX-License-Identifier: Apache-2.0
"""Installs Debian packages without starting one of their daemons.

invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d before they start anything
(invoke-rc.d(8)). Ours says no while packages are installed; whatever was there before comes back
afterwards, also after an interrupt, and by :func:`restore_policy` at the next command when even
that was not possible.
"""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from devcloud import commands, files, settings
from devcloud.errors import CommandFailedError, DevcloudError

POLICY = Path("/usr/sbin/policy-rc.d")
_MARK = "# written by devcloud while it installs packages"
_POLICY_TEXT = f"#!/bin/sh\n{_MARK}\nexit 101\n"

PACKAGES = (
    "ca-certificates",
    "debian-archive-keyring",
    "e2fsprogs",
    "erlang-base",
    "gpg",
    "gpg-agent",
    "iproute2",
    "iptables",
    "libfaketime",  # the end-to-end tests set a node's clock wrong with it
    "mariadb-client-core",
    "mariadb-server-core",
    "memcached",
    "mmdebstrap",
    "mount",
    "nftables",
    "openssh-client",
    "postgresql",  # functional tests run their own server of it
    "procps",
    "rabbitmq-server",
    "squid",
    "systemd-container",
    "util-linux",
)
BROWSER_PACKAGES = ("chromium", "chromium-driver")  # tests of Horizon's pages


def _saved(policy: Path) -> Path:
    return policy.with_name(policy.name + ".devcloud-saved")


def restore_policy(policy: Path = POLICY) -> None:
    """Put back the policy that was there before ours; fine when ours is not there."""
    try:
        ours = _MARK in policy.read_text(encoding="utf-8", errors="replace")
    except OSError:
        ours = False
    saved = _saved(policy)
    if saved.exists() or saved.is_symlink():
        # Also when ours is missing: the process died between saving and writing.
        saved.replace(policy)
    elif ours:
        policy.unlink()


@contextlib.contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Let no package start a daemon while the block runs."""
    restore_policy(policy)
    if policy.exists() or policy.is_symlink():
        policy.rename(_saved(policy))
    try:
        files.write(policy, _POLICY_TEXT, 0o755)
        yield
    finally:
        restore_policy(policy)


def needs_venv_package(version: tuple[int, int] = sys.version_info[:2]) -> str | None:
    """The package that lets this Python make virtual environments, None when it can already."""
    try:
        __import__("ensurepip")
    except ImportError:
        return f"python{version[0]}.{version[1]}-venv"
    return None


def needs_npm_package() -> bool:
    """Whether npm is missing; another Node.js than Debian's brings its own, and bars Debian's."""
    return shutil.which("npm") is None


def wanted_packages(*, with_browser: bool = False) -> list[str]:
    """What this machine must have.

    :param with_browser: also what tests of Horizon's pages need.
    """
    venv = needs_venv_package()
    wanted = [*PACKAGES, *([venv] if venv else [])]
    if with_browser:
        wanted += [*BROWSER_PACKAGES, *(["npm"] if needs_npm_package() else [])]
    return wanted


def missing(packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that are not installed."""
    listing = commands.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
        check=False,
    )
    installed = {
        words[0] for line in listing.splitlines() if (words := line.split())[1:] == ["installed"]
    }
    return [name for name in packages if name not in installed]


def install(packages: Sequence[str]) -> list[str]:
    """Install those of ``packages`` that are missing and return their names.

    :raises DevcloudError: apt would remove a package of the machine, or failed.
    """
    wanted = missing(packages)
    if not wanted:
        return []
    if shutil.which("apt-get") is None:
        raise DevcloudError("apt-get was not found: devcloud needs Debian or a system like it")
    log = settings.LOG / "apt.log"
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    with nothing_starts():
        # An interrupted dpkg wants this before anything else.
        commands.run(
            ["dpkg", "--force-confold", "--configure", "-a"],
            environment=environment,
            log=log,
            timeout=1800,
        )
        commands.run(["apt-get", *options, "update"], environment=environment, log=log, timeout=600)
        try:
            commands.run(
                [
                    "apt-get",
                    *options,
                    "-o",
                    "Dpkg::Options::=--force-confold",
                    "-o",
                    "Dpkg::Options::=--force-unsafe-io",
                    "install",
                    "--no-install-recommends",
                    "--no-remove",
                    *wanted,
                ],
                environment=environment,
                log=log,
                timeout=1800,
            )
        except CommandFailedError as error:
            raise DevcloudError(
                f"apt-get could not install {' '.join(wanted)} (see {log}): {error}"
            ) from error
    return wanted
