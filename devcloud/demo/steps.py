# SPDX-License-Identifier: Apache-2.0
"""The commands of the demonstration, and what to do about what is there already. No I/O."""

import enum

TEMPLATE = "swarm-mode-cluster-template"
CLUSTER = "swarm-mode-cluster"
NODES = 11  # 3 managers and 8 workers

# The words are fixed; only the lines are broken here. Shown and run exactly as they stand.
CREATE_TEMPLATE = r"""magnum cluster-template-create --name swarm-mode-cluster-template \
    --image-id ubuntu_xenial --keypair-id fuel --fixed-network private \
    --external-network-id public \
    --dns-nameserver 8.8.8.8 --flavor-id m1.medium --docker-volume-size 5 --coe swarm-mode"""
CREATE_CLUSTER = r"""magnum cluster-create --name swarm-mode-cluster \
    --cluster-template swarm-mode-cluster-template --manager-count 3 --node-count 8"""
SERVICE_LIST = "magnum service-list"


class Step(enum.Enum):
    """What comes next for the cluster."""

    CREATE = "there is none"
    WAIT = "it is being changed"
    WAIT_UNTIL_GONE = "it is being deleted"
    REMOVE = "it never worked and never will"
    USE = "it is there"


def next_step(status: str | None) -> Step:
    """What to do about a cluster of the demonstration's name.

    :param status: Magnum's; None where there is no such cluster
    """
    if status is None:
        return Step.CREATE
    if status == "DELETE_IN_PROGRESS":
        return Step.WAIT_UNTIL_GONE
    if status.endswith("_IN_PROGRESS") or not status:
        return Step.WAIT
    if status in ("CREATE_FAILED", "DELETE_FAILED"):
        return Step.REMOVE
    return Step.USE


def pages(address: str, user: str, password: str) -> str:
    """Where the pages are, and how to log in.

    :param address: of Horizon
    """
    return f"""\
Or with the mouse, in Horizon (Project, Container Infra):
    {address}
    user {user}, password {password}
"""


def farewell(cluster: str, directory: str, docker: str, devcloud: str) -> str:
    """How to connect, and how to remove it all.

    :param directory: where the client files are
    :param docker: what to type for the docker command
    :param devcloud: what to type for the cloud's command
    """
    return f"""\
Connect from any shell:
    . {directory}/docker.sh
    {docker} node ls

Be the demo user of the cloud (`openrc admin` for the administrator):
    source <({devcloud} openrc)
    magnum cluster-show {cluster}
    openstack server list

Remove the cluster only:
    source <({devcloud} openrc) && magnum cluster-delete {cluster}
Remove everything that runs (a later `up` has the cloud again):
    {devcloud} down
"""
