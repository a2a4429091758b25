# SPDX-License-Identifier: Apache-2.0
"""Root file systems of the servers, made with mmdebstrap: Debian 12 with Docker 20.10, 26.1, none.

The one without an engine is what a cloud has without anybody's effort; the others are it with
packages more, so that what they share is installed once.

An image is built into a directory named after the hash of its recipe and gets its name, a link,
when it is complete; it is made again only when the recipe changes. The directories of older
recipes stay while servers may run on them.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from devcloud import commands, files, settings
from devcloud.progress import Progress

_DEFAULT_MIRROR = "http://deb.debian.org/debian"
_HASH_LENGTH = 12
_PACKAGES = (
    "busybox-static",
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
)
# What a node needs beside its engine, and would install by itself.
_NODE_PACKAGES = ("e2fsprogs", "haproxy", "iptables", "openssl")
# Installed, but what starts them is the node's own business.
_DISABLED_UNITS = (
    "haproxy.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "man-db.timer",
)
# Of no use on a machine whose devices and network its host made.
_MASKED_UNITS = (
    "cloud-init-hotplugd.socket",
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "getty.target",
    "modprobe@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "systemd-udev-settle.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-networkd.service",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)
_CLOUD_CFG = """\
# A node has one host key: making RSA keys takes seconds.
ssh_genkeytypes: [ed25519]
locale: false
grub_dpkg: {enabled: false}
network: {config: disabled}
"""


@dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    :param base: the image that it is with packages more; None for one that is made from nothing.
    :param docker_suite: Debian suite that its packages come from; empty for the base's own.
    """

    name: str
    suite: str
    base: "Recipe | None"
    packages: tuple[str, ...]
    docker_packages: tuple[str, ...]
    docker_suite: str
    disabled: tuple[str, ...]
    masked: tuple[str, ...]
    cloud_cfg: str

    @property
    def hash(self) -> str:
        """Changes when the image must be made again."""
        return files.hash_text(json.dumps(asdict(self)), str(_SCHEMA))


_SCHEMA = 2  # raise it when the code below makes another image of the same recipe


def _recipe(
    name: str,
    base: Recipe | None,
    packages: tuple[str, ...],
    docker_packages: tuple[str, ...] = (),
    docker_suite: str = "",
) -> Recipe:
    return Recipe(
        name=name,
        suite="bookworm",
        base=base,
        packages=packages,
        docker_packages=docker_packages,
        docker_suite=docker_suite,
        disabled=_DISABLED_UNITS,
        masked=_MASKED_UNITS,
        cloud_cfg=_CLOUD_CFG,
    )


_BASE = _recipe("debian-12", None, _PACKAGES)
RECIPES = (
    _BASE,
    _recipe("docker-20.10", _BASE, _NODE_PACKAGES, ("docker.io",)),
    # Trixie's own systemd refuses control groups of version 1, so only its Docker is taken.
    _recipe("docker-26.1", _BASE, _NODE_PACKAGES, ("docker.io", "docker-cli"), "trixie"),
)


def find_mirror(sources: Iterable[str]) -> str:
    """The Debian mirror that the machine's apt sources (texts of its files) name first.

    Both formats of sources.list(5) are read; a machine that has no Debian source gets the default.
    """
    for text in sources:
        for line in text.splitlines():
            match = re.match(r"(?:deb\s+(?:\[[^\]]*\]\s+)?|URIs:\s*)(https?://\S+)", line)
            if match and match[1].rstrip("/").endswith("/debian"):
                return match[1].rstrip("/")
    return _DEFAULT_MIRROR


def apt_sources() -> list[str]:
    """The texts of this machine's apt sources."""
    top = Path("/etc/apt")
    paths = [*sorted((top / "sources.list.d").glob("*")), top / "sources.list"]
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]


def root_path(name: str) -> Path:
    """Where the root file system of that name is: a link to the directory that was built."""
    return settings.IMAGES / name


def directory_name(recipe: Recipe) -> str:
    """Name of the directory that holds the root file system made by this recipe."""
    return f"{recipe.name}-{recipe.hash[:_HASH_LENGTH]}"


def is_current(recipe: Recipe) -> bool:
    """Whether the image is complete and made by the present recipe."""
    path = root_path(recipe.name)
    return path.is_symlink() and path.is_dir() and path.readlink().name == directory_name(recipe)


def sources_text(recipe: Recipe, mirror: str) -> str:
    """The apt sources that the image is made from, one line each."""
    security = mirror.removesuffix("/debian") + "/debian-security"
    lines = [
        f"deb {mirror} {recipe.suite} main",
        f"deb {mirror} {recipe.suite}-updates main",
        f"deb {security} {recipe.suite}-security main",
    ]
    if recipe.docker_suite:
        lines.append(f"deb {mirror} {recipe.docker_suite} main")
    return "\n".join(lines) + "\n"


def preferences_text(recipe: Recipe) -> str:
    """Which packages come from another suite (apt_preferences(5))."""
    return (
        f"Package: *\nPin: release n={recipe.docker_suite}\nPin-Priority: 100\n\n"
        f"Package: {' '.join(recipe.docker_packages)}\n"
        f"Pin: release n={recipe.docker_suite}\nPin-Priority: 990\n"
    )


def mirror_for_nodes(mirror: str) -> str:
    """The mirror as nodes name it: without TLS, which their proxy adds (:mod:`.proxy`)."""
    return re.sub("^https:", "http:", mirror)


