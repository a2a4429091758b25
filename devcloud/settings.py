# SPDX-License-Identifier: Apache-2.0
"""Names, paths, addresses and ports of the one-machine cloud, all in one place.

Constants only: the services' own processes import this module too, so it reads nothing and
imports nothing but ``pathlib``. Passwords are in :mod:`devcloud.passwords`.
"""

from pathlib import Path

# -- where things are ---------------------------------------------------------------------------
HOME = Path("/var/lib/devcloud")
VENV = HOME / "venv"  # every OpenStack service, survives `down`
RELEASES = HOME / "releases"  # environments of Magnum's other releases, survive `down`
HORIZON = HOME / "horizon"  # Horizon's environment, survives `down`
IMAGES = HOME / "images"  # root file systems of nodes, survive `down`
IMAGES_BY_ID = IMAGES / "by-id"  # Glance image id -> link to a root file system
NODES = HOME / "nodes"  # one directory per server
VOLUMES = HOME / "volumes"  # one sparse file per Cinder volume
PROXY = HOME / "proxy"  # what the servers' proxy keeps, survives `down`
LOG = HOME / "log"
RUN = HOME / "run"  # pid files, lock
ETC = HOME / "etc"  # configuration, rewritten by every `up`
DATA = HOME / "data"  # databases, Glance data, passwords: the state `reset` deletes
STATE = HOME / "state"  # state_path of each service
LIB = HOME / "lib"  # PYTHONPATH of the services: a copy of this package with entry points
BIN = HOME / "bin"  # commands that the host lacks (docker)
SECRETS_FILE = DATA / "secrets.json"
SSH_KEY = DATA / "id_ed25519"
LOCK_FILE = RUN / "lock"

CHECKOUT = Path(__file__).resolve().parent.parent

# -- names that leftovers are recognised by ------------------------------------------------------
PREFIX = "dc-"  # every bridge, network namespace and cgroup of ours begins so
EXTERNAL_BRIDGE = "dc-ext"
NODE_NETNS_PREFIX = "dc-n-"  # + first characters of the server's uuid
ROUTER_NETNS_PREFIX = "dc-r-"  # + first characters of the router's uuid
NETWORK_BRIDGE_PREFIX = "dcb"  # + first 11 characters of the network's id (15 bytes limit)
TAP_PREFIX = "dct"  # + first 11 characters of the port's id
ROUTER_TAP_PREFIX = "dcr"  # + first 11 characters of the port's id
CGROUP = "dc-nodes"  # below the root of each hierarchy; one child per server
FIREWALL_TABLE = "dc-devcloud"  # name of our nftables tables / prefix of our iptables chains

# -- addresses -----------------------------------------------------------------------------------
HOST_ADDRESS = "172.24.4.1"  # on the external bridge: every endpoint, reachable from servers
EXTERNAL_CIDR = "172.24.4.0/24"
EXTERNAL_POOL = ("172.24.4.20", "172.24.4.250")
PRIVATE_CIDR = "10.0.0.0/24"
LOOPBACK = "127.0.0.1"
DNS_NAMESERVER = "8.8.8.8"
MTU = 1500  # of Neutron networks, in bytes

# -- ports ---------------------------------------------------------------------------------------
# Infrastructure listens on the loopback address, on ports no other instance uses by default.
DATABASE_PORT = 13306
RABBIT_PORT = 13672
RABBIT_DIST_PORT = 13673
EPMD_PORT = 14369
MEMCACHED_PORT = 11311
# The proxy through which servers reach the Debian mirror; on HOST_ADDRESS only.
PROXY_PORT = 13128
# APIs listen on HOST_ADDRESS only.
KEYSTONE_PORT = 5000
HEAT_CFN_PORT = 8000
HEAT_PORT = 8004
NOVA_PORT = 8774
CINDER_PORT = 8776
PLACEMENT_PORT = 8778
GLANCE_PORT = 9292
MAGNUM_PORT = 9511
NEUTRON_PORT = 9696
HORIZON_PORT = 8080  # where Horizon runs

AUTH_URL = f"http://{HOST_ADDRESS}:{KEYSTONE_PORT}/v3"
HORIZON_URL = f"http://{HOST_ADDRESS}:{HORIZON_PORT}/"
REGION = "RegionOne"
COMPUTE_HOST = "devcloud"  # `host` of nova, neutron, cinder and magnum

MAGNUM_RELEASE = "23.0.0"  # the one among all services in VENV
MAGNUM_RELEASES = ("20.0.2", "21.0.1", "22.0.0", MAGNUM_RELEASE)

# -- what a user finds in the cloud ---------------------------------------------------------------
EXTERNAL_NETWORK = "public"
PHYSICAL_NETWORK = "public"  # provider:physical_network of the external network
PRIVATE_NETWORK = "private"
PRIVATE_SUBNET = "private-subnet"
ROUTER = "router1"
KEYPAIR = "fuel"
FLAVORS = {  # name: (vcpus, memory in MiB, disk in GiB)
    "m1.small": (1, 1024, 10),
    "m1.medium": (1, 2048, 20),
}
GLANCE_IMAGES = {  # Glance name: name of the root file system below IMAGES
    "ubuntu_xenial": "docker-20.10",
    "debian-docker-26.1": "docker-26.1",
    "debian-12": "debian-12",  # no engine: nodes install it
}
OS_DISTRO = "debian"

# -- classes that service configuration names -----------------------------------------------------
NOVA_DRIVER = "devcloud_nspawn.NspawnDriver"  # below nova.virt, put there by the next module
NOVA_COMPUTE_MODULE = "devcloud.dataplane.nova_compute"  # run with python -m
NEUTRON_MECHANISM_DRIVER = "devcloud"  # entry point in neutron.ml2.mechanism_drivers
NEUTRON_MECHANISM_CLASS = "devcloud.dataplane.mechanism:NspawnMechanismDriver"
CINDER_DRIVER = "devcloud.dataplane.cinder.SparseDriver"
NEUTRON_WSGI_MODULE = "devcloud.dataplane.neutron_wsgi"
NETWORK_DAEMON_MODULE = "devcloud.dataplane.network_daemon"  # run with python -m
