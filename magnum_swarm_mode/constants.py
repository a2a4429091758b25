# SPDX-License-Identifier: Apache-2.0
"""Values that several parts of this package must agree on; pure, and imports nothing."""

from __future__ import annotations

# The orchestration engine, the driver's entry point and the kinds of nodes that are offered.
COE = "swarm-mode"
ENTRY_POINT = "swarm_mode"
SERVER_TYPE = "vm"
OS_DISTROS: tuple[str, ...] = ("ubuntu", "debian")
# The port registered for the Docker API with TLS; Swarm's own ports are its neighbours.
API_PORT = 2376
# GiB; larger than any volume, and small enough for every database.
LARGEST_VOLUME = 65536
# Seconds that a wait condition of Heat waits at most.
LONGEST_WAIT = 43200
# Heat's ResourceGroup replaces this in every property of its members.
INDEX = "%index%"
# What the names of the application credentials of clusters' nodes begin with: they are made with
# it, and tokens are held to their cluster by it.
NODE_CREDENTIAL_PREFIX = "magnum-swarm-mode-node-"
