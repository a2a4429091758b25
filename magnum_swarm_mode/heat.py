# SPDX-License-Identifier: Apache-2.0
"""Heat as this driver needs it: stacks found by name, parameters changed, failures explained."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from heatclient import exc
from heatclient.v1 import client as heat_client
from keystoneauth1 import exceptions as auth_exceptions

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.stack_parameters import StackRequest

# Seconds that one answer of Heat's may take. Creating a stack validates every flavor and image.
_TIMEOUT = 120
# Deeper than any resource of ours: cluster, node group, group, member.
_NESTED_DEPTH = 5
_LONGEST_SENTENCE = 1000
# The wait condition handles: how the cluster's stack calls them, and the nested stack they are in.
_HANDLES = {"manager_signal": None, "worker_signal": "workers"}


class NotAllowed(exceptions.SwarmModeError):
    """The identity in use may not do this in Heat, or is not valid any more."""


class AlreadyExists(exceptions.SwarmModeError):
    """A stack of this name exists."""


@dataclasses.dataclass(frozen=True)
class Stack:
    """What Heat says about a stack. ``status`` is action and status, as in ``CREATE_COMPLETE``."""

    id: str
    name: str
    status: str
    reason: str
    outputs: Mapping[str, Any] = dataclasses.field(repr=False)
    parameters: Mapping[str, Any] = dataclasses.field(repr=False)


class Heat:
    """Calls Heat with a keystoneauth session.

    Every method raises Unavailable when Heat does not answer or has an error of its own, NotAllowed
    for 401 and 403, and SwarmModeError for what Heat refuses otherwise.
    """

    def __init__(self, session: Any, *, region_name: str | None, interface: str) -> None:
        self._client = heat_client.Client(
            session=_TimedSession(session),
            service_type="orchestration",
            region_name=region_name or None,
            interface=interface,
        )

    def create(self, request: StackRequest, name: str, timeout_minutes: int) -> str:
        """Start to create a stack and return its id.

        :param timeout_minutes: after which the stack fails; 0 for Heat's own limit.
        :raises AlreadyExists: when there is a stack of this name.
        :raises Refused: when Heat refuses template or parameters.
        """
        arguments: dict[str, Any] = {"timeout_mins": timeout_minutes} if timeout_minutes else {}
        with _translated():
            answer = self._client.stacks.create(
                stack_name=name,
                template=request.template,
                files=dict(request.files),
                environment=dict(request.environment),
                parameters=dict(request.parameters),
                # What was made before a failure stays to be looked at, and goes with the cluster.
                disable_rollback=True,
                tags=",".join(request.tags),
                **arguments,
            )
            stack_id: str = answer["stack"]["id"]
        return stack_id

    def update(self, name_or_id: str, parameters: Mapping[str, Any], timeout_minutes: int) -> None:
        """Start to change the given parameters; template, files and other parameters stay.

        :raises Refused: when Heat refuses a parameter, or there is no such stack.
        """
        arguments: dict[str, Any] = {"timeout_mins": timeout_minutes} if timeout_minutes else {}
        with _translated():
            self._client.stacks.update(
                name_or_id, existing=True, parameters=dict(parameters), **arguments
            )

    def get(self, name_or_id: str) -> Stack | None:
        """Return the stack with its outputs, or None where Heat shows none.

        By id Heat shows a deleted stack for a while, as ``DELETE_COMPLETE``; by name never.
        """
        with _translated():
            try:
                stack = self._client.stacks.get(name_or_id)
            except exc.HTTPNotFound:
                return None
            return Stack(
                id=stack.id,
                name=stack.stack_name,
                status=stack.stack_status,
                reason=stack.stack_status_reason or "",
                outputs={
                    output["output_key"]: output.get("output_value")
                    for output in getattr(stack, "outputs", None) or []
                },
                parameters=dict(stack.parameters),
            )

    def delete(self, name_or_id: str) -> None:
        """Start to delete a stack; one that is absent is fine, and so is one that is going."""
        with _translated(), contextlib.suppress(exc.HTTPNotFound):
            self._client.stacks.delete(name_or_id)

    def signals(self, stack_id: str) -> Mapping[str, tuple[str, ...]]:
        """Return which servers have reported success to each wait condition handle, by its name."""
        found: dict[str, tuple[str, ...]] = {}
        with _translated():
            for handle, group in _HANDLES.items():
                with contextlib.suppress(exc.HTTPNotFound):
                    where = (
                        self._client.resources.get(stack_id, group).physical_resource_id
                        if group
                        else stack_id
                    )
                    # A nested stack has no id before it is made.
                    data = self._client.resources.metadata(where, handle) if where else {}
                    found[handle] = tuple(
                        server
                        for server, signal in sorted(data.items())
                        if isinstance(signal, dict) and signal.get("status") == "SUCCESS"
                    )
        return found

    def failure_reason(self, stack_id: str) -> str | None:
        """Return what failed first, in a sentence a user can act on; None when nothing failed."""
        with _translated():
            try:
                failed = [
                    FailedResource.from_api(resource.to_dict())
                    for resource in self._client.resources.list(
                        stack_id, nested_depth=_NESTED_DEPTH, filters={"status": "FAILED"}
                    )
                ]
            except exc.HTTPNotFound:
                return None
        first = first_failure(failed)
        return explain(first) if first else None


@dataclasses.dataclass(frozen=True)
class FailedResource:
    """A resource that Heat calls failed; ``stack_name`` and ``stack_id`` say where it is."""

    name: str
    type: str
    reason: str
    updated: str
    physical_id: str
    stack_name: str
    stack_id: str

    @classmethod
    def from_api(cls, resource: Mapping[str, Any]) -> "FailedResource":
        """Read an item of Heat's list of resources."""
        links = {link["rel"]: link["href"] for link in resource.get("links", ())}
        parts = links.get("stack", "").rstrip("/").split("/")
        return cls(
            name=resource.get("resource_name") or "",
            type=resource.get("resource_type") or "",
            reason=resource.get("resource_status_reason") or "",
            updated=resource.get("updated_time") or "",
            physical_id=resource.get("physical_resource_id") or "",
            stack_name=parts[-2] if len(parts) > 1 else "",
            stack_id=parts[-1],
        )


