# SPDX-License-Identifier: Apache-2.0
"""A container image for clusters that reach no registry: the node's own static busybox."""

from concurrent.futures import ThreadPoolExecutor

from tests.endtoend.clusters import Cluster, Server

NAME = "local/busybox:3"
WIDTH = 3  # machines that make it at once
APPLETS = (
    "awk cat dd head hostname httpd mkdir nc nslookup ping rm sh sleep sort ssl_client tail wc"
)
IMPORT = f"""
set -e
if ! docker image inspect {NAME} >/dev/null 2>&1; then
    root=$(mktemp -d)
    mkdir -p $root/bin $root/etc $root/tmp $root/www
    cp "$(command -v busybox)" $root/bin/busybox
    for applet in {APPLETS}; do
        ln -s busybox $root/bin/$applet
    done
    tar -c -C $root . | docker import - {NAME} >/dev/null
    rm -r $root
fi
"""


def bring(cluster: Cluster, *, everywhere: bool = False) -> None:
    """Import the image on every worker that lacks it, over ssh.

    :param everywhere: on managers too
    :raises shell.CommandError: a worker cannot be reached or refuses
    """

    def one(server: Server) -> None:
        cluster.machine(server).run(IMPORT)

    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(one, cluster.servers() if everywhere else cluster.workers()))
