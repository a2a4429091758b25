# SPDX-License-Identifier: Apache-2.0
"""Heat's own engine code, run in a process of its own, with the other services faked at the wire.

Its options and Magnum's do not go together in one process. Run as a module it reads lists of jobs
from standard input, each a line of JSON, and writes the lists of their results to standard output.
It takes seconds to start, so that one process serves all tests of a process.
"""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode.stack.request import StackRequest

_CLOUD = "http://cloud.test"
_SERVICES = ("compute", "image", "network", "volumev3", "orchestration")
_MOST_SECONDS = 240.0  # for one list of jobs


def job(action: str, request: StackRequest, **more: Any) -> dict[str, Any]:
    """Return a job that does something with the stack of a request."""
    return {
        "action": action,
        "template": request.template,
        "files": dict(request.files),
        "environment": {**request.environment, "parameters": dict(request.parameters)},
        **more,
    }


def preview(body: Mapping[str, Any], stacks: int = 512, resources: int = 1000) -> dict[str, Any]:
    """Return a job that previews a stack under Heat's limits: of a project, and of a stack."""
    return {"action": "preview", "body": body, "stacks": stacks, "resources": resources}


def run(*jobs: Mapping[str, Any]) -> list[Any]:
    """Run jobs in one process and return their results: a value, or {"error": text}.

    :raises AssertionError: when the process itself fails.
    """
    try:
        return _process().run(jobs)
    except AssertionError:
        # The next jobs get a process of their own.
        _process.cache_clear()
        raise


