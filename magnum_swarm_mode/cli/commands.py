# SPDX-License-Identifier: Apache-2.0
"""The table of commands.

Names, options and columns are those of the ``magnum`` command of python-magnumclient 2.17.0, plus
names in Swarm's own words: a manager is what Magnum calls a master.
"""

from __future__ import annotations

from magnum_swarm_mode.cli import actions
from magnum_swarm_mode.cli.declare import Command, Exclusive, argument, flag
from magnum_swarm_mode.cli.swarm import backup, recover, restore, rotation

_LIMIT = argument("--limit", type=int, help="Show at most this many.")
_MARKER = argument("--marker", help="Begin after the one with this uuid.")
_SORT_KEY = argument("--sort-key", help="Field to sort by.")
_SORT_DIR = argument("--sort-dir", choices=("desc", "asc"), help="Direction to sort.")
_FIELDS = argument("--fields", help="Further fields to show, separated by commas.")
_NAME = (
    argument("positional_name", metavar="<name>", nargs="?", help="Name of what is created."),
    argument("--name", help="The same, as it used to be given."),
)
_LABELS = argument(
    "--labels",
    field="labels",
    action="append",
    metavar="<key1=value1,key2=value2…>",
    help="Labels; may be used several times.",
)
_CLUSTER = argument("cluster", metavar="<cluster>", help="Uuid or name of the cluster.")
_CLUSTER_EITHER = (
    argument("positional_cluster", metavar="<cluster>", nargs="?", help=_CLUSTER.settings["help"]),
    argument("--cluster", help="The same, as it used to be given."),
)
_TEMPLATE = argument(
    "cluster_template", metavar="<cluster_template>", help="Uuid or name of the cluster template."
)
_BACKUP = (
    argument("--file", help="File of this machine that holds the backup."),
    argument("--container", help="Container of the cloud's object store (Swift) that holds it."),
    argument("--object", help="Its name there (default: cluster's name and time)."),
)
_CHANGE = (
    argument("op", metavar="<op>", choices=("add", "replace", "remove"), help="What to do."),
    argument(
        "attributes",
        metavar="<path=value>",
        nargs="+",
        help="What to add, replace or remove (to remove, only the path).",
    ),
)
_FLOATING_IPS = Exclusive(
    (
        flag(
            "--floating-ip-enabled",
            field="floating_ip_enabled",
            help="Give floating IPs to the API and the managers.",
        ),
        flag(
            "--floating-ip-disabled",
            field="floating_ip_enabled",
            value=False,
            help="Give no floating IPs.",
        ),
    )
)
_FIXED_NETWORK = (
    argument("--fixed-network", field="fixed_network", help="Existing network for the nodes."),
    argument("--fixed-subnet", field="fixed_subnet", help="Existing subnet for the nodes."),
)
_VOLUME = argument(
    "--docker-volume-size",
    field="docker_volume_size",
    type=int,
    help="Size in GB of each node's own volume for Docker.",
)
_FLAVOR_HELP = "Flavor of the workers."
_MANAGER_FLAVOR = argument(
    "--master-flavor",
    "--manager-flavor",
    "--master-flavor-id",
    field="master_flavor_id",
    help="Flavor of the managers.",
)
_PROJECT = argument("--project-id", field="project_id", required=True, help="Project id.")
_RESOURCE = argument("--resource", field="resource", required=True, help="Resource, as 'Cluster'.")
_HARD_LIMIT = argument(
    "--hard-limit", field="hard_limit", type=int, default=1, help="How many there may be."
)