def dates_text(apt_configuration: str) -> str:
    """What the machine believes of its mirror's dates, for its nodes: from `apt-config dump`."""
    kept = re.findall(
        r"^(Acquire::(?:Check-Valid-Until|Check-Date) .*)$", apt_configuration, re.MULTILINE
    )
    return "".join(f"{line}\n" for line in kept)


def _apt_options() -> list[str]:
    """This machine's own way to its mirror (proxies, certificates), for mmdebstrap."""
    found = []
    for path in (Path("/etc/apt/apt.conf"), *sorted(Path("/etc/apt/apt.conf.d").glob("*"))):
        if path.is_file() and "Acquire::" in path.read_text(encoding="utf-8", errors="replace"):
            found.append(f"--aptopt={path}")
    return found


def _customize(root: Path, recipe: Recipe, mirror: str) -> None:
    system = root / "etc/systemd/system"
    for unit in recipe.masked:
        (system / unit).unlink(missing_ok=True)
        (system / unit).symlink_to("/dev/null")
    for unit in recipe.disabled:
        for wants in system.glob("*.wants"):
            # Links into the image's own /lib: to the host they may point nowhere.
            (wants / unit).unlink(missing_ok=True)
    # sysv scripts come up through systemd's generator otherwise.
    for script in ("haproxy",):
        for link in root.glob(f"etc/rc?.d/S??{script}"):
            link.unlink()
    files.write(root / "etc/cloud/cloud.cfg.d/10-devcloud.cfg", recipe.cloud_cfg)
    # Each node makes its own.
    for key in root.glob("etc/ssh/ssh_host_*"):
        key.unlink()
    for path in ("var/lib/apt/lists", "var/cache/apt/archives", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(root / path, ignore_errors=True)
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    # Nodes have a way of their own to the mirror, and know nothing of this machine's.
    apt = root / "etc/apt"
    (apt / "apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    for source in (apt / "sources.list.d").glob("*.list"):
        source.unlink()
    own = replace(recipe, docker_suite="")
    files.write(apt / "sources.list", sources_text(own, mirror_for_nodes(mirror)))
    files.write(apt / "apt.conf.d/90devcloud", dates_text(commands.run(["apt-config", "dump"])))


def _command(recipe: Recipe, target: Path, work: Path) -> list[str | Path]:
    """The mmdebstrap command; ``work`` holds its sources and preferences."""
    command: list[str | Path] = [
        "mmdebstrap",
        "--mode=root",
        f"--variant={'custom' if recipe.base else 'minbase'}",
        "--format=directory",
        f"--include={','.join((*recipe.packages, *recipe.docker_packages))}",
        *_apt_options(),
        "--aptopt=APT::Install-Recommends false",
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
    ]
    if recipe.base:
        base = shlex.quote(str(settings.IMAGES / directory_name(recipe.base)))
        # mmdebstrap made its own sources before: the base's would be read beside them.
        command += [
            f'--setup-hook=cp -a --reflink=auto {base}/. "$1" && rm "$1/etc/apt/sources.list"'
        ]
    if recipe.docker_suite:
        pinned = f'copy-in "{work}/preferences" /etc/apt/'
        command += [
            f"--setup-hook={pinned}",
            '--customize-hook=rm -f "$1/etc/apt/preferences"',
        ]
    return [*command, recipe.suite, target, work / "sources.list"]


def build(recipe: Recipe, mirror: str) -> None:
    """Make the image; its name goes over from an older one when it is complete.

    :raises CommandFailedError: mmdebstrap failed.
    """
    partial = settings.IMAGES / f".{recipe.name}.partial"
    discard(partial)
    settings.IMAGES.mkdir(parents=True, exist_ok=True)
    work = settings.RUN / f"image-{recipe.name}"
    files.write(work / "preferences", preferences_text(recipe))
    files.write(work / "sources.list", sources_text(recipe, mirror))
    commands.run(
        _command(recipe, partial, work),
        environment={"TMPDIR": str(settings.IMAGES)},
        log=settings.LOG / f"image-{recipe.name}.log",
        timeout=1800,
    )
    _customize(partial, recipe, mirror)
    final = settings.IMAGES / directory_name(recipe)
    discard(final)
    partial.rename(final)
    link = settings.IMAGES / f".{recipe.name}.link"
    link.unlink(missing_ok=True)
    link.symlink_to(final.name)
    link.replace(root_path(recipe.name))
    shutil.rmtree(work, ignore_errors=True)


def discard(root: Path) -> None:
    """Delete a root file system that an interrupted build left, with what is mounted in it."""
    for line in reversed(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
        target = line.split()[1]
        if target.startswith(f"{root}/"):
            commands.run(["umount", "--lazy", target], check=False)
    if root.exists():
        shutil.rmtree(root)


def prune() -> None:
    """Delete root file systems that no name leads to. No server may exist."""
    current = {directory_name(recipe) for recipe in RECIPES}
    names = tuple(f"{recipe.name}-" for recipe in RECIPES)
    for path in settings.IMAGES.iterdir():
        if path.name.startswith(names) and path.name not in current:
            discard(path)


def stale() -> list[Recipe]:
    """The images that have to be made."""
    return [recipe for recipe in RECIPES if not is_current(recipe)]


def build_all(progress: Progress) -> None:
    """Make every image that is missing or old, side by side once what they share is there.

    :raises CommandFailedError: the first failure.
    """
    mirror = find_mirror(apt_sources())

    def work(recipe: Recipe) -> None:
        with progress.step(f"node image {recipe.name}"):
            build(recipe, mirror)

    wanted = stale()
    for recipe in wanted:
        if recipe.base is None:
            work(recipe)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for future in [pool.submit(work, recipe) for recipe in wanted if recipe.base]:
            future.result()
