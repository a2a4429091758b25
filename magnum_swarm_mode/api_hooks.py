# SPDX-License-Identifier: Apache-2.0
"""What stands around Magnum's own functions in the API process.

Each function gets the original it stands in for as first argument, decides by
:mod:`magnum_swarm_mode.admission` whether a request concerns swarm-mode and is in order, and goes
on with the original. :mod:`magnum_swarm_mode.registration` puts them in place.

Import it only in a process that serves Magnum's API and has parsed its configuration:
``magnum.api.validation`` freezes option values when it is imported.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pecan
from keystoneauth1 import exceptions as auth_exceptions
from magnum import objects
from magnum.api import attr_validator, validation
from magnum.common import clients, exception
from oslo_log import log as logging
from stevedore import named
from webob import exc

from magnum_swarm_mode import (
    address_pools,
    admission,
    certificate_guard,
    cloud,
    exceptions,
    labels,
    networks,
    stack_parameters,
)
from magnum_swarm_mode.conf import CONF

LOG = logging.getLogger(__name__)


class _TemporarilyUnavailable(exception.MagnumException):
    message = "%(err)s"
    code = 503


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn this package's errors into those that Magnum's API answers with a status of their own.

    :raises magnum.common.exception.InvalidParameterValue: HTTP 400 for Refused.
    :raises magnum.common.exception.MagnumException: HTTP 503 for Unavailable.
    """
    try:
        yield
    except exceptions.Refused as refusal:
        LOG.info("Refused: %s", refusal.operator_message)
        raise exception.InvalidParameterValue(err=refusal.user_message) from refusal
    except exceptions.Unavailable as failure:
        LOG.warning("Could not decide on a request: %s", failure.operator_message)
        raise _TemporarilyUnavailable(err=failure.user_message) from failure


class SwarmModeValidator(validation.Validator):
    """Magnum's validator of drivers and server types, for swarm-mode."""

    supported_network_drivers = [admission.NETWORK_DRIVER]
    supported_server_types = [admission.SERVER_TYPE]
    allowed_network_drivers = ["all"]
    default_network_driver = admission.NETWORK_DRIVER
    supported_volume_driver: list[str] = []

    @classmethod
    def validate_network_driver(cls, driver: str) -> None:
        """Refuse a network driver other than Swarm's own (HTTP 400)."""
        cls._validate("network_driver", driver)

    @classmethod
    def validate_volume_driver(cls, driver: str) -> None:
        """Refuse a volume driver (HTTP 400)."""
        cls._validate("volume_driver", driver)

    @classmethod
    def validate_server_type(cls, server_type: str) -> None:
        """Refuse servers that are not virtual machines (HTTP 400)."""
        cls._validate("server_type", server_type)

    @staticmethod
    def _validate(name: str, value: Any) -> None:
        with answering():
            admission.check_fields(admission.CLUSTER_TEMPLATE_FIELDS, {name: value})


def get_coe_validator(original: Callable[..., Any], cls: type, coe: str) -> Any:
    """Return the validator of an orchestration engine, which for swarm-mode is ours."""
    return SwarmModeValidator() if coe == admission.COE else original(cls, coe)


def enforce_network_driver_types(original: Callable[..., Any], cluster_template: Any) -> None:
    """Fill in what a new template leaves out, before Magnum resolves its driver.

    Called with the API's object when a template is created, and with a scratch object when one
    is patched.
    """
    original(cluster_template)
    with answering():
        admission.check_driver(cluster_template.coe, getattr(cluster_template, "driver", None))
    if cluster_template.coe != admission.COE:
        return
    with answering():
        # Before Magnum asks for a volume that would suit a storage driver which is not offered.
        admission.check_fields(
            admission.CLUSTER_TEMPLATE_FIELDS,
            {"docker_storage_driver": cluster_template.docker_storage_driver},
        )
    # Magnum would take the alphabetically first driver, whatever it offers.
    cluster_template.driver = admission.ENTRY_POINT
    # Magnum looks for a flavor named None when managers have none of their own.
    if admission.is_unset(cluster_template.master_flavor_id) and not admission.is_unset(
        cluster_template.flavor_id
    ):
        cluster_template.master_flavor_id = cluster_template.flavor_id


def get_default_driver(original: Callable[..., Any], cls: Any) -> str | None:
    """Return the driver of templates that name none; never ours, for those are not swarm-mode's."""
    name: str | None = original(cls)
    if name != admission.ENTRY_POINT:
        return name
    disabled = set(CONF.drivers.disabled_drivers) | {admission.ENTRY_POINT}
    # Nothing is loaded: no plug-in bears an empty name.
    installed = named.NamedExtensionManager(
        "magnum.drivers", names=[], warn_on_missing_entrypoint=False
    ).entry_points_names()
    return min(set(installed) - disabled, default=None)


def validate_os_resources(
    original: Callable[..., Any],
    context: Any,
    cluster_template: Mapping[str, Any],
    cluster: Mapping[str, Any] | None = None,
) -> None:
    """Decide on a template or cluster that Magnum is about to store or to have created.

    Magnum calls this when a template is created or patched, and when a cluster is created.
    """
    with answering():
        if cluster is None:
            admission.check_driver(cluster_template.get("coe"), cluster_template.get("driver"))
    if cluster_template.get("coe") != admission.COE:
        original(context, cluster_template, cluster)
        return
    with answering():
        values = _decide(context, cluster_template, cluster)
    original(context, cluster_template, cluster)
    image_id = cluster_template["image_id"]
    image = attr_validator.validate_image(clients.OpenStackClients(context), image_id)
    with answering():
        admission.check_image(
            {name: _property(image, name) for name in ("os_distro", "magnum_driver")},
            image_id,
            cluster_template.get("cluster_distro"),
        )
        if cluster is not None and values is not None:
            _check_networks(context, admission.effective(cluster_template, cluster), values)


