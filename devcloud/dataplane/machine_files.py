# SPDX-License-Identifier: Apache-2.0
"""The files that a machine is booted with: its first files, network, volumes, launcher. Pure.

Every text that a shell reads is quoted here, so that no value from outside becomes a command.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from devcloud import settings
from devcloud.dataplane import fabric
from devcloud.dataplane.loop_devices import BlockDevice
from devcloud.dataplane.network_model import tap_name

REBOOT_STATUS = 133  # systemd-nspawn's exit status when the machine rebooted (--keep-unit)
# What systemd-nspawn makes for a machine, and does not remove where /run is on a disk.
NSPAWN_DIRECTORIES = (
    Path("/run/systemd/nspawn/propagate"),
    Path("/run/systemd/nspawn/unix-export"),
)
SEED = "var/lib/cloud/seed/config_drive"
VOLUME_FILE = "etc/tmpfiles.d/devcloud-volumes.conf"
SERIAL_LENGTH = 20  # characters of a volume's id in /dev/disk/by-id, a limit of virtio-blk

# /sys is writable in a machine: its own udev would act on the devices of the host.
MASKED_UNITS = (
    "systemd-udev-settle.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
)
CLOUD_INIT = """\
# Where this machine's cloud-init looks, and what a cloud's image would have set: its network is
# there, its locale needs no making, it has no boot loader and no partition to grow.
datasource_list: [ConfigDrive, None]
network: {config: disabled}
locale: false
grub_dpkg: {enabled: false}
growpart: {mode: "off"}
resize_rootfs: false
ssh_genkeytypes: [ed25519]
"""
CGROUP_UNIT = "devcloud-cgroups.service"
CGROUP_UNIT_TEXT = """\
[Unit]
Description=Let this machine make cgroups of its own
# systemd-nspawn mounts hierarchies of version 1 read-only, and an engine needs them.
ConditionPathExists=!/sys/fs/cgroup/cgroup.controllers
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'for one in /sys/fs/cgroup/*; do mount -o remount,bind,rw $one; done'
"""


@dataclass(frozen=True)
class Interface:
    """One network interface of a machine."""

    id: str  # of the Neutron port; the name of the other end comes from it
    mac: str
    bridge: str
    addresses: tuple[str, ...] = ()  # with prefix length: "10.0.0.5/24"
    gateway: str = ""
    routes: tuple[tuple[str, str], ...] = ()  # (destination, next hop)
    mtu: int = settings.MTU  # bytes


@dataclass(frozen=True)
class Volume:
    """A block device of a machine."""

    id: str
    file: str  # a file of the host, or a block device
    device: str  # name inside: "vdb"


@dataclass(frozen=True)
class MachineSpec:
    """What a machine is made of."""

    uuid: str
    hostname: str
    root_filesystem: str
    memory_mb: int = 0  # limit in MiB, 0 for none
    interfaces: tuple[Interface, ...] = ()
    volumes: tuple[Volume, ...] = ()
    nameservers: tuple[str, ...] = ()
    boot_volume: str = ""  # id of the volume that keeps what the machine writes; "" for none

    @property
    def boot_file(self) -> str:
        """Return the file of the volume that the machine boots from; "" for none."""
        return next((item.file for item in self.volumes if item.id == self.boot_volume), "")

    def to_json(self) -> dict[str, Any]:
        """Return the specification as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "MachineSpec":
        """Make a specification of what :meth:`to_json` returned."""
        interfaces = tuple(
            Interface(
                **{
                    **item,
                    "addresses": tuple(item["addresses"]),
                    "routes": tuple((route[0], route[1]) for route in item["routes"]),
                }
            )
            for item in value["interfaces"]
        )
        return cls(
            **{
                **value,
                "interfaces": interfaces,
                "volumes": tuple(Volume(**item) for item in value["volumes"]),
                "nameservers": tuple(value["nameservers"]),
            }
        )


def namespace_name(uuid: str) -> str:
    """Return the network namespace of a machine."""
    return settings.NODE_NETNS_PREFIX + uuid[:13]


def nspawn_name(uuid: str) -> str:
    """Return the name under which systemd-nspawn knows a machine."""
    return settings.PREFIX + uuid[:13]