TABLE: tuple[Command, ...] = (
    Command("ca-rotate", "Replace the CA of a cluster.", actions.ca_rotate, _CLUSTER_EITHER),
    Command("ca-show", "Print the CA certificate of a cluster.", actions.ca_show, _CLUSTER_EITHER),
    Command(
        "ca-sign",
        "Have a certificate signed by the CA of a cluster.",
        actions.ca_sign,
        (
            *_CLUSTER_EITHER,
            argument("--csr", required=True, help="File with the certificate signing request."),
        ),
    ),
    Command(
        "cluster-config",
        "Write the files with which docker reaches a cluster; print its environment.",
        actions.cluster_config,
        (
            _CLUSTER,
            argument("--dir", default=".", help="Directory for ca.pem, cert.pem and key.pem."),
            flag("--force", help="Overwrite files that are there."),
        ),
    ),
    Command(
        "cluster-create",
        "Create a cluster.",
        actions.cluster_create,
        (
            *_NAME,
            argument("--cluster-template", required=True, help="Uuid or name of its template."),
            argument("--keypair", "--keypair-id", field="keypair", help="SSH key pair."),
            _VOLUME,
            _LABELS,
            flag(
                "--merge-labels",
                field="merge_labels",
                help="Add these labels to the template's instead of replacing them.",
            ),
            argument(
                "--node-count", field="node_count", type=int, default=1, help="Number of workers."
            ),
            argument(
                "--master-count",
                "--manager-count",
                field="master_count",
                type=int,
                default=1,
                help="Number of managers (odd).",
            ),
            argument("--flavor", "--flavor-id", field="flavor_id", help=_FLAVOR_HELP),
            _MANAGER_FLAVOR,
            *_FIXED_NETWORK,
            _FLOATING_IPS,
            Exclusive(
                (
                    flag(
                        "--master-lb-enabled",
                        field="master_lb_enabled",
                        help="Refused for swarm-mode: it needs none.",
                    ),
                    flag(
                        "--master-lb-disabled",
                        field="master_lb_enabled",
                        value=False,
                        help="Use no load balancer.",
                    ),
                )
            ),
            argument("--discovery-url", field="discovery_url", help="Not used by Swarm mode."),
            argument(
                "--timeout",
                field="create_timeout",
                type=int,
                default=60,
                help="Minutes in which the cluster must be ready (default 60).",
            ),
        ),
    ),
    Command(
        "cluster-delete",
        "Delete clusters.",
        actions.cluster_delete,
        (argument("cluster", metavar="<cluster>", nargs="+", help="Uuids or names."),),
    ),
    Command(
        "cluster-list",
        "List clusters.",
        actions.cluster_list,
        (_MARKER, _LIMIT, _SORT_KEY, _SORT_DIR, _FIELDS),
    ),
    Command(
        "cluster-show",
        "Show a cluster.",
        actions.cluster_show,
        (_CLUSTER, flag("--long", help="Show the fields of its template, too.")),
    ),
    Command(
        "cluster-update",
        "Change a cluster.",
        actions.cluster_update,
        (_CLUSTER, flag("--rollback", help="Go back if the change fails."), *_CHANGE),
    ),
    Command(
        "cluster-template-create",
        "Create a cluster template.",
        actions.template_create,
        (
            *_NAME,
            argument(
                "--image", "--image-id", field="image_id", required=True, help="Image of the nodes."
            ),
            argument("--keypair", "--keypair-id", field="keypair_id", help="SSH key pair."),
            argument(
                "--external-network",
                "--external-network-id",
                field="external_network_id",
                required=True,
                help="External network for floating IPs.",
            ),
            argument("--coe", field="coe", required=True, help="'swarm-mode'"),
            *_FIXED_NETWORK,
            argument("--network-driver", field="network_driver", help="Network driver."),
            argument("--volume-driver", field="volume_driver", help="Refused for swarm-mode."),
            argument(
                "--dns-nameserver",
                field="dns_nameserver",
                default="8.8.8.8",
                help="DNS server of a network that is made (default 8.8.8.8).",
            ),
            argument(
                "--flavor",
                "--flavor-id",
                field="flavor_id",
                default="m1.medium",
                help=f"{_FLAVOR_HELP[:-1]} (default m1.medium).",
            ),
            _MANAGER_FLAVOR,
            _VOLUME,
            argument(
                "--docker-storage-driver",
                field="docker_storage_driver",
                help="Docker's storage driver (default: what Magnum chooses).",
            ),
            argument("--http-proxy", field="http_proxy", help="HTTP proxy of the nodes."),
            argument("--https-proxy", field="https_proxy", help="HTTPS proxy of the nodes."),
            argument("--no-proxy", field="no_proxy", help="What the nodes reach without proxy."),
            _LABELS,
            flag("--tls-disabled", field="tls_disabled", help="Refused for swarm-mode."),
            flag("--public", field="public", help="Let all projects use it."),
            flag("--registry-enabled", field="registry_enabled", help="Refused for swarm-mode."),
            argument(
                "--server-type", field="server_type", default="vm", help="'vm' (the default)."
            ),
            flag(
                "--master-lb-enabled",
                field="master_lb_enabled",
                help="Refused for swarm-mode: it needs none.",
            ),
            _FLOATING_IPS,
            argument(
                "--insecure-registry", field="insecure_registry", help="Registry without TLS."
            ),
            Exclusive(
                (
                    flag("--hidden", field="hidden", help="Hide it from lists."),
                    flag("--visible", field="hidden", value=False, help="Show it in lists."),
                )
            ),
        ),
    ),
    Command(
        "cluster-template-delete",
        "Delete cluster templates.",
        actions.template_delete,
        (
            argument(
                "cluster_templates", metavar="<cluster_template>", nargs="+", help="Uuids or names."
            ),
        ),
    ),
    Command(
        "cluster-template-list",
        "List cluster templates.",
        actions.template_list,
        (_LIMIT, _SORT_KEY, _SORT_DIR, _FIELDS, flag("--detail", help="Show all fields.")),
    ),
    Command(
        "cluster-template-show", "Show a cluster template.", actions.template_show, (_TEMPLATE,)
    ),
    Command(
        "cluster-template-update",
        "Change a cluster template.",
        actions.template_update,
        (_TEMPLATE, *_CHANGE),
    ),
    Command(
        "quotas-create",
        "Create a quota.",
        actions.quotas_create,
        (_PROJECT, _RESOURCE, _HARD_LIMIT),
    ),
    Command("quotas-delete", "Delete a quota.", actions.quotas_delete, (_PROJECT, _RESOURCE)),
    Command(
        "quotas-list",
        "List quotas.",
        actions.quotas_list,
        (
            _MARKER,
            _LIMIT,
            _SORT_KEY,
            _SORT_DIR,
            flag("--all-tenants", help="Those of all projects."),
        ),
    ),
    Command("quotas-show", "Show a quota.", actions.quotas_show, (_PROJECT, _RESOURCE)),
    Command(
        "quotas-update",
        "Change a quota.",
        actions.quotas_update,
        (_PROJECT, _RESOURCE, _HARD_LIMIT),
    ),
    Command("service-list", "List Magnum's services.", actions.service_list),
    Command(
        "stats-list",
        "Show how many clusters and nodes there are.",
        actions.stats_list,
        (argument("--project-id", help="Of this project only."),),
    ),
    Command(
        "swarm-backup",
        "Copy the state of a cluster's swarm from a manager, while the others serve.",
        backup.swarm_backup,
        (
            _CLUSTER,
            *_BACKUP,
            flag(
                "--allow-downtime",
                help="Copy also from the only manager of a cluster, whose API is away meanwhile.",
            ),
        ),
    ),
    Command(
        "swarm-ca-rotate",
        "Replace the root CA of a cluster's swarm.",
        rotation.swarm_ca_rotate,
        (_CLUSTER,),
    ),
    Command(
        "swarm-recover",
        "Make a new quorum from a manager that is left, and have the lost ones replaced.",
        recover.swarm_recover,
        (
            _CLUSTER,
            argument(
                "--manager",
                help="The manager to make it from: the number at the end of its host name, its host"
                " name or its address (default: the first one that is left).",
            ),
            flag("--yes", help="Do not ask."),
            flag("--no-wait", help="Do not wait until the lost managers are replaced."),
        ),
    ),
    Command(
        "swarm-restore",
        "Bring a swarm that was copied back in another cluster.",
        restore.swarm_restore,
        (
            _CLUSTER,
            *_BACKUP,
            flag("--yes", help="Go on also where the cluster's own swarm is in use."),
        ),
    ),
    Command(
        "swarm-token-rotate",
        "Replace the tokens with which nodes join a cluster's swarm.",
        rotation.swarm_token_rotate,
        (
            _CLUSTER,
            argument(
                "--role",
                choices=rotation.ROLES,
                help="Only the token of workers, or of managers.",
            ),
        ),
    ),
)

BY_NAME = {command.name: command for command in TABLE}
