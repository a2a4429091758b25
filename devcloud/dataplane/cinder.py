# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002
"""Cinder volume driver: a volume is a sparse file of this host.

The methods are those of Cinder's ``VolumeDriver`` interface; volumes and snapshots come as its
objects. The file reaches a machine as a loop device, see :mod:`.nova`.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from cinder import interface
from cinder.volume import configuration, driver
from oslo_config import cfg

from devcloud import settings

OPTIONS = [
    cfg.StrOpt(
        "sparse_dir", default=str(settings.VOLUMES), help="Directory that holds the volumes' files."
    )
]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)
GIBIBYTE = 1 << 30


@interface.volumedriver
class SparseDriver(driver.VolumeDriver):
    """Volumes as sparse files, which take the space that was written to them."""

    VERSION = "1.0"
    CI_WIKI_NAME = "none"

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Read the driver's own options beside Cinder's."""
        super().__init__(*arguments, **keywords)
        self.configuration.append_config_values(OPTIONS)

    def _file(self, item: Any) -> Path:
        return Path(self.configuration.sparse_dir, item.id)

    def do_setup(self, context: Any) -> None:
        """Make the directory of the volumes."""
        Path(self.configuration.sparse_dir).mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self) -> None:
        """Find nothing wrong: a directory is all that is needed."""

    def create_volume(self, volume: Any) -> None:
        """Make an empty file of the volume's size."""
        with self._file(volume).open("wb") as file:
            file.truncate(volume.size * GIBIBYTE)

    def clone_image(
        self,
        context: Any,
        volume: Any,
        image_location: Any,
        image_meta: dict[str, Any],
        image_service: Any,
    ) -> tuple[dict[str, str], bool]:
        """Make a blank file that names its image: root file systems are not Glance's data here."""
        self.create_volume(volume)
        return {"provider_location": str(image_meta["id"])}, True

    def delete_volume(self, volume: Any) -> None:
        """Remove the file; one that is gone already is fine."""
        self._file(volume).unlink(missing_ok=True)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Make the file larger (GiB)."""
        os.truncate(self._file(volume), new_size * GIBIBYTE)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """Copy another volume."""
        self._copy(src_vref, volume)
        self.extend_volume(volume, volume.size)

    def create_snapshot(self, snapshot: Any) -> None:
        """Copy a volume to a snapshot."""
        self._copy(snapshot.volume, snapshot)

    def delete_snapshot(self, snapshot: Any) -> None:
        """Remove a snapshot's file; one that is gone already is fine."""
        self._file(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """Copy a snapshot to a new volume."""
        self._copy(snapshot, volume)
        self.extend_volume(volume, volume.size)

    def _copy(self, source: Any, target: Any) -> None:
        subprocess.run(
            ["cp", "--sparse=always", str(self._file(source)), str(self._file(target))], check=True
        )

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Do nothing: the file is there."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Do nothing: the file is there."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Do nothing: Nova's driver releases the loop device."""

    def initialize_connection(self, volume: Any, connector: Any, **_rest: Any) -> dict[str, Any]:
        """Return where Nova's driver finds the volume."""
        return {
            "driver_volume_type": "local",
            "data": {
                "device_path": str(self._file(volume)),
                "volume_id": volume.id,
                "image_id": volume.provider_location or "",
                "discard": False,
            },
        }

    def terminate_connection(self, volume: Any, connector: Any, **_rest: Any) -> None:
        """Do nothing: Nova's driver releases the loop device."""

    def _update_volume_stats(self) -> None:
        self._stats = {
            "volume_backend_name": "sparse",
            "vendor_name": "devcloud",
            "driver_version": self.VERSION,
            "storage_protocol": "file",
            "pools": [
                {
                    "pool_name": "sparse",
                    "total_capacity_gb": 1000,
                    "free_capacity_gb": 1000,
                    "reserved_percentage": 0,
                    "QoS_support": False,
                    "thin_provisioning_support": True,
                    "max_over_subscription_ratio": 20.0,
                    "provisioned_capacity_gb": 0,
                }
            ],
        }