class _Process:
    """A process of Heat's engine that waits for jobs."""

    def __init__(self) -> None:
        # Open as long as the process.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        atexit.register(self._process.kill)

    def run(self, jobs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return the results of jobs.

        :raises AssertionError: the process ended, with what it wrote last.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(_MOST_SECONDS, self._process.kill)
        timer.start()
        answer = ""
        try:
            self._process.stdin.write(json.dumps(jobs) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            pass
        finally:
            timer.cancel()
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            raise AssertionError(f"Heat's engine ended: {self._errors.read()[-4000:]}")
        results: list[Any] = json.loads(answer)
        return results


@functools.cache
def _process() -> _Process:
    return _Process()


def _fake_cloud() -> Any:
    """Answer for Keystone, Nova, Neutron, Glance and Cinder, who know whatever they are asked."""
    import requests_mock

    cloud = requests_mock.Mocker()
    cloud.start()
    catalog = [
        {
            "type": service,
            "name": service,
            "endpoints": [
                {
                    "interface": interface,
                    "region_id": "R",
                    "region": "R",
                    "id": service,
                    "url": f"{_CLOUD}/{service}" + ("/v2.1" if service == "compute" else ""),
                }
                for interface in ("public", "internal", "admin")
            ],
        }
        for service in _SERVICES
    ]
    token = {
        "token": {
            "user": {"id": "u" * 32, "name": "user", "domain": {"id": "default", "name": "d"}},
            "project": {"id": "p" * 32, "name": "p", "domain": {"id": "default", "name": "d"}},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": catalog,
            "methods": ["password"],
            "issued_at": "2026-01-01T00:00:00Z",
            "expires_at": "2099-01-01T00:00:00Z",
        }
    }
    version = {"id": "v3", "status": "stable", "links": [{"rel": "self", "href": f"{_CLOUD}/v3"}]}
    cloud.get(f"{_CLOUD}/v3", json={"version": version})
    cloud.get(re.compile(f"{_CLOUD}/v3/auth/tokens"), json=token)
    cloud.post(
        f"{_CLOUD}/v3/auth/tokens", json=token, headers={"X-Subject-Token": "t"}, status_code=201
    )
    compute = {
        "id": "v2.1",
        "status": "CURRENT",
        "version": "2.96",
        "min_version": "2.1",
        "links": [{"rel": "self", "href": f"{_CLOUD}/compute/v2.1"}],
    }
    cloud.get(re.compile(f"{_CLOUD}/compute(/v2.1)?/?$"), json={"version": compute})

    def known(name: str) -> dict[str, Any]:
        sizes = {"ram": 4096, "disk": 20, "min_ram": 0, "min_disk": 0}
        return {"id": name, "name": name, "status": "active", **sizes}

    def one(request: Any, _context: Any) -> Any:
        path, name = request.path.split("/")[-2:]
        kind = path.removeprefix("os-").rstrip("s")
        thing = known(name)
        return thing if kind == "image" else {kind: thing}

    def listed(request: Any, _context: Any) -> Any:
        kind = request.path.rsplit("/", 1)[1]
        if re.search("(^|&)(name|id)=(&|$)", request.query):
            return {kind: []}
        names = request.qs.get("id") or request.qs.get("name") or ["f"]
        return {kind: [known(name) for name in names]}

    volume = {
        "id": "v3.0",
        "status": "CURRENT",
        "version": "3.70",
        "min_version": "3.0",
        "links": [{"rel": "self", "href": f"{_CLOUD}/volumev3/v3/"}],
    }
    nothing = {"name": "image", "properties": {}}
    extensions = {"extensions": [{"alias": name} for name in ("security-group", "router")]}
    for pattern, body in (
        (r"compute/v2.1/(flavors|os-keypairs)/[^/]+$", one),
        (r"compute/v2.1/flavors/detail", lambda *_: {"flavors": [known("f")]}),
        (r"volumev3/?", {"versions": [volume]}),
        (
            r"compute/v2.1/limits",
            {"limits": {"absolute": {"maxPersonality": 5, "maxServerMeta": 128}, "rate": []}},
        ),
        (r"image/v2/images/[^/]+$", one),
        (r"image/v2/images(\?|$)", listed),
        (r"image/v2/schemas/", nothing),
        (r"network/v2.0/extensions", extensions),
        (r"network/v2.0/(networks|subnets|ports|security-groups)", listed),
    ):
        cloud.get(re.compile(f"{_CLOUD}/{pattern}"), json=body)
    return cloud


def _context() -> Any:
    from heat.common import context

    return context.RequestContext.from_dict(
        {
            "project_id": "p" * 32,
            "user_id": "u" * 32,
            "username": "user",
            "password": "password",
            "auth_url": f"{_CLOUD}/v3",
            "roles": ["member"],
            "is_admin": False,
        }
    )


def _stack(job_: Mapping[str, Any]) -> Any:
    from heat.common import template_format
    from heat.engine import environment, stack, template

    return stack.Stack(
        _context(),
        "swarm-mode-test",
        template.Template(
            template_format.parse(job_["template"]),
            files=job_["files"],
            env=environment.Environment(job_["environment"]),
        ),
    )


def _validate(job_: Mapping[str, Any]) -> Any:
    """Validate a stack with everything nested in it; return its resources' names."""
    parsed = _stack(job_)
    parsed.validate()
    return sorted(parsed)


def _count(job_: Mapping[str, Any]) -> Any:
    """Return how many resources a stack has, with those of everything nested in it."""

    def inside(stack: Any) -> int:
        return sum(1 + nested(resource) for resource in stack.values())

    def nested(resource: Any) -> int:
        if not hasattr(resource, "child_template"):
            return 0
        # Ports have no ids before they are made.
        given = {"ports": {"0": "port"}} if resource.name.isdigit() else {}
        given |= resource.child_params()
        return inside(resource._parse_nested_stack("nested", resource.child_template(), given))

    # A resource keeps no stack alive.
    root = _stack(job_)
    return inside(root)


def _preview(job_: Mapping[str, Any]) -> Any:
    """Ask for a preview as Heat's API does, whose answer to an error has type and message."""
    from heat.engine import service
    from oslo_config import cfg

    limits = {
        "max_stacks_per_tenant": job_["stacks"],
        "max_resources_per_stack": job_["resources"],
    }
    for limit, value in limits.items():
        cfg.CONF.set_override(limit, value)
    try:
        engine = service.EngineService("host", "topic")
        name, template = job_["body"]["stack_name"], job_["body"]["template"]
        engine._parse_template_and_validate_stack(
            _context(), name, template, {}, {}, None, None, {}
        )
    finally:
        for limit in limits:
            cfg.CONF.clear_override(limit)


def _members(job_: Mapping[str, Any]) -> Any:
    """Return the template that Heat stores for the managers or workers of a stack."""
    # A resource keeps no stack alive.
    root = _stack(job_)
    if job_.get("role") == "manager":
        return root["managers"].child_template().t
    outer = root["workers"]
    inner = outer._parse_nested_stack("workers", outer.child_template(), outer.child_params())
    return inner["workers"].child_template().t


def _properties(job_: Mapping[str, Any]) -> Any:
    """Return the properties of the first server of a role, and of whatever stands beside it.

    ``group`` names the ResourceGroup where it is not the role's first one.
    """
    root = _stack(job_)
    inner = root
    if job_["role"] == "worker":
        outer = root["workers"]
        inner = outer._parse_nested_stack("workers", outer.child_template(), outer.child_params())
    group = inner[job_.get("group") or f"{job_['role']}s"]
    members = group._parse_nested_stack("group", group.child_template(), group.child_params())
    member = members["0"]
    if not hasattr(member, "child_template"):
        return {"server": _given(member)}
    # Ports have no ids before they are made.
    given = {"ports": {"0": "port"}, **member.child_params()}
    nested = member._parse_nested_stack("member", member.child_template(), given)
    return {name: _given(resource) for name, resource in nested.items()}


def _given(resource: Any) -> dict[str, Any]:
    """Return the properties of a resource that have a value."""
    found = {name: resource.properties[name] for name in resource.properties}
    return json.loads(
        json.dumps({name: value for name, value in found.items() if value not in (None, [], {})})
    )


def _replace(job_: Mapping[str, Any]) -> Any:
    """Return what Heat's str_replace_strict makes of a text and a map."""
    from heat.engine.hot import functions

    arguments = {"template": job_["text"], "params": job_["params"]}
    return functions.ReplaceJsonStrict(None, "str_replace_strict", arguments).result()


def _main() -> None:
    from heat.common import messaging
    from heat.db import api, models
    from heat.engine import resources
    from oslo_config import cfg
    from oslo_db import options

    cfg.CONF([], project="heat", default_config_files=[])
    messaging.setup("fake://", optional=True)
    cfg.CONF.set_override("deferred_auth_method", "password")
    cfg.CONF.set_override("region_name_for_services", "R")
    options.set_defaults(cfg.CONF, connection="sqlite://")
    models.BASE.metadata.create_all(api.get_engine())
    resources.initialise()
    _fake_cloud()
    actions = {
        "validate": _validate,
        "count": _count,
        "preview": _preview,
        "members": _members,
        "properties": _properties,
        "replace": _replace,
    }
    # All other output goes to the other stream.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        results = []
        for item in json.loads(line):
            try:
                results.append(actions[item["action"]](item))
            except Exception as error:
                if item.get("trace"):
                    raise
                results.append({"error": f"{type(error).__name__}: {error}"})
        print(json.dumps(results), file=answers, flush=True)


if __name__ == "__main__":
    _main()