# What Heat writes about resources that it gave up because another one had failed.
_GIVEN_UP = re.compile(r"aborted|cancell?ed|Stack .* started|^$", re.IGNORECASE)
# Names of nested stacks: the parent's name, the resource's and twelve characters by chance.
_MEMBER = re.compile(r"-([a-z_]+)-[a-z0-9]{12}-(\d+)-[a-z0-9]{12}$")
_GROUP = re.compile(r"-([a-z_]+)-[a-z0-9]{12}$")
_NODES = {"managers": "manager", "manager_ports": "manager", "workers": "worker"}
# "ResourceInError: resources[3].resources.server: Went to status ERROR …"
_PATH = re.compile(r"^(?:[A-Z]\w*: )?(?:resources[.\[][^:]*: )+")
_NOVA = re.compile(
    r'^Went to status ERROR due to "(?:Message: )?(.*?)(?:, Code: (?:\d+|Unknown))?"$', re.DOTALL
)
_WAITED = re.compile(r"^(\d+) of (\d+) received")
_ADVICE = {
    "No valid host was found": "No host has room for the flavor; choose a smaller one or ask the "
    "operator.",
    "too many servers in group": "Ask the operator for a larger quota of server_group_members.",
    "Quota exceeded": "Delete something or ask the operator for a larger quota.",
    "Quota has been met": "Delete something or ask the operator for a larger quota.",
}
_TYPES = {
    "OS::Nova::Server": "server",
    "Magnum::SwarmMode::Worker": "server",
    "OS::Cinder::Volume": "Docker volume",
    "OS::Neutron::Port": "port",
    "OS::Neutron::FloatingIP": "floating IP",
    "OS::Neutron::RouterInterface": "router interface",
}


def first_failure(failed: list[FailedResource]) -> FailedResource | None:
    """Return the resource whose failure is the cause of the others, or None for an empty list."""
    stacks = {resource.stack_id for resource in failed}
    # A nested stack fails because of what is in it.
    causes = [resource for resource in failed if resource.physical_id not in stacks]
    return min(
        causes,
        key=lambda resource: (bool(_GIVEN_UP.search(resource.reason)), resource.updated),
        default=None,
    )


