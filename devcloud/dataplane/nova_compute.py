# SPDX-License-Identifier: Apache-2.0
"""nova-compute with the driver of :mod:`.nova`.

Nova loads only drivers below ``nova.virt``, so the driver is put there under the name that
``compute_driver = devcloud_nspawn.NspawnDriver`` looks for. Run as
``python -m devcloud.dataplane.nova_compute --config-file …``.
"""

import sys

from nova.cmd import compute  # first: it chooses Nova's way of running threads

from devcloud.dataplane import nova as driver


def main() -> int:
    """Run nova-compute."""
    sys.modules["nova.virt.devcloud_nspawn"] = driver
    sys.argv[0] = "nova-compute"  # the name that the service logs and reports under
    compute.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
