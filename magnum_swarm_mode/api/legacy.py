# SPDX-License-Identifier: Apache-2.0
"""Refuses, in the API process, what cannot be done to rows of Magnum up to release 17.

It stands before this package's other hooks, so that those see only what is swarm-mode's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from magnum_swarm_mode.admission import legacy as legacy_rules
from magnum_swarm_mode.api import requests as api_requests

_RPC_CLIENT = "magnum.conductor.api"


Hook = Callable[..., Any]
_Guard = Callable[[Hook], Hook]


def before(module: str, path: str, hook: Hook) -> Hook:
    """Return what stands before the hook of a function of Magnum's."""
    if module == _RPC_CLIENT:
        return _on_cluster(hook)
    guard = _BY_PATH.get(path)
    return hook if guard is None else guard(hook)


def _on_engine(hook: Hook) -> Hook:
    def guarded(original: Callable[..., Any], cls: type, coe: str) -> Any:
        if coe == legacy_rules.COE:
            with api_requests.answering():
                legacy_rules.refuse_engine()
        return hook(original, cls, coe)

    return guarded


def _on_patched(hook: Hook) -> Hook:
    def guarded(original: Callable[..., Any], cluster_template: Any) -> Any:
        _check(
            {
                name: getattr(cluster_template, name, None)
                for name in ("uuid", "coe", "cluster_distro", "server_type", "driver")
            }
        )
        return hook(original, cluster_template)

    return guarded


def _check(template: Mapping[str, Any]) -> None:
    """Refuse what would be made of, or with, an old template.

    :raises magnum.common.exception.InvalidParameterValue: HTTP 400.
    """
    kind = (template.get(name) for name in ("coe", "cluster_distro", "server_type"))
    with api_requests.answering():
        # A new template has no uuid yet; what it says is looked at elsewhere.
        if template.get("uuid") and legacy_rules.concerns(*kind):
            legacy_rules.refuse_template()
        if template.get("driver") == legacy_rules.ENTRY_POINT:
            legacy_rules.refuse_driver()


def _on_template(hook: Hook) -> Hook:
    def guarded(
        original: Callable[..., Any],
        context: Any,
        cluster_template: Mapping[str, Any],
        cluster: Mapping[str, Any] | None = None,
    ) -> Any:
        _check(cluster_template)
        return hook(original, context, cluster_template, cluster)

    return guarded


def _on_cluster(hook: Hook) -> Hook:
    def guarded(
        original: Callable[..., Any], self: Any, cluster: Any, *args: Any, **kwargs: Any
    ) -> Any:
        template = cluster.cluster_template
        if legacy_rules.concerns(template.coe, template.cluster_distro, template.server_type):
            with api_requests.answering():
                legacy_rules.refuse_operation()
        return hook(original, self, cluster, *args, **kwargs)

    return guarded


_BY_PATH: Mapping[str, _Guard] = {
    "Validator.get_coe_validator": _on_engine,
    "_enforce_network_driver_types": _on_patched,
    "validate_os_resources": _on_template,
}
