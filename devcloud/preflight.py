# SPDX-License-Identifier: Apache-2.0
"""Says in one sentence, before anything is changed, why the cloud could not run here.

What is needed of the kernel is found by trying it in namespaces of our own that vanish with the
trial: a module that could be loaded counts, whatever its name or configuration option.
"""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcloud import commands, settings
from devcloud.errors import DevcloudError

GIB = 1 << 30
NEEDED_DISK = 12 * GIB  # environment, images, databases and a cluster of 11 servers
NEEDED_DISK_WARM = 3 * GIB  # when environment and images are there
NEEDED_MEMORY = 6 * GIB  # control plane 3.5 GiB, 11 servers idle

LISTENERS = (  # service, address, port
    ("keystone", settings.HOST_ADDRESS, settings.KEYSTONE_PORT),
    ("heat-cfn", settings.HOST_ADDRESS, settings.HEAT_CFN_PORT),
    ("heat-api", settings.HOST_ADDRESS, settings.HEAT_PORT),
    ("nova-api", settings.HOST_ADDRESS, settings.NOVA_PORT),
    ("cinder-api", settings.HOST_ADDRESS, settings.CINDER_PORT),
    ("placement", settings.HOST_ADDRESS, settings.PLACEMENT_PORT),
    ("glance", settings.HOST_ADDRESS, settings.GLANCE_PORT),
    ("magnum-api", settings.HOST_ADDRESS, settings.MAGNUM_PORT),
    ("neutron", settings.HOST_ADDRESS, settings.NEUTRON_PORT),
    ("mariadb", settings.LOOPBACK, settings.DATABASE_PORT),
    ("rabbit", settings.LOOPBACK, settings.RABBIT_PORT),
    ("rabbit", settings.LOOPBACK, settings.RABBIT_DIST_PORT),
    ("epmd", settings.LOOPBACK, settings.EPMD_PORT),
    ("memcached", settings.LOOPBACK, settings.MEMCACHED_PORT),
    ("proxy", settings.HOST_ADDRESS, settings.PROXY_PORT),
    ("horizon", settings.HOST_ADDRESS, settings.HORIZON_PORT),
)


@dataclass(frozen=True)
class Host:
    """What the decisions below depend on."""

    uid: int
    system: str
    machine: str
    python: tuple[int, int]
    has_apt: bool
    free_disk: int  # bytes where HOME is or will be
    memory: int  # bytes
    warm: bool  # environment and images are there already


