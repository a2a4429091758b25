# SPDX-License-Identifier: Apache-2.0
"""Heat as this driver needs it: stacks found by name, parameters changed, failures explained."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from heatclient import exc
from heatclient.v1 import client as heat_client
from keystoneauth1 import exceptions as auth_exceptions

from magnum_swarm_mode import exceptions, text
from magnum_swarm_mode.heat import failures
from magnum_swarm_mode.stack.request import StackRequest

# Seconds that one answer of Heat's may take. Creating a stack validates every flavor and image.
_TIMEOUT = 120
# Deeper than any resource of ours: cluster, node group, group, member.
_NESTED_DEPTH = 5
_LONGEST_SENTENCE = 1000
_LONGEST_NAME = 255
# The wait condition handles: how the cluster's stack calls them, and the nested stack they are in.
_HANDLES = {"manager_signal": None, "worker_signal": "workers"}


class NotAllowed(exceptions.SwarmModeError):
    """The identity in use may not do this in Heat, or is not valid any more."""


class AlreadyExists(exceptions.SwarmModeError):
    """A stack of this name exists."""


@dataclasses.dataclass(frozen=True)
class Stack:
    """What Heat says about a stack.

    :ivar status: action and status, as in ``CREATE_COMPLETE``.
    :ivar updated: when the last update began, in Heat's words; empty before the first.
    """

    id: str
    name: str
    status: str
    reason: str
    outputs: Mapping[str, Any] = dataclasses.field(repr=False)
    parameters: Mapping[str, Any] = dataclasses.field(repr=False)
    updated: str = ""

    @property
    def node_prefix(self) -> str:
        """What host names of nodes begin with, fit to be shown: a stack's owner can change it."""
        return text.line(self.parameters["node_name_prefix"], _LONGEST_NAME)

    @property
    def group_prefix(self) -> str:
        """The same of a further node group's stack."""
        return text.line(self.parameters["group_name_prefix"], _LONGEST_NAME)


@contextlib.contextmanager
def translated() -> Iterator[None]:
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
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise exceptions.Unavailable(
            "The orchestration service (Heat) answers what cannot be understood; try again later.",
            f"Heat's answer: {error!r}",
        ) from error


def _from_http(error: Any) -> exceptions.SwarmModeError:
    told = text.line(error, _LONGEST_SENTENCE)
    message = re.sub(r"^(ERROR: )+", "", told).rstrip(".")
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


def _text(value: Any) -> str:
    """Return a text of Heat's on one line.

    :raises TypeError: when it is none.
    """
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return text.line(value)


