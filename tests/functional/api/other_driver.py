# SPDX-License-Identifier: Apache-2.0
"""A driver of another orchestration engine, to be installed beside ours."""

from magnum.drivers.common import driver


class Driver(driver.Driver):
    """Offers Kubernetes on Ubuntu, and does nothing."""

    @property
    def provides(self):
        return [{"server_type": "vm", "os": "ubuntu", "coe": "kubernetes"}]

    def _nothing(self, *args, **kwargs):
        return None

    create_cluster = update_cluster = upgrade_cluster = delete_cluster = _nothing
    resize_cluster = create_federation = update_federation = delete_federation = _nothing
    create_nodegroup = update_nodegroup = delete_nodegroup = _nothing
