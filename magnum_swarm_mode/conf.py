# SPDX-License-Identifier: Apache-2.0
"""Configuration options of the group ``[swarm_mode]`` in magnum.conf.

Importing the module registers them. Values are read where they are used, so that a test or a
reload changes them.
"""

from __future__ import annotations

from oslo_config import cfg

from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.labels import types as label_types

GROUP = cfg.OptGroup(
    "swarm_mode",
    title="Docker Swarm mode clusters",
    help="Options of the driver that offers Docker Swarm mode as a container orchestration engine.",
)

# The option that tells oslo.config which plug-in opens the configuration source of this name.
# oslo.config registers it itself when [DEFAULT] config_source names this group, so here it only
# stands for the sample and the documentation.
_SOURCE_OPTION = cfg.StrOpt(
    "driver",
    sample_default="magnum_swarm_mode",
    help="Set this to magnum_swarm_mode, and config_source = swarm_mode in [DEFAULT], so that "
    "magnum-api and magnum-conductor learn the orchestration engine swarm-mode when they read "
    "their configuration. Needed up to Magnum 22; Magnum 23 also learns it without.",
)

_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "template_path",
        default="",
        help="Directory with a copy of the templates for Heat and cloud-init to use instead of "
        "those in the package. Empty uses the package's.",
    ),
    cfg.ListOpt(
        "address_pools",
        default=["10.200.0.0/16", "10.216.0.0/16", "172.30.0.0/16", "192.168.192.0/18"],
        item_type=label_types.AddressPool(),
        help="IPv4 ranges in order of preference to take a swarm's overlay networks from. The "
        "first is taken that overlaps neither the cluster's subnet nor its DNS servers, the "
        "OpenStack endpoints or the engine's own bridges. The label swarm_address_pool overrides "
        "the choice.",
    ),
    cfg.ListOpt(
        "conductor_cidrs",
        default=[],
        item_type=label_types.IPv4Network(),
        help="IPv4 networks from which magnum-conductor connects to the managers. They are added "
        "to what the label api_allowed_cidrs allows; without them a label that does not allow "
        "everybody is refused, for a cluster that Magnum does not reach is never complete.",
    ),
    cfg.BoolOpt(
        "tenant_networks_reachable",
        default=False,
        help="Whether magnum-conductor can reach the fixed addresses of nodes in tenants' "
        "networks. Unless it can, clusters whose managers have no floating IP are refused.",
    ),
    cfg.FloatOpt(
        "docker_api_timeout",
        default=5.0,
        min=0.1,
        help="How long, in seconds, magnum-conductor waits for one manager's Docker API to "
        "connect and to answer before it asks another manager.",
    ),
    cfg.IntOpt(
        "kept_connections",
        default=2000,
        min=1,
        help="To the managers of how many clusters each process of magnum-conductor keeps a "
        "connection, so that looking at a cluster's health costs a request and no handshake. Those "
        "that were not used for longest are closed for others. Each is an open file (LimitNOFILE "
        "in the service's unit) and takes some 100 KiB.",
    ),
    cfg.IntOpt(
        "clusters_at_once",
        default=20,
        min=1,
        help="How many clusters that are being changed one process of magnum-conductor looks at at "
        "the same time. It looks at the health of as many others beside them. Clusters that answer "
        "slowly are looked at apart, again as many, so that they delay no others.",
    ),
    cfg.FloatOpt(
        "preflight_timeout",
        default=10.0,
        min=0.1,
        max=60.0,
        help="How long, in seconds, magnum-api lets the other services answer altogether while it "
        "looks whether a template or cluster can be made. A service that does not answer in time "
        "is named to the user with HTTP status 503. When nodes are added to a cluster, such a "
        "service is not waited for any longer, and the nodes are made.",
    ),
    cfg.IntOpt(
        "rotation_overlap",
        default=30,
        min=0,
        help="How long, in seconds, both old and new client certificates serve while the "
        "certificates of a cluster are replaced (openstack coe ca rotate), so that users can fetch "
        "the new ones. Replacing Swarm's own root, which happens meanwhile, may take longer.",
    ),
    cfg.BoolOpt(
        "preflight_quota",
        default=True,
        help="Whether magnum-api compares what new clusters and nodes need with what the project's "
        "quotas leave in Nova, Cinder and Neutron, and with Heat's limits, and refuses what does "
        "not fit. Without it they fail while they are made.",
    ),
    cfg.IntOpt(
        "most_healings_per_hour",
        default=6,
        min=0,
        help="How often, within an hour, nodes of one cluster are replaced because they are down, "
        "where the label auto_healing_enabled asks for it. One healing replaces all nodes that are "
        "due at that moment. Clusters that need more say so in their health_status_reason and "
        "wait.",
    ),
]

# An operator's default for each label, under the label's name.
_LABEL_OPTIONS: list[cfg.Opt] = [
    cfg.Opt(
        name,
        type=declaration.type,
        default=label_table.BUILT_IN_DEFAULTS[name],
        help=f"Default of the label {name}. {declaration.help}"
        + (f" Unit: {declaration.unit}." if declaration.unit else ""),
    )
    for name, declaration in label_table.DECLARATIONS.items()
]

CONF: cfg.ConfigOpts = cfg.CONF


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register all options with ``conf``; doing it again changes nothing."""
    conf.register_group(GROUP)
    conf.register_opts(_OPTIONS + _LABEL_OPTIONS, group=GROUP)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Return the options for oslo-config-generator (entry point ``oslo.config.opts``)."""
    return [(GROUP, [_SOURCE_OPTION, *_OPTIONS, *_LABEL_OPTIONS])]


def check(conf: cfg.ConfigOpts) -> None:
    """Read all options, as labels and address pools are read when a cluster is created.

    :raises ValueError: naming the option whose value is not valid.
    :raises Refused: when values of several options do not go together.
    """
    for option in _OPTIONS + _LABEL_OPTIONS:
        try:
            getattr(conf.swarm_mode, option.dest)
        except cfg.ConfigSourceValueError as error:
            # oslo.config puts an object that describes the place before the reason.
            reason = str(error).rpartition("is not valid: ")[2]
            raise ValueError(f"{option.name}: {reason}") from error
    label_parsing.parse({}, conf.swarm_mode)


register_opts(CONF)