class Heat:
    """Calls Heat with a keystoneauth session.

    Every method raises Unavailable when Heat does not answer or has an error of its own, NotAllowed
    for 401 and 403, and SwarmModeError for what Heat refuses otherwise.
    """

    def __init__(self, session: Any, *, region_name: str | None, interface: str) -> None:
        self._session = _TimedSession(session)
        self._where = {"region_name": region_name or None, "interface": interface}
        self.client = heat_client.Client(
            session=self._session, service_type="orchestration", **self._where
        )

    def create(self, request: StackRequest, name: str, timeout_minutes: int) -> str:
        """Start to create a stack and return its id.

        :param timeout_minutes: after which the stack fails; 0 for Heat's own limit.
        :raises AlreadyExists: when there is a stack of this name.
        :raises Refused: when Heat refuses template or parameters.
        """
        arguments: dict[str, Any] = {"timeout_mins": timeout_minutes} if timeout_minutes else {}
        with translated():
            answer = self.client.stacks.create(
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
        with translated():
            self.client.stacks.update(
                name_or_id, existing=True, parameters=dict(parameters), **arguments
            )

    def renew(
        self,
        name_or_id: str,
        template: str,
        files: Mapping[str, str],
        parameters: Mapping[str, Any],
        timeout_minutes: int,
    ) -> None:
        """Start to change template, files and the given parameters; all else stays.

        :raises Refused: when Heat refuses template or parameters, or there is no such stack.
        """
        arguments: dict[str, Any] = {"timeout_mins": timeout_minutes} if timeout_minutes else {}
        with translated():
            self.client.stacks.update(
                name_or_id,
                existing=True,
                template=template,
                files=dict(files),
                parameters=dict(parameters),
                **arguments,
            )

    def get(self, name_or_id: str, *, at_rest: bool = False) -> Stack | None:
        """Return the stack with its outputs, or None where Heat shows none.

        By id Heat shows a deleted stack for a while, as ``DELETE_COMPLETE``; by name never.

        :param at_rest: whether outputs are of use only while Heat is not at work on the stack:
            for each server it asks Nova then, which with hundreds takes minutes.
        """
        with translated():
            try:
                stack = self.client.stacks.get(name_or_id, resolve_outputs=not at_rest)
                if at_rest and not stack.stack_status.endswith("_IN_PROGRESS"):
                    stack = self.client.stacks.get(name_or_id)
            except exc.HTTPNotFound:
                return None
            return Stack(
                id=_text(stack.id),
                name=_text(stack.stack_name),
                status=_text(stack.stack_status),
                reason=text.line(stack.stack_status_reason or "", text.LONGEST),
                outputs={
                    output["output_key"]: output.get("output_value")
                    for output in getattr(stack, "outputs", None) or []
                },
                parameters=dict(stack.parameters),
                updated=_text(getattr(stack, "updated_time", None) or ""),
            )

    def delete(self, name_or_id: str) -> None:
        """Start to delete a stack; one that is absent is fine, and so is one that is going."""
        with translated(), contextlib.suppress(exc.HTTPNotFound):
            self.client.stacks.delete(name_or_id)

    def signals(self, stack_id: str) -> Mapping[str, tuple[str, ...]]:
        """Return which servers have reported success to each wait condition handle, by its name."""
        found: dict[str, tuple[str, ...]] = {}
        with translated():
            for handle, group in _HANDLES.items():
                with contextlib.suppress(exc.HTTPNotFound):
                    where = (
                        self.client.resources.get(stack_id, group).physical_resource_id
                        if group
                        else stack_id
                    )
                    # A nested stack has no id before it is made.
                    data = self.client.resources.metadata(where, handle) if where else {}
                    found[handle] = tuple(
                        server
                        for server, signal in sorted(data.items())
                        if isinstance(signal, dict) and signal.get("status") == "SUCCESS"
                    )
        return found

    @translated()
    def failure_reason(self, stack: Stack) -> str:
        """Return why a stack failed, in sentences that a user can act on."""
        return self.failure(stack).reason

    def failure(self, stack: Stack) -> failures.Failure:
        """Return why a stack failed, and which of it is about one kind of node."""
        prefix = stack.node_prefix if stack.parameters.get("node_name_prefix") else "node"
        cause = failures.first(self._resources(stack.id, filters={"status": "FAILED"}))
        if failures.is_late(cause, stack.reason):
            reported = {server for servers in self.signals(stack.id).values() for server in servers}
            return failures.late_failure(self._resources(stack.id), reported, prefix)
        if cause is None:
            return failures.Failure(stack.reason)
        code = failures.code_of(cause, self._signals_of(cause, stack))
        reason = failures.explain(cause, prefix, self._cinders_words(cause), code)
        kind = failures.kind_of(cause)
        return failures.Failure(reason, {kind: reason} if kind else {})

    def _resources(self, stack_id: str, **criteria: Any) -> list[failures.Resource]:
        with translated():
            try:
                found = self.client.resources.list(stack_id, nested_depth=_NESTED_DEPTH, **criteria)
                return [failures.Resource.from_api(resource.to_dict()) for resource in found]
            except exc.HTTPNotFound:
                return []

    def _signals_of(self, cause: failures.Resource, stack: Stack) -> Mapping[str, Any]:
        """Return what nodes reported, where a failure is one of theirs."""
        if handle := failures.handle(cause):
            with translated(), contextlib.suppress(exc.HTTPNotFound):
                data = self.client.resources.metadata(cause.stack_id or stack.id, handle)
                return data if isinstance(data, dict) else {}
        return {}

    def _cinders_words(self, cause: failures.Resource) -> str:
        """Return why Cinder could not make a volume, which is no part of the volume itself."""
        if cause.type != "OS::Cinder::Volume" or not cause.physical_id:
            return ""
        try:
            answer = self._session.request(
                f"/messages?resource_uuid={cause.physical_id}",
                "GET",
                endpoint_filter={**self._where, "service_type": "block-storage"},
                headers={"OpenStack-API-Version": "volume 3.5"},
            )
            return text.line(answer.json()["messages"][0]["user_message"])
        except (
            auth_exceptions.ClientException,
            ValueError,
            LookupError,
            TypeError,
            RecursionError,
        ):
            # Only a better reason is lost.
            return ""


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
