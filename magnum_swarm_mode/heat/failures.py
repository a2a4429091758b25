# SPDX-License-Identifier: Apache-2.0
"""What a user is told of a stack that failed; pure functions of what Heat lists.

Heat calls many resources failed where one was the cause: the groups around it, and whatever it gave
up then. The sentence is about the one that failed first, in its own words (a node's, Nova's,
Neutron's, Cinder's), with the node's name, and ends with what helps.
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from magnum_swarm_mode import text
from magnum_swarm_mode.node.base.codes import Code

_LONGEST_SENTENCE = 1000
# Of a text that nodes may have written, and tenants control nodes; in characters.
_LONGEST_REASON = 20000
_MOST_NAMES = 5


@dataclasses.dataclass(frozen=True)
class Resource:
    """A resource as Heat lists it; ``stack_name`` and ``stack_id`` say where it is."""

    name: str
    type: str
    status: str
    reason: str
    updated: str
    physical_id: str
    stack_name: str
    stack_id: str

    @classmethod
    def from_api(cls, resource: Mapping[str, Any]) -> "Resource":
        """Read an item of Heat's list of resources."""
        links = {link["rel"]: link["href"] for link in resource.get("links", ())}
        parts = links.get("stack", "").rstrip("/").split("/")
        return cls(
            name=text.line(resource.get("resource_name") or ""),
            type=text.line(resource.get("resource_type") or ""),
            status=text.line(resource.get("resource_status") or ""),
            reason=text.line(resource.get("resource_status_reason") or "", _LONGEST_REASON),
            updated=text.line(resource.get("updated_time") or ""),
            physical_id=text.line(resource.get("physical_resource_id") or ""),
            stack_name=text.line(parts[-2]) if len(parts) > 1 else "",
            stack_id=text.line(parts[-1]),
        )


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a stack failed, in sentences that a user can act on.

    :ivar by_kind: kind of node (``manager``, ``worker``) to the sentence about those nodes alone;
        empty where the failure is not about nodes of one kind.
    """

    reason: str
    by_kind: Mapping[str, str] = dataclasses.field(default_factory=dict)


# What Heat writes about resources that it gave up because another one had failed.
_GIVEN_UP = re.compile(r"^[A-Z]+ aborted|[Cc]ancell?ed|^Stack .* started|^Timed out$|^$")
# Names of nested stacks: the parent's name, the resource's and twelve characters by chance.
_MEMBER = re.compile(r"-([a-z_]+)-[a-z0-9]{12}-(\d+)-[a-z0-9]{12}$")
_GROUP = re.compile(r"-([a-z_]+)-[a-z0-9]{12}$")
_ROLES = {
    "managers": "manager",
    "manager_ports": "manager",
    "workers": "worker",
    "green_workers": "worker",
}
# What the indices of a group's second colour begin with in host names.
_COLOURS = {"green_workers": "g"}
# The wait conditions, and the handles beside them, which keep the nodes' signals.
_WAITS = {"manager_ready": "manager_signal", "worker_ready": "worker_signal"}
# "ResourceInError: resources[3].resources.server: Went to status ERROR …"
_PATH = re.compile(r"^(?:[A-Z]\w*: )?(?:resources[.\[][^:]*: )+")
_SERVICE = re.compile(
    r'^Went to status \w+ due to "(?:Message: )?(.*?)(?:, Code: (?:\d+|Unknown))?"$', re.DOTALL
)
# Nothing here may take more than linear time: a node can write what it is matched with.
_NOISE = re.compile(
    # What clients and libraries put around a service's own sentence.
    r"^(?:\w+Client|Conflict|Forbidden|OverLimit|BadRequest|NotFound|ClientException): "
    r"| ?\(HTTP \d{1,5}\)| ?\(Request-ID: [^)]{0,200}\)"
    r"| ?Neutron server returns request_ids: \[[^\]]{0,200}\]"
    r"|^Build of instance \S+ (?:aborted|was re-scheduled): "
    r"|, not rescheduling"
    # What one process of Heat tells another.
    r"| ?\['Traceback.*"
)
_WAITED = re.compile(r"^(\d+) of (\d+) received")
# Several nodes that failed before Heat looked.
_NODES_WORDS = re.compile(r";(?=[a-z0-9-]+-(?:manager|worker)-g?\d+: )")
_LARGER_DISK = "Use a flavor with a larger disk, or a larger docker_volume_size."
_ADVICE = tuple(
    (re.compile(sign), helps)
    for sign, helps in (
        (
            "No valid host was found",
            "No host has room for the flavor; choose a smaller one or ask the operator.",
        ),
        (
            "too many servers in group",
            "Ask the operator for a larger quota of server_group_members.",
        ),
        (
            "(?i)quota exceeded|quota has been met|exceeds allowed .{0,200}quota|maximum number of",
            "Delete something or ask the operator for a larger quota.",
        ),
        (
            "No more IP addresses|No fixed IP addresses|IpAddressGenerationFailure",
            "Release addresses of the subnet, or use a larger one.",
        ),
        (
            "ExternalIpAddressExhausted|No more floating|No more external IP",
            "Release floating IPs, or ask the operator for more.",
        ),
        (
            "Remote error: Forbidden",
            "Since the cluster changed hands, Heat makes such nodes only with a token of its "
            "owner: the owner has to resize it to this number.",
        ),
        (
            "(?i)Docker volume .{0,300}(backend|Unknown|error)",
            "No storage backend takes the volume: choose a smaller docker_volume_size or ask the "
            "operator.",
        ),
        ("(?i)no space left on device", _LARGER_DISK),
    )
)
# What helps a node that failed. Codes without an entry say that nothing is known to help.
_NODE_ADVICE = {
    Code.DISK_FULL: _LARGER_DISK,
    Code.CLOCK_SKEW: (
        "Use an image that synchronizes its clock, and a time server that nodes reach."
    ),
    Code.CERTIFICATE_REFUSED: (
        "The cluster's own application credential is refused: was it deleted, or its user "
        "removed from the project? Delete the cluster and create it again."
    ),
    Code.CERTIFICATE_NOT_SIGNED: (
        "Nodes must reach this address: look at router, firewall and proxy between them and "
        "OpenStack's APIs."
    ),
    Code.MANAGERS_UNREACHABLE: (
        "Nodes must reach the managers' ports 2377 and 2378, and label join_timeout must leave "
        "the managers time to come up."
    ),
    Code.VERSION_UNAVAILABLE: "Choose a docker_version that there is.",
    Code.PACKAGES_UNAVAILABLE: (
        "Nodes must reach the sources of packages, through a proxy if need be; or use an image "
        "that lacks nothing."
    ),
    Code.ENGINE_FAILED: "Look at the image's Docker Engine and its /etc/docker/daemon.json.",
}
_TYPES = {
    "OS::Nova::Server": "server",
    "Magnum::SwarmMode::Worker": "server",
    "OS::Cinder::Volume": "Docker volume",
    "OS::Neutron::Port": "port",
    "OS::Neutron::FloatingIP": "floating IP",
    "OS::Neutron::RouterInterface": "router interface",
}


def first(failed: Iterable[Resource]) -> Resource | None:
    """Return the resource whose failure is the cause of the others, or None where none failed."""
    failed = list(failed)
    stacks = {resource.stack_id for resource in failed}
    # A nested stack fails because of what is in it.
    causes = (resource for resource in failed if resource.physical_id not in stacks)
    return min(causes, key=lambda one: (_is_given_up(one), one.updated), default=None)


def is_late(cause: Resource | None, stack_reason: str) -> bool:
    """Return whether Heat waited in vain: for the nodes' reports, or for the stack as a whole.

    :param cause: what :func:`first` found.
    :param stack_reason: Heat's reason for the status of the stack.
    """
    if cause is None or _is_given_up(cause):
        return "timed out" in stack_reason.lower()
    return cause.name in _WAITS and _WAITED.match(_words(cause.reason)) is not None


def kind_of(resource: Resource) -> str:
    """Return the kind of node that a resource belongs to; empty where it is the whole cluster's."""
    if place := _place(resource):
        return place[0]
    if resource.name in _WAITS:
        return resource.name.partition("_")[0]
    return _ROLES.get(resource.name, "")


