# SPDX-License-Identifier: Apache-2.0
"""What an operator can say, on the command line or in the environment."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PREFIX = "ACCEPTANCE_"


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no label: expected name=value")
    return name, value


@dataclass(frozen=True)
class Options:
    """Everything that decides a run. Times are in seconds."""

    node_image: str
    flavor: str
    external_network: str
    manager_flavor: str = ""
    keypair: str = ""
    fixed_network: str = ""
    fixed_subnet: str = ""
    dns_nameserver: str = ""
    docker_volume_size: int = 0
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    managers: int = 3
    workers: int = 2
    service_image: str = "busybox:stable"
    prepare: str = ""
    published_port: int = 30080
    name: str = "swarm-mode-acceptance"
    cloud: str = ""
    create_timeout: int = 1800
    patience: int = 60
    keep: bool = False
    list: bool = False


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser, whose defaults come from the environment where that has them."""
    made = argparse.ArgumentParser(
        prog="acceptance",
        description="Makes a swarm-mode cluster in the cloud of the OS_* variables (an OpenRC "
        "file), tries what it promises, prints a table and removes it.",
        epilog=f"Each option's default is {PREFIX} and its name in the environment, such as "
        f"{PREFIX}NODE_IMAGE. Exit status: 0 when every promise holds, 1 when one does not, 2 for "
        "wrong options, 3 when some were not tried, 130 after Ctrl-C.",
    )

    def add(name: str, help_: str, default: object = "", **more: Any) -> None:
        key = PREFIX + name.upper().replace("-", "_")
        value = environment.get(key, default)
        shown = help_ + (f" (default: {default})" if default else "")
        made.add_argument(f"--{name}", default=value, help=shown, **more)

    add("cloud", "a cloud of clouds.yaml, instead of the OS_* variables")
    add("node-image", "image of the nodes, with os_distro; required")
    add("flavor", "flavor of the nodes; required")
    add("external-network", "network that floating IPs come from; required")
    add("manager-flavor", "flavor of the managers, where it is another one")
    add("keypair", "key pair for the nodes")
    add("fixed-network", "network of the nodes; without it the cluster makes its own")
    add("fixed-subnet", "subnet of that network")
    add("dns-nameserver", "name server of the nodes")
    add("docker-volume-size", "GiB of each node's volume for the engine", 0, type=int)
    for name in ("http-proxy", "https-proxy", "no-proxy"):
        add(name, f"{name.replace('-', ' ')} of the template")
    made.add_argument(
        "--label", action="append", type=_label, default=[], metavar="NAME=VALUE", dest="labels",
        help="a label of the template; can be repeated",
    )  # fmt: skip
    add("managers", "how many managers", 3, type=int)
    add("workers", "how many workers", 2, type=int)
    add("service-image", "image of the services, with a busybox", "busybox:stable")
    add(
        "prepare",
        "command to run once the cluster is complete, such as one that brings the services' image "
        "to nodes that reach no registry; gets DOCKER_HOST, DOCKER_CERT_PATH and CLUSTER, its uuid",
    )
    add("published-port", "port at which a service is published", 30080, type=int)
    add("name", "name of template and cluster", "swarm-mode-acceptance")
    add("create-timeout", "seconds until the cluster must be complete", 1800, type=int)
    add("patience", "seconds until services must reach each other", 60, type=int)
    made.add_argument("--keep", action="store_true", help="do not delete cluster and template")
    made.add_argument("--list", action="store_true", help="print the promises and do nothing")
    return made


def parse(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Options:
    """Return what the operator said; end the program where it makes no sense."""
    made = parser(os.environ if environment is None else environment)
    found = vars(made.parse_args(words))
    found["labels"] = dict(found["labels"])
    options = Options(**found)
    if options.list:
        return options
    needed = ("node_image", "flavor", "external_network")
    missing = [name for name in needed if not getattr(options, name)]
    if missing:
        made.error("required: " + ", ".join(f"--{name.replace('_', '-')}" for name in missing))
    if options.workers < 1 or options.managers < 1:
        made.error("at least one manager and one worker are needed")
    return options