def explain(failed: FailedResource) -> str:
    """Return a sentence about a failed resource: what it is, why it failed, and what helps."""
    reason = _PATH.sub("", failed.reason).strip()
    nova = _NOVA.match(reason)
    if nova:
        reason = nova.group(1)
    waited = _WAITED.match(reason)
    role = {"manager_ready": "managers", "worker_ready": "workers"}.get(failed.name)
    if role and waited:
        missing = int(waited.group(2)) - int(waited.group(1))
        sentence = (
            f"{missing} of {waited.group(2)} {role} did not report that they joined the swarm in "
            "time; the console of a node that is missing (openstack console log show) says why"
        )
    elif role:
        # The nodes' own words.
        sentence = reason
    else:
        sentence = f"{_describe(failed)} failed: {reason or 'Heat gives no reason'}"
    sentence = sentence.rstrip(". ")[:_LONGEST_SENTENCE] + "."
    advice = next((text for sign, text in _ADVICE.items() if sign in reason), None)
    return f"{sentence} {advice}" if advice else sentence


def _describe(failed: FailedResource) -> str:
    """Return words for a resource, as "The server of worker 3"."""
    kind = _TYPES.get(failed.type, f"{failed.name} ({failed.type})")
    member = _MEMBER.search(failed.stack_name)
    if member and member.group(1) in _NODES:
        return f"The {kind} of {_NODES[member.group(1)]} {member.group(2)}"
    group = _GROUP.search(failed.stack_name)
    if group and group.group(1) in _NODES and failed.name.isdigit():
        kind = _TYPES.get(failed.type, "stack")
        return f"The {kind} of {_NODES[group.group(1)]} {failed.name}"
    return f"The {kind}" if failed.type in _TYPES else f"Resource {kind}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn heatclient's and keystoneauth's errors into ours."""
    try:
        yield
    except exc.HTTPException as error:
        raise _from_http(error) from error
    except auth_exceptions.HttpError as error:
        # Keystone's answer, when the session asked for a token.
        if error.http_status in (401, 403):
            raise NotAllowed(
                "The identity that acts for the cluster is not accepted any more.",
                f"Keystone: {error}",
            ) from error
        raise _unavailable("Keystone", error) from error
    except auth_exceptions.EndpointNotFound as error:
        raise exceptions.Inconsistent(
            "The cloud's catalogue has no orchestration service (Heat).", str(error)
        ) from error
    except (auth_exceptions.ClientException, exc.BaseException) as error:
        raise _unavailable("Heat", error) from error
    except (KeyError, AttributeError, TypeError, json.JSONDecodeError) as error:
        raise exceptions.Unavailable(
            "The orchestration service (Heat) answers what cannot be understood; try again later.",
            f"Heat's answer: {error!r}",
        ) from error


def _from_http(error: Any) -> exceptions.SwarmModeError:
    message = re.sub(r"^(ERROR: )+", "", str(error)).strip().rstrip(".")[:_LONGEST_SENTENCE]
    code = error.code if isinstance(error.code, int) else 500
    if code >= 500:
        return _unavailable("Heat", error)
    if code in (401, 403):
        return NotAllowed(f"Heat does not allow it: {message}.")
    if code == 409:
        return AlreadyExists(f"Heat: {message}.")
    return exceptions.Refused(f"Heat refuses the cluster's stack: {message}.")


def _unavailable(service: str, error: Exception) -> exceptions.Unavailable:
    name = {"Heat": "orchestration service (Heat)", "Keystone": "identity service (Keystone)"}
    return exceptions.Unavailable(
        f"The {name[service]} does not answer as it should; try again later.",
        f"{service}: {error}",
    )


class _TimedSession:
    """A keystoneauth session whose requests end in time, so that no conductor hangs on Heat."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Make a request with our time limit unless it has one."""
        kwargs.setdefault("timeout", _TIMEOUT)
        return self._session.request(*args, **kwargs)