def handle(cause: Resource) -> str:
    """Return the name of the handle whose signals explain a failure; empty where none does."""
    return _WAITS.get(cause.name, "")


def code_of(cause: Resource, signals: Mapping[str, Any]) -> Code | None:
    """Return the code of the node's failure that a wait condition tells of, if it has a known one.

    :param cause: the wait condition.
    :param signals: what its handle keeps, by the servers' ids; nothing of it can be trusted.
    """
    said, _ = _nodes(_words(cause.reason))
    for signal in signals.values():
        if isinstance(signal, dict) and signal.get("status") == "FAILURE":
            data = signal.get("data")
            if _words(str(signal.get("reason"))) == said and isinstance(data, str):
                return next((code for code in Code if code.value == data), None)
    return None


def node_words(reason: object) -> str:
    """Return what a node said as it can stand in a sentence: one line, not too long."""
    return text.line(reason, _LONGEST_SENTENCE)


def reported(name: str, reason: object) -> str:
    """Return a sentence about what was reported in the name of a node, which others can do too."""
    words = node_words(reason).removeprefix(f"{name}: ").rstrip(". ")
    return f"A report to Heat in the name of {name} says: {words or 'nothing'}."


def explain(cause: Resource, prefix: str, service_words: str = "", code: Code | None = None) -> str:
    """Return a sentence about a failed resource: what it is, why it failed, and what helps.

    :param prefix: what the names of the cluster's nodes begin with.
    :param service_words: a reason that the service gave elsewhere, where Heat has none.
    :param code: of the node's failure that the sentence is about.
    """
    reason = _words(cause.reason)
    if cause.name in _WAITS:
        return _sentence(_nodes_words(reason), _NODE_ADVICE.get(code) if code else None)
    if service_words and reason in ("", "Unknown"):
        reason = service_words
    return _advised(f"{_describe(cause, prefix)} failed: {reason or 'Heat gives no reason'}")