def first_files(spec: MachineSpec, seed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that are put over the image, by path relative to the root.

    :param seed: contents of the config drive, by path ("openstack/latest/user_data").
    :raises ValueError: a path of the seed leads out of the config drive.
    """
    name = spec.hostname.split(".")[0]
    files = {
        "etc/cloud/cloud.cfg.d/99-devcloud.cfg": CLOUD_INIT.encode(),
        "etc/hostname": f"{spec.hostname}\n".encode(),
        # The node's own name is found without a name server.
        "etc/hosts": (
            f"127.0.0.1 localhost\n127.0.1.1 {_names(spec.hostname, name)}\n"
            "::1 localhost ip6-localhost ip6-loopback\n"
        ).encode(),
        # Without this file systemd takes the boot for the first one ever and applies its presets,
        # which enable services that wait two minutes for a network.
        "etc/machine-id": f"{spec.uuid.replace('-', '')}\n".encode(),
        "etc/resolv.conf": "".join(f"nameserver {item}\n" for item in spec.nameservers).encode(),
        f"etc/systemd/system/{CGROUP_UNIT}": CGROUP_UNIT_TEXT.encode(),
    }
    for path, content in seed.items():
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{path} leads out of the config drive")
        files[f"{SEED}/{relative}"] = content
    return files


def first_links() -> dict[str, str]:
    """Return the links that mask and enable units, by path relative to the root."""
    links = {f"etc/systemd/system/{unit}": "/dev/null" for unit in MASKED_UNITS}
    links[f"etc/systemd/system/sysinit.target.wants/{CGROUP_UNIT}"] = f"../{CGROUP_UNIT}"
    return links


def volume_file(devices: Sequence[tuple[Volume, BlockDevice]]) -> bytes:
    """Return the tmpfiles.d(5) text that makes a machine's block devices early in its boot.

    systemd-tmpfiles makes what is below /dev before local file systems are mounted, which is
    before anything of the user-data runs; it does so again at each boot.
    """
    lines = ["d /dev/disk 0755 root root -", "d /dev/disk/by-id 0755 root root -"]
    for volume, device in devices:
        lines.append(f"b+ /dev/{volume.device} 0660 root disk - {device.major}:{device.minor}")
        lines.append(f"L+ {by_id(volume)} - - - - ../../{volume.device}")
    return ("\n".join(lines) + "\n").encode()


def by_id(volume: Volume) -> str:
    """Return the name under which a virtual machine would find a volume by its id."""
    return f"/dev/disk/by-id/virtio-{volume.id[:SERIAL_LENGTH]}"


def network_script(spec: MachineSpec) -> str:
    """Return the shell commands that make a machine's network from nothing.

    What an earlier start left is removed first: after a reboot a real machine has no tunnel,
    bridge or firewall rule of its former life either.
    """
    namespace = namespace_name(spec.uuid)
    lines = ["set -e"]
    lines += [
        _line("ip", "-n", fabric.NAMESPACE, "link", "delete", tap_name(item.id), may_fail=True)
        for item in spec.interfaces
    ]
    lines += [
        _line("ip", "netns", "delete", namespace, may_fail=True),
        _line("ip", "netns", "add", namespace),
        _line("ip", "-n", namespace, "link", "set", "lo", "up"),
    ]
    for index, item in enumerate(spec.interfaces):
        lines += interface_commands(namespace, item, index)
    return "\n".join(lines) + "\n"


def interface_commands(namespace: str, interface: Interface, index: int) -> list[str]:
    """Return the shell commands that give a machine one more interface.

    :param index: its number among the machine's interfaces; the first has the default route.
    """
    net, name, tap = fabric.NAMESPACE, f"eth{index}", tap_name(interface.id)
    mtu, bridge = str(interface.mtu), interface.bridge
    add_bridge = ("ip", "-n", net, "link", "add", bridge, "type", "bridge", "forward_delay", "0")
    lines = [
        _line(*add_bridge, may_fail=True),
        _line("ip", "-n", net, "link", "set", bridge, "up"),
        _line(
            *("ip", "-n", net, "link", "add", tap, "mtu", mtu, "type", "veth", "peer"),
            *("name", name, "netns", namespace, "address", interface.mac, "mtu", mtu),
        ),
        _line("ip", "-n", net, "link", "set", tap, "master", bridge, "up"),
    ]
    for address in interface.addresses:
        lines.append(_line("ip", "-n", namespace, "address", "add", address, "dev", name))
    lines.append(_line("ip", "-n", namespace, "link", "set", name, "up"))
    for destination, next_hop in interface.routes:
        route = ("ip", "-n", namespace, "route", "replace", destination, "via", next_hop)
        lines.append(_line(*route, may_fail=True))
    if interface.gateway and index == 0:
        lines.append(
            _line("ip", "-n", namespace, "route", "replace", "default", "via", interface.gateway)
        )
    return lines


def launch_script(
    spec: MachineSpec, directory: Path, launchers: Sequence[Path], groups: Sequence[Path]
) -> str:
    """Return the shell script that is a machine: it ends when the machine has powered off.

    The root file system is mounted in a mount namespace that lives as long as the machine, so
    that nothing stays mounted on the host however the machine ends.

    :param directory: the machine's own directory.
    :param launchers: the cgroups of the script itself.
    :param groups: the machine's cgroups.
    """
    namespace = fabric.NETNS_DIRECTORY / namespace_name(spec.uuid)
    root = directory / "root"
    disk = disk_of(spec, directory)
    overlay = f"lowerdir={spec.root_filesystem},upperdir={disk}/upper,workdir={disk}/work"
    join = [f"echo $$ >{shlex.quote(str(group / 'cgroup.procs'))}" for group in groups]
    inner = "\n".join(
        (
            *join,
            *_boot_volume(spec, directory),
            _line("mount", "-t", "overlay", "overlay", "-o", overlay, str(root)),
            # In the machine's network namespace already when nspawn starts: it mounts /sys before
            # it enters the one it is told, and the machine would see the host's interfaces there.
            "exec " + _line("nsenter", f"--net={namespace}", *nspawn_command(spec, directory)),
        )
    )
    return (
        "\n".join(
            (
                "#!/bin/sh",
                f"# Starts machine {spec.uuid}, and starts it again when it reboots itself.",
                "set -eu",
                *(f"echo $$ >{shlex.quote(str(group / 'cgroup.procs'))}" for group in launchers),
                f"echo $$ >{shlex.quote(str(directory / 'pid'))}",
                "while :; do",
                _line("sh", str(directory / "network.sh")),
                "status=0",
                _line("unshare", "--mount", "--propagation", "private", "sh", "-ec", inner)
                + " || status=$?",
                f"[ $status -eq {REBOOT_STATUS} ] || exit $status",
                "done",
            )
        )
        + "\n"
    )


def disk_of(spec: MachineSpec, directory: Path) -> Path:
    """Return where what a machine writes is, as seen in its mount namespace."""
    return directory / "disk" if spec.boot_file else directory


def _boot_volume(spec: MachineSpec, directory: Path) -> tuple[str, ...]:
    """Return the lines that mount the volume that a machine boots from, made of its image.

    What the machine's directory holds for its first boot is put on a blank volume; later boots
    take from there only which block devices there are.
    """
    if not spec.boot_file:
        return ()
    disk, upper = shlex.quote(str(directory / "disk")), shlex.quote(str(directory / "upper"))
    devices = _line("losetup", "--noheadings", "--output=NAME", "--associated", spec.boot_file)
    return (
        f"device=$({devices} | head -n 1)",
        "blkid -p $device >/dev/null || mkfs.ext4 -q -m 0 $device",
        f"mount -t ext4 $device {disk}",
        f"mkdir -p {disk}/work {disk}/docker",
        f"[ -d {disk}/upper ] || cp -a {upper} {disk}/upper",
        f"cp -a {upper}/{VOLUME_FILE} {disk}/upper/{VOLUME_FILE}",
    )


def nspawn_command(spec: MachineSpec, directory: Path) -> tuple[str, ...]:
    """Return the command that boots a machine; see systemd-nspawn(1) and ENVIRONMENT.md."""
    return (
        "env",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes",  # the engine sets sysctls of its networks
        "SYSTEMD_NSPAWN_USE_CGNS=1",  # and sees its own cgroup as the root of the hierarchy
        "systemd-nspawn",
        "--quiet",
        f"--directory={directory / 'root'}",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        f"--network-namespace-path={fabric.NETNS_DIRECTORY / namespace_name(spec.uuid)}",
        f"--machine={nspawn_name(spec.uuid)}",
        f"--hostname={spec.hostname}",
        f"--uuid={spec.uuid}",
        "--capability=all",
        "--system-call-filter=@keyring bpf perf_event_open",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        f"--bind={disk_of(spec, directory) / 'docker'}:/var/lib/docker",
        "--console=read-only",
    )


def _names(hostname: str, name: str) -> str:
    return hostname if hostname == name else f"{hostname} {name}"


def _line(*command: str, may_fail: bool = False) -> str:
    return shlex.join(command) + (" 2>/dev/null || :" if may_fail else "")
