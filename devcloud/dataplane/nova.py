# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002
"""Nova virt driver: a server is a machine of :mod:`.machine`.

The methods are those of ``nova.virt.driver.ComputeDriver``; Nova's objects are untyped here. Only
what Neutron, Cinder and Glance said about a server is translated; the life of a machine is not
this module's. Machines do not depend on nova-compute: they go on when it stops, and when it
starts it finds them by their directories.
"""

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import nova.conf
import os_resource_classes as resource_classes
from nova import exception
from nova.api.metadata import base as instance_metadata
from nova.compute import power_state
from nova.network import model as network_model
from nova.objects import fields
from nova.virt import driver, hardware
from oslo_log import log as logging

from devcloud import settings
from devcloud.dataplane import commands
from devcloud.dataplane.machine import Machine, MachineError, all_machines
from devcloud.dataplane.machine_files import MachineSpec
from devcloud.dataplane.nova_values import boot_source, interface, nameservers, volume

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# What the host pretends to have, so that a cluster of many small servers is scheduled.
VCPUS = 64
MEMORY_MB = 262144
DISK_GB = 4000
SOFT_REBOOT_SECONDS = 40.0
SEED_DIRECTORIES = ("openstack/latest/", "openstack/content/", "ec2/latest/")


class NspawnDriver(driver.ComputeDriver):
    """Servers as systemd-nspawn machines of this host."""

    capabilities = {
        **driver.ComputeDriver.capabilities,
        "has_imagecache": False,
        "supports_attach_interface": True,
        "supports_device_tagging": False,
        "supports_extend_volume": False,
        "supports_multiattach": False,
        "supports_image_type_raw": True,
        "supports_image_type_qcow2": True,
    }

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        """Make the directory of all machines."""
        super().__init__(virtapi)
        settings.NODES.mkdir(parents=True, exist_ok=True)
        self._host = str(CONF.host)

    def init_host(self, host: str) -> None:
        """Remember the host's name; machines need no preparation."""
        self._host = host

    # -- inventory --------------------------------------------------------------------------------

    @property
    def _node_uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self._host))

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return this host as the only hypervisor."""
        return [self._host]

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Return this host with a uuid that follows from its name."""
        return {self._node_uuid: self._host}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Return what the host pretends to have and what machines take of it."""
        machines = all_machines()
        topology = {"cores": 1, "threads": 1, "sockets": 1}
        return {
            "uuid": self._node_uuid,
            "vcpus": VCPUS,
            "memory_mb": MEMORY_MB,
            "local_gb": DISK_GB,
            "vcpus_used": len(machines),
            "memory_mb_used": sum(machine.spec.memory_mb for machine in machines),
            "local_gb_used": 0,
            "hypervisor_type": "fake",
            "hypervisor_version": 1000000,
            "hypervisor_hostname": nodename,
            "disk_available_least": DISK_GB,
            "numa_topology": None,
            "cpu_info": json.dumps(
                {
                    "arch": "x86_64",
                    "model": "nspawn",
                    "vendor": "devcloud",
                    "features": [],
                    "topology": topology,
                }
            ),
            "supported_instances": [
                (fields.Architecture.X86_64, fields.HVType.FAKE, fields.VMMode.HVM)
            ],
        }

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Report the inventory to Placement."""
        ratios = self._get_allocation_ratios(provider_tree.data(nodename).inventory)
        totals = {
            resource_classes.VCPU: VCPUS,
            resource_classes.MEMORY_MB: MEMORY_MB,
            resource_classes.DISK_GB: DISK_GB,
        }
        provider_tree.update_inventory(
            nodename,
            {
                name: {
                    "total": total,
                    "min_unit": 1,
                    "max_unit": total,
                    "step_size": 1,
                    "allocation_ratio": ratios[name],
                    "reserved": 0,
                }
                for name, total in totals.items()
            },
        )

    def list_instance_uuids(self) -> list[str]:
        """Return the uuids of all machines."""
        return [machine.uuid for machine in all_machines()]

    def list_instances(self) -> list[str]:
        """Return the names of all machines, which are their uuids."""
        return self.list_instance_uuids()

    def get_num_instances(self) -> int:
        """Return how many machines there are."""
        return len(all_machines())

    def instance_exists(self, instance: Any) -> bool:
        """Return whether a server has a machine."""
        return Machine(instance.uuid).exists

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """Return whether a machine is on, as it is at this moment."""
        machine = Machine(instance.uuid)
        if not machine.exists:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        state = power_state.RUNNING if machine.running else power_state.SHUTDOWN
        return hardware.InstanceInfo(state=state)

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        """Return the end of a machine's console."""
        return Machine(instance.uuid).console()

    def get_host_uptime(self) -> str:
        """Return the output of uptime(1)."""
        return commands.run("uptime").strip()

    def get_host_ip_addr(self) -> str:
        """Return the address from the configuration."""
        return str(CONF.my_ip)

    # -- life cycle -------------------------------------------------------------------------------

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: str | None,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        """Create a machine and boot it."""
        began = time.monotonic()
        vifs = list(network_info or ())  # waits until Neutron has made the ports
        machine = Machine(instance.uuid)
        mapping = driver.block_device_info_get_mapping(block_device_info)
        image, boot_volume = boot_source(str(instance.image_ref or ""), mapping)
        spec = MachineSpec(
            uuid=instance.uuid,
            hostname=instance.hostname,
            root_filesystem=str(self._root_filesystem(image)),
            memory_mb=instance.flavor.memory_mb,
            interfaces=tuple(interface(vif) for vif in vifs),
            volumes=tuple(
                volume(item["connection_info"], item["mount_device"]) for item in mapping
            ),
            nameservers=nameservers(vifs),
            boot_volume=boot_volume,
        )
        try:
            machine.create(spec, _config_drive(instance, injected_files, admin_password, vifs))
            if power_on:
                machine.start()
        except Exception:
            machine.remove()
            raise
        LOG.info("machine started in %.1f s", time.monotonic() - began, instance=instance)

    @staticmethod
    def _root_filesystem(image: str) -> Path:
        path: Path = settings.IMAGES_BY_ID / image
        if not image or not path.is_dir():
            raise exception.ImageUnacceptable(
                image_id=image, reason=f"no root file system at {path}"
            )
        return path.resolve()

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove a machine with its disk."""
        Machine(instance.uuid).remove()

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove what a failed start left."""
        Machine(instance.uuid).remove()

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        """Turn a machine off, by itself within ``timeout`` seconds or else at once."""
        Machine(instance.uuid).stop(timeout)

    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Turn a machine on with the ports that it has now."""
        machine = Machine(instance.uuid)
        if not machine.running:
            machine.set_interfaces(tuple(interface(vif) for vif in network_info or ()))
        machine.start()

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Turn a machine off, gently for a soft reboot, and on again."""
        Machine(instance.uuid).stop(SOFT_REBOOT_SECONDS if reboot_type == "SOFT" else 0)
        self.power_on(context, instance, network_info, block_device_info)

    def resume_state_on_host_boot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        share_info: Any,
        block_device_info: Any = None,
    ) -> None:
        """Start a machine that was on when the host went down."""
        self.power_on(context, instance, network_info, block_device_info)

    def poll_rebooting_instances(self, timeout: int, instances: Any) -> None:
        """Do nothing: a reboot ends before its call returns."""

    def set_admin_password(self, instance: Any, new_pass: str) -> None:
        """Set root's password inside a machine."""
        try:
            Machine(instance.uuid).execute(
                "sh", "-c", 'printf "root:%s" "$1" | chpasswd', "sh", new_pass
            )
        except (MachineError, commands.CommandError) as error:
            raise exception.InstancePasswordSetFailed(
                instance=instance.uuid, reason="the machine did not take it"
            ) from error

    # -- network ----------------------------------------------------------------------------------

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        """Do nothing: a machine's start makes its interfaces."""

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        """Do nothing: a machine's removal removes its interfaces."""

    def attach_interface(self, context: Any, instance: Any, image_meta: Any, vif: Any) -> None:
        """Add an interface to a machine."""
        try:
            Machine(instance.uuid).attach_interface(interface(vif))
        except (MachineError, commands.CommandError) as error:
            LOG.exception("interface not attached", instance=instance)
            raise exception.InterfaceAttachFailed(instance_uuid=instance.uuid) from error

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        """Remove an interface of a machine."""
        Machine(instance.uuid).detach_interface(vif["id"])

    # -- volumes ----------------------------------------------------------------------------------

    def default_root_device_name(self, instance: Any, image_meta: Any, root_bdm: Any) -> str:
        """Return the virtio name: Nova assumes sda otherwise and calls the first volume sdb."""
        return "/dev/vda"

    def get_volume_connector(self, instance: Any) -> dict[str, str]:
        """Return who Cinder is told connects to a volume."""
        return {
            "ip": str(CONF.my_block_storage_ip),
            "initiator": "iqn.devcloud:nspawn",
            "host": self._host,
        }

    def attach_volume(
        self,
        context: Any,
        connection_info: Any,
        instance: Any,
        mountpoint: str,
        disk_bus: Any = None,
        device_type: Any = None,
        encryption: Any = None,
    ) -> None:
        """Add a block device to a machine."""
        Machine(instance.uuid).attach_volume(volume(connection_info, mountpoint))

    def detach_volume(
        self,
        context: Any,
        connection_info: Any,
        instance: Any,
        mountpoint: str,
        encryption: Any = None,
    ) -> None:
        """Remove a block device of a machine; a machine that is gone has none any more."""
        machine = Machine(instance.uuid)
        if machine.exists:
            machine.detach_volume(volume(connection_info, mountpoint).id)


def _config_drive(
    instance: Any, injected_files: Any, admin_password: str | None, vifs: list[Any]
) -> dict[str, bytes]:
    """Return what Nova puts on a server's config drive, in the newest format only."""
    metadata = instance_metadata.InstanceMetadata(
        instance,
        content=injected_files or [],
        extra_md={"admin_pass": admin_password} if admin_password else {},
        network_info=network_model.NetworkInfo(vifs),
    )
    return {
        path: content if isinstance(content, bytes) else os.fsencode(content)
        for path, content in metadata.metadata_for_config_drive()
        if path.startswith(SEED_DIRECTORIES)
    }