def late(resources: Sequence[Resource], reported: Collection[str], prefix: str) -> str:
    """Return a sentence about a stack that Heat waited for in vain: what was missing.

    :param resources: all of the stack's.
    :param reported: ids of the servers that reported success.
    :param prefix: what the names of the cluster's nodes begin with.
    """
    servers, silent = _silent(resources, reported)
    if not silent:
        unfinished = [_describe(one, prefix) for one in _unfinished(resources)]
        left = _listed(unfinished) or "nothing that Heat names"
        return f"Heat's time for the cluster was up; not finished: {left}."
    made = [_node(one, prefix) for one in silent if one.physical_id]
    names = [_node(one, prefix) + ("" if one.physical_id else " (no server)") for one in silent]
    where = (
        "What a node waits for is at the end of its console (openstack console log show "
        f"{made[0]}). "
        if made
        else ""
    )
    return (
        f"{len(silent)} of {len(servers)} nodes did not report in time that they joined the swarm: "
        f"{_listed(names)}. {where}A cluster that needs longer is created with a larger --timeout."
    )


def late_failure(resources: Sequence[Resource], reported: Collection[str], prefix: str) -> Failure:
    """Return what :func:`late` says, of the stack as a whole and of each kind of node."""
    lacking = _silent(resources, reported)[1] or _unfinished(resources)
    by_kind = {
        kind: late([one for one in resources if kind_of(one) == kind], reported, prefix)
        for kind in {kind_of(one) for one in lacking} - {""}
    }
    return Failure(late(resources, reported, prefix), by_kind)


def _silent(
    resources: Sequence[Resource], reported: Collection[str]
) -> tuple[list[Resource], list[Resource]]:
    """Return the servers, and those of them that did not report success."""
    # A worker with a volume is a stack of its own, under the name of the server's type.
    stacks = {one.stack_id for one in resources}
    servers = [
        one
        for one in resources
        if _TYPES.get(one.type) == "server" and _place(one) and one.physical_id not in stacks
    ]
    return servers, [one for one in servers if one.physical_id not in reported]


def _unfinished(resources: Iterable[Resource]) -> list[Resource]:
    return [one for one in resources if not one.status.endswith("_COMPLETE") and _is_leaf(one)]


def _is_given_up(resource: Resource) -> bool:
    return _GIVEN_UP.search(_words(resource.reason)) is not None


def _words(reason: str) -> str:
    """Return a reason without what Heat, clients and libraries put around it, on one line."""
    words = _PATH.sub("", text.line(reason, _LONGEST_REASON)).strip()
    service = _SERVICE.match(words)
    if service:
        words = service.group(1)
    return " ".join(_NOISE.sub("", words).split())


def _nodes(reason: str) -> tuple[str, list[str]]:
    """Return what the first node said, and the names of the others that failed."""
    own, *others = dict.fromkeys(_NODES_WORDS.split(reason))
    return own, [other.partition(":")[0] for other in others]


def _nodes_words(reason: str) -> str:
    """Return what the first node said, and who else failed."""
    own, names = _nodes(reason)
    return f"{own.rstrip('. ')}; also failed: {_listed(names)}" if names else own


def _advised(sentence: str) -> str:
    advice = next((helps for sign, helps in _ADVICE if sign.search(sentence)), None)
    return _sentence(sentence, advice)


def _sentence(sentence: str, advice: str | None) -> str:
    sentence = sentence.rstrip(". ")
    if len(sentence) > _LONGEST_SENTENCE:
        sentence = sentence[:_LONGEST_SENTENCE] + "…"
    return f"{sentence}. {advice}" if advice else f"{sentence}."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _is_leaf(resource: Resource) -> bool:
    return resource.type in _TYPES or resource.type.startswith(("OS::Neutron", "OS::Nova"))


def _place(resource: Resource) -> tuple[str, str] | None:
    """Return role and index of the node that a resource belongs to."""
    member = _MEMBER.search(resource.stack_name)
    if member and member.group(1) in _ROLES:
        return _named(member.group(1), member.group(2))
    group = _GROUP.search(resource.stack_name)
    if group and group.group(1) in _ROLES and text.number(resource.name) is not None:
        return _named(group.group(1), resource.name)
    return None


def _named(group: str, index: str) -> tuple[str, str]:
    return _ROLES[group], _COLOURS.get(group, "") + index


def _node(resource: Resource, prefix: str) -> str:
    place = _place(resource)
    return "-".join((prefix, *place)) if place else resource.name


def _describe(resource: Resource, prefix: str) -> str:
    """Return words for a resource, as "The server c-worker-3"."""
    kind = _TYPES.get(resource.type)
    if _place(resource):
        node = _node(resource, prefix)
        return f"The server {node}" if kind == "server" else f"The {kind or 'stack'} of {node}"
    return f"The {kind}" if kind else f"Resource {resource.name} ({resource.type})"