def existing_parent(path: Path) -> Path:
    """``path`` or the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def look() -> Host:
    """Look at this machine."""
    return Host(
        uid=os.geteuid(),
        system=platform.system(),
        machine=platform.machine(),
        python=(sys.version_info.major, sys.version_info.minor),
        has_apt=shutil.which("apt-get") is not None,
        free_disk=shutil.disk_usage(existing_parent(settings.HOME)).free,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        warm=all((settings.IMAGES / name).exists() for name in settings.GLANCE_IMAGES.values()),
    )


def complaint(host: Host) -> str | None:
    """The first thing that stands in the way, as one sentence; None when nothing does."""
    needed = NEEDED_DISK_WARM if host.warm else NEEDED_DISK
    if host.system != "Linux" or not host.has_apt:
        return "devcloud needs Debian 12 or a system like it: apt-get was not found"
    if host.uid != 0:
        return "devcloud must run as root: it makes bridges, mounts and namespaces"
    if host.machine not in ("x86_64", "aarch64"):
        return f"devcloud runs on x86_64 and aarch64 machines, this one is {host.machine}"
    if host.python < (3, 11):
        version = f"{host.python[0]}.{host.python[1]}"
        return f"OpenStack of this release needs Python 3.11 or newer, python3 is {version}"
    if host.free_disk < needed:
        return (
            f"{settings.HOME} has {host.free_disk / GIB:.1f} GiB free, "
            f"devcloud needs {needed / GIB:.0f} GiB"
        )
    if host.memory < NEEDED_MEMORY:
        return (
            f"this machine has {host.memory / GIB:.1f} GiB of memory, "
            f"devcloud needs {NEEDED_MEMORY / GIB:.0f} GiB"
        )
    return None


def check_host() -> None:
    """Look at the machine.

    :raises DevcloudError: with the sentence of :func:`complaint`.
    """
    sentence = complaint(look())
    if sentence:
        raise DevcloudError(sentence)


@dataclass(frozen=True)
class KernelFeature:
    """Something the kernel must do, and the shell commands that try it.

    They run in mount and network namespaces of their own, in an empty directory on the file
    system that the cloud will use.
    """

    name: str
    trial: str


KERNEL_FEATURES = (
    KernelFeature("network namespaces", "ip netns list"),
    KernelFeature("the bridge device", "ip link add dc-try type bridge"),
    KernelFeature("the veth device", "ip link add dc-try0 type veth peer name dc-try1"),
    KernelFeature(
        "the vxlan device (overlay networks)",
        "ip link add dc-try2 type vxlan id 1 dstport 4789",
    ),
    KernelFeature(
        "overlayfs",
        "mkdir -p l u w m && mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m",
    ),
    KernelFeature(
        "loop devices", "truncate -s 1M file && d=$(losetup -f --show file) && losetup -d $d"
    ),
    KernelFeature(
        "iptables with connection tracking and address translation",
        "iptables -w -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"
        " && iptables -w -t nat -A POSTROUTING -j MASQUERADE",
    ),
    KernelFeature("IP forwarding in a namespace", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
)


def try_feature(feature: KernelFeature, directory: Path) -> str | None:
    """Try a feature; return the last line of what went wrong, None when it works."""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-e", "-c", feature.trial],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=directory,
        env=commands.clean_environment(),
        timeout=60,
        check=False,
    )
    if done.returncode == 0:
        return None
    return commands.tail(done.stdout.decode(errors="replace"), 1) or f"code {done.returncode}"


def cgroup_complaint(mounts: str) -> str | None:
    """What is wrong with the control groups mounted here, from the text of /proc/mounts."""
    kinds = {line.split()[2] for line in mounts.splitlines() if len(line.split()) > 2}
    if "cgroup2" not in kinds and "cgroup" not in kinds:
        return "no control groups are mounted below /sys/fs/cgroup: machines cannot be started"
    return None


def check_kernel() -> None:
    """Try what is needed of the kernel; the tools must be installed already.

    :raises DevcloudError: naming the first feature that is missing.
    """
    sentence = cgroup_complaint(Path("/proc/mounts").read_text(encoding="utf-8"))
    if sentence:
        raise DevcloudError(sentence)
    directory = settings.RUN / "trial"
    for feature in KERNEL_FEATURES:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        problem = try_feature(feature, directory)
        if problem:
            raise DevcloudError(f"this kernel lacks {feature.name}: {problem}")
    shutil.rmtree(directory, ignore_errors=True)


def port_is_free(address: str, port: int) -> bool:
    """Whether a listener could be opened there. The address need not exist yet."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_IP, getattr(socket, "IP_FREEBIND", 15), 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def ports_complaint(
    wanted: Sequence[tuple[str, int]], is_free: Callable[[str, int], bool] = port_is_free
) -> str | None:
    """The sentence for the ports among ``wanted`` that something else uses."""
    taken = [f"{address}:{port}" for address, port in wanted if not is_free(address, port)]
    if not taken:
        return None
    noun = "address" if len(taken) == 1 else "addresses"
    return f"another process listens on the {noun} devcloud needs: {', '.join(taken)}"


def check_ports(others: Container[str]) -> None:
    """Look whether every service that is not among ``others`` could listen.

    :param others: the services that run already, or shall not run.

    :raises DevcloudError: naming what is taken.
    """
    wanted = [(address, port) for name, address, port in LISTENERS if name not in others]
    sentence = ports_complaint(wanted)
    if sentence:
        raise DevcloudError(sentence)


def check_addresses() -> None:
    """Look whether another interface is in the external network.

    :raises DevcloudError: naming the interface.
    """
    sentence = address_complaint(commands.run(["ip", "-o", "-4", "address"]))
    if sentence:
        raise DevcloudError(sentence)


def address_complaint(addresses: str, bridge: str = settings.EXTERNAL_BRIDGE) -> str | None:
    """What is wrong when another interface has our address, from `ip -o -4 address`."""
    for line in addresses.splitlines():
        words = line.split()
        if len(words) < 4 or words[1] == bridge:
            continue
        if words[3].split("/")[0].rpartition(".")[0] == settings.HOST_ADDRESS.rpartition(".")[0]:
            return (
                f"the interface {words[1]} has {words[3]}, "
                f"which devcloud needs for its external network {settings.EXTERNAL_CIDR}"
            )
    return None