def _decide(
    context: Any, cluster_template: Mapping[str, Any], cluster: Mapping[str, Any] | None
) -> labels.Labels | None:
    settings = admission.Cloud(CONF.swarm_mode.tenant_networks_reachable, CONF.swarm_mode)
    if cluster is None:
        admission.check_cluster_template(cluster_template, settings)
        return None
    if means := admission.check_credential(context.auth_token_info):
        _check_delegation(context, means)
    admission.check_given(admission.CLUSTER_FIELDS, _given_fields())
    return admission.check_cluster(cluster_template, cluster, settings)


# Seconds that Keystone's answer may take.
_KEYSTONE_TIMEOUT = 30


def _check_delegation(context: Any, means: str) -> None:
    """Ask Keystone whether a delegated token may deal with what it would have to make.

    :raises Refused: when it may not.
    :raises Unavailable: when Keystone does not answer.
    """
    keystone = clients.OpenStackClients(context).keystone()
    for path in (
        f"/v3/users/{context.user_id}/application_credentials",
        f"/v3/OS-TRUST/trusts?trustor_user_id={context.user_id}",
    ):
        try:
            answer = keystone.session.get(
                keystone.auth_url.rstrip("/").removesuffix("/v3") + path,
                raise_exc=False,
                timeout=_KEYSTONE_TIMEOUT,
            )
        except auth_exceptions.ClientException as error:
            raise exceptions.Unavailable(
                "Keystone does not answer; try again.", f"Keystone: {path}: {error}"
            ) from error
        if answer.status_code in (401, 403):
            admission.refuse_delegation(means)


def _given_fields() -> set[str]:
    """Return the names of the fields that the present request gives a value."""
    try:
        body = json.loads(pecan.request.body or b"{}")
    except ValueError:
        return set()
    return {k for k, v in body.items() if v is not None} if isinstance(body, dict) else set()


def _property(image: Any, name: str) -> Any:
    # openstacksdk keeps unknown properties apart; glanceclient's image is a dictionary.
    value = image.get(name)
    if value is None:
        value = (image.get("properties") or {}).get(name)
    return value


def _check_networks(context: Any, wanted: Mapping[str, Any], values: labels.Labels) -> None:
    """Refuse a network that nodes cannot be put on, and an address pool that would hide one.

    The conductor decides by the same facts; here they are looked at before there is a cluster.

    :raises Refused: naming the field or label.
    :raises Unavailable: when Neutron or Keystone does not answer.
    """
    session = cloud.user_session(context)
    fixed = networks.resolve(
        session,
        cloud.region_name(),
        cloud.interface(),
        wanted.get("fixed_network"),
        wanted.get("fixed_subnet"),
    )
    endpoints = cloud.node_endpoints(session)
    taken = [
        fixed.cidr if fixed else stack_parameters.MADE_SUBNET_CIDR,
        *str(wanted.get("dns_nameserver") or "").replace(",", " ").split(),
        *cloud.addresses_of((endpoints.auth_url, endpoints.magnum_url)),
        *address_pools.DOCKER_BRIDGES,
    ]
    if values.swarm_address_pool:
        address_pools.refuse_overlap(values.swarm_address_pool, taken)
    else:
        address_pools.choose_address_pool(
            CONF.swarm_mode.address_pools, taken, values.swarm_address_pool_mask
        )


def validate_master_count(
    original: Callable[..., Any], context: Any, cluster: Mapping[str, Any]
) -> None:
    """Admit several managers without a load balancer, for swarm-mode only."""
    template_id = cluster.get("cluster_template_id")
    if template_id and cluster["master_count"] > 1 and not cluster["master_lb_enabled"]:
        template = objects.ClusterTemplate.get(context, template_id)
        if template.coe == admission.COE:
            return
    original(context, cluster)


def gate(operation: str) -> Callable[..., Any]:
    """Return what stands before a method of Magnum's RPC client: the last place before the cast.

    :param operation: a key of ``admission.REFUSED_OPERATIONS``.
    """

    def gated(
        original: Callable[..., Any], self: Any, cluster: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if cluster.cluster_template.coe == admission.COE and not _only_health(
            operation, cluster, args, kwargs
        ):
            with answering():
                raise exceptions.Refused(admission.REFUSED_OPERATIONS[operation])
        return original(self, cluster, *args, **kwargs)

    return gated


def _only_health(
    operation: str, cluster: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Tell whether an update leaves the number of nodes alone: then Magnum serves it by itself."""
    if operation != "cluster_update_async":
        return False
    wanted = args[0] if args else kwargs["node_count"]
    return bool(wanted == cluster.default_ng_worker.node_count)


def before_request(original: Callable[..., Any], self: Any, state: Any) -> None:
    """Hold the credentials of nodes to their own cluster; see :mod:`.certificate_guard`.

    :raises webob.exc.HTTPForbidden: when the call is not one of those that they are for.
    """
    request = state.request
    token_info = request.environ.get("keystone.token_info")
    if not certificate_guard.concerns(token_info):
        original(self, state)
        return
    sentence = certificate_guard.refusal(
        token_info,
        certificate_guard.Call(
            method=request.method,
            path=request.path_info,
            query=request.query_string,
            content_type=request.content_type or "",
            body=request.body,
        ),
    )
    if sentence is not None:
        LOG.warning("Forbidden: %s %s: %s", request.method, request.path_info, sentence)
        # Magnum's middleware reads the detail, or where JSON was not asked for, the body.
        raise exc.HTTPForbidden(
            detail=sentence,
            content_type="application/json",
            charset="utf-8",
            body=json.dumps({"faultcode": "Client", "faultstring": sentence}).encode(),
        )
    original(self, state)
