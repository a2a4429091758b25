# SPDX-License-Identifier: Apache-2.0
"""What stands around Magnum's own functions in the API process.

Each function gets the original it stands in for as first argument, decides by
:mod:`magnum_swarm_mode.admission.cluster_request` whether a request concerns swarm-mode and is in
order, and goes on with the original. :mod:`magnum_swarm_mode.registration.register` puts them in
place.

Import it only in a process that serves Magnum's API and has parsed its configuration:
``magnum.api.validation`` freezes option values when it is imported.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pecan
from magnum import objects
from magnum.api import validation
from magnum.common import exception
from stevedore import named
from webob import exc

from magnum_swarm_mode import constants, exceptions, log
from magnum_swarm_mode.admission import cluster_request, manager_keys
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.admission import legacy as legacy_rules
from magnum_swarm_mode.api import bodies, errors, node_certificates, preflight
from magnum_swarm_mode.cloud import rest
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.cloud.rest import Service
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.labels import address_pools
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table

LOG = log.of(__name__)


class _TemporarilyUnavailable(exception.MagnumException):
    message = "%(err)s"
    code = 503


class _Unauthorized(exception.MagnumException):
    message = "%(err)s"
    code = 401


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn this package's errors into those that Magnum's API answers with a status of their own.

    :raises magnum.common.exception.InvalidParameterValue: HTTP 400 for Refused.
    :raises magnum.common.exception.MagnumException: HTTP 503 for Unavailable, 401 for a token that
        is not valid any more.
    """
    try:
        yield
    except rest.TokenRejected as refusal:
        show_in_full()
        LOG.info("Refused: %s", refusal.operator_message)
        raise _Unauthorized(err=refusal.user_message) from refusal
    except exceptions.Refused as refusal:
        show_in_full()
        LOG.info("Refused: %s", refusal.operator_message)
        raise exception.InvalidParameterValue(err=refusal.user_message) from refusal
    except exceptions.Unavailable as failure:
        show_in_full()
        LOG.warning("Could not decide on a request: %s", failure.operator_message)
        raise _TemporarilyUnavailable(err=failure.user_message) from failure


class SwarmModeValidator(validation.Validator):
    """Magnum's validator of drivers and server types, for swarm-mode."""

    supported_network_drivers = [request_fields.NETWORK_DRIVER]
    supported_server_types = [constants.SERVER_TYPE]
    allowed_network_drivers = ["all"]
    default_network_driver = request_fields.NETWORK_DRIVER
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
            request_fields.check_fields(request_fields.CLUSTER_TEMPLATE_FIELDS, {name: value})


def get_coe_validator(original: Callable[..., Any], cls: type, coe: str) -> Any:
    """Return the validator of an orchestration engine, which for swarm-mode is ours."""
    return SwarmModeValidator() if coe == constants.COE else original(cls, coe)


def enforce_network_driver_types(original: Callable[..., Any], cluster_template: Any) -> None:
    """Fill in what a new template leaves out, before Magnum resolves its driver.

    Called with the API's object when a template is created, and with a scratch object when one
    is patched.
    """
    original(cluster_template)
    with answering():
        cluster_request.check_driver(cluster_template.coe, _field(cluster_template, "driver"))
    if cluster_template.coe != constants.COE:
        return
    with answering():
        # Before Magnum asks for a volume that would suit a storage driver which is not offered.
        request_fields.check_fields(
            request_fields.CLUSTER_TEMPLATE_FIELDS,
            {"docker_storage_driver": _field(cluster_template, "docker_storage_driver")},
        )
    # Magnum would take the alphabetically first driver, whatever it offers.
    cluster_template.driver = constants.ENTRY_POINT
    # Magnum looks for a flavor named None when managers have none of their own.
    flavor = _field(cluster_template, "flavor_id")
    if request_fields.is_unset(
        _field(cluster_template, "master_flavor_id")
    ) and not request_fields.is_unset(flavor):
        cluster_template.master_flavor_id = flavor
    if pecan.request.method == "POST":
        _find_distro(cluster_template)


def _field(template: Any, name: str) -> Any:
    """Return a field of a template; None where a patch has just removed it."""
    try:
        return getattr(template, name, None)
    except NotImplementedError:
        # An object of Magnum's that has no value there, and nothing to load it with.
        return None


def _find_distro(cluster_template: Any) -> None:
    """Tell a new template its image's system.

    Magnum would ask Glance itself, take every failure for an image without the property, and go on
    before it looks at anything else.
    """
    if cluster_template.labels is None:
        # Magnum itself fails on null.
        cluster_template.labels = {}
    with answering():
        given = cluster_template.as_dict()
        cluster_request.check_cluster_template(given, _settings())
        image = look(pecan.request.context).image(given["image_id"])
        cluster_request.check_image(image, given["image_id"], given.get("cluster_distro"))
    _remember(given["image_id"], image)
    cluster_template.cluster_distro = image["os_distro"]


def get_default_driver(original: Callable[..., Any], cls: Any) -> str | None:
    """Return the driver of templates that name none; never ours, for those are not swarm-mode's."""
    ours = {constants.ENTRY_POINT, legacy_rules.ENTRY_POINT}
    name: str | None = original(cls)
    if name not in ours:
        return name
    disabled = set(CONF.drivers.disabled_drivers) | ours
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
            cluster_request.check_driver(
                cluster_template.get("coe"), cluster_template.get("driver")
            )
    if cluster_template.get("coe") != constants.COE:
        original(context, cluster_template, cluster)
        return
    with answering():
        # Instead of Magnum's own look at the same things, which waits for services without end and
        # answers with status 500 when one of them is away.
        _decide(context, cluster_template, cluster)


def _decide(
    context: Any, cluster_template: Mapping[str, Any], cluster: Mapping[str, Any] | None
) -> None:
    """Decide on values, and then on what the cloud has for them.

    :raises Refused: naming field, label or resource.
    :raises Unavailable: naming the service that cannot be asked.
    """
    asking = look(context)
    image_id = str(cluster_template["image_id"])
    if cluster is None:
        cluster_request.check_cluster_template(cluster_template, _settings())
        values = label_parsing.parse(cluster_template.get("labels"), CONF.swarm_mode)
        wants = preflight.wanted(cluster_template, values, cluster=False)
    else:
        means = cluster_request.check_credential(context.auth_token_info)
        request_fields.check_given(request_fields.CLUSTER_FIELDS, given_fields())
        values = cluster_request.check_cluster(cluster_template, cluster, _settings())
        if means:
            _check_delegation(context, asking.ask, means)
        wanted = cluster_request.effective(cluster_template, cluster)
        wants = preflight.wanted(wanted, values, cluster=True)
    seen = asking.check(wants, cluster=cluster is not None, image=_remembered().get(image_id))
    _remember(image_id, seen.image)
    cluster_request.check_image(seen.image, image_id, cluster_template.get("cluster_distro"))
    if cluster is not None:
        _check_pool(context, asking.ask.deadline, wanted, values, seen.network)


def _settings() -> cluster_request.Cloud:
    return cluster_request.Cloud(CONF.swarm_mode.tenant_networks_reachable, CONF.swarm_mode)


def look(context: Any) -> preflight.Preflight:
    """Return what looks at the cloud with the rights of the user who asks."""
    ask = rest.Services(
        cloud_sessions.user_session(context),
        cloud_sessions.region_name(),
        cloud_sessions.interface(),
        # One for the request, which may look twice.
        _environ().setdefault(_DEADLINE, rest.Deadline.after(CONF.swarm_mode.preflight_timeout)),
    )
    return preflight.Preflight(ask, str(context.project_id), CONF.swarm_mode.preflight_quota)


# What a request has found out already, for what Magnum asks again: the images by name.
_IMAGES = "magnum_swarm_mode.images"
# When the last answer to it must be there.
_DEADLINE = "magnum_swarm_mode.deadline"
# Whether the answer is a sentence of ours, which is shown in full.
_IN_FULL = "magnum_swarm_mode.in_full"
# Whether a request concerns swarm-mode.
_OURS = "magnum_swarm_mode.concerns"


def show_in_full() -> None:
    """Let clients show the present request's error in full, if it ends as one."""
    _environ()[_IN_FULL] = True


def _environ() -> dict[str, Any]:
    """Return what belongs to the present request alone; nothing lasts where there is none."""
    try:
        environ: dict[str, Any] = pecan.request.environ
    except AttributeError:
        return {}
    return environ


def _remembered() -> dict[str, Mapping[str, Any]]:
    images: dict[str, Mapping[str, Any]] = _environ().setdefault(_IMAGES, {})
    return images


def _remember(image_id: str, image: Mapping[str, Any]) -> None:
    _remembered()[image_id] = image
    _environ()[_OURS] = True


def validate_image(original: Callable[..., Any], cli: Any, image: str) -> Any:
    """Return the image that was looked at already, instead of asking for it again."""
    if found := _remembered().get(image):
        return found
    answer = original(cli, image)
    body = _body() if _environ() else {}
    if "coe" in body:
        with answering():
            # Up to Magnum 22 the driver that an image names is stored as it is.
            cluster_request.check_driver(body["coe"], answer.get("magnum_driver"))
    return answer


def validate_flavor_root_volume_size(
    original: Callable[..., Any], cli: Any, flavor: str, boot_volume_size: Any
) -> None:
    """Leave a flavor's disk to the preflight, which comes before or after."""
    if not concerns_us():
        original(cli, flavor, boot_volume_size)


def concerns_us() -> bool:
    """Return whether the present request makes or changes something of swarm-mode."""
    environ = _environ()
    if not environ:
        return False
    if _OURS not in environ:
        environ[_OURS] = bodies.is_template_of_ours(
            pecan.request.context, _body().get("cluster_template_id")
        )
    return bool(environ[_OURS])


class ClusterNames:
    """Which names clusters may have, in place of a pattern of Magnum's for the letters of English.

    :param original: Magnum's compiled pattern.
    """

    def __init__(self, original: Any) -> None:
        self.original = original
        self.pattern = (
            f"{original.pattern} (for swarm-mode also letters of other scripts than English)"
        )

    def search(self, text: str) -> bool:
        """Return whether a name is in order."""
        if self.original.search(text):
            return True
        if not cluster_request.is_cluster_name(text):
            return False
        # Any other request shows a name from the database.
        return _environ().get("REQUEST_METHOD") != "POST" or concerns_us()

    match = search


def _check_delegation(context: Any, ask: rest.Services, means: str) -> None:
    """Ask Keystone whether a delegated token may deal with what it would have to make.

    :raises Refused: when it may not.
    :raises Unavailable: when Keystone does not answer.
    """
    user = rest.quoted(context.user_id)
    paths = (f"/users/{user}/application_credentials", f"/OS-TRUST/trusts?trustor_user_id={user}")

    def asking(path: str) -> Callable[[], Any]:
        return lambda: ask.get(Service.KEYSTONE, path)

    try:
        ask.together(*((Service.KEYSTONE, asking(path)) for path in paths))
    except rest.NotAllowed:
        cluster_request.refuse_delegation(means)
    except rest.NotThere as error:
        raise rest.answers_rubbish(Service.KEYSTONE, error) from error


def _body() -> dict[str, Any]:
    """Return the object that the present request carries, empty where it carries none."""
    try:
        body = json.loads(pecan.request.body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def given_fields() -> set[str]:
    """Return the names of the fields that the present request gives a value.

    Clients such as Horizon send empty text for what a user left out.
    """
    return {name for name, value in _body().items() if not request_fields.is_unset(value)}


def _check_pool(
    context: Any,
    deadline: rest.Deadline,
    wanted: Mapping[str, Any],
    values: label_table.Labels,
    network: preflight.Network | None,
) -> None:
    """Refuse an address pool that would hide a network which nodes need.

    The conductor decides by the same facts; here they are looked at before there is a cluster.

    :raises Refused: naming field or label.
    """
    endpoints = cloud_sessions.node_endpoints(cloud_sessions.user_session(context))
    urls = (endpoints.auth_url, endpoints.magnum_url)
    address_pools.pool_for(
        values.swarm_address_pool,
        CONF.swarm_mode.address_pools,
        values.swarm_address_pool_mask,
        subnet=network,
        dns=wanted.get("dns_nameserver"),
        # A name that is not resolved in time is left to the conductor.
        endpoints=rest.in_time(deadline, lambda: cloud_sessions.addresses_of(urls), []),
    )


def validate_master_count(
    original: Callable[..., Any], context: Any, cluster: Mapping[str, Any]
) -> None:
    """Admit several managers without a load balancer, for swarm-mode only."""
    template_id = cluster.get("cluster_template_id")
    if template_id and cluster["master_count"] > 1 and not cluster["master_lb_enabled"]:
        template = objects.ClusterTemplate.get(context, template_id)
        if template.coe == constants.COE:
            return
    original(context, cluster)


def find_controller(original: Callable[..., Any], self: Any, state: Any) -> Any:
    """Refuse a body at which pecan would fail: it reads JSON before any hook.

    :raises webob.exc.HTTPBadRequest: when JSON is nested too deeply, or its encoding is unknown.
    """
    request = state.request
    try:
        if request.content_type in ("application/json", "application/javascript"):
            _ = request.json
    except (RecursionError, LookupError) as error:
        sentence = "The request's body is not valid JSON in UTF-8."
        raise errors.answer(exc.HTTPBadRequest, sentence) from error
    except ValueError:
        pass  # What reads the body next refuses it.
    return original(self, state)


def before_request(original: Callable[..., Any], self: Any, state: Any) -> None:
    """Hold the credentials of nodes to their own cluster, and look at bodies; see
    :mod:`~magnum_swarm_mode.admission.node_token`, :mod:`.node_certificates` and :mod:`.bodies`.

    :raises webob.exc.HTTPForbidden: when the call is not one of those that nodes may make, or the
        policy does not permit it.
    :raises webob.exc.HTTPBadRequest: when the body has JSON of the wrong kind.
    """
    request = state.request
    signing = node_certificates.held_to_cluster(request)
    original(self, state)
    try:
        if signing is not None:
            proof = request.headers.get(manager_keys.PROOF, "")
            node_certificates.admit(pecan.request.context, *signing, proof)
        bodies.check(request)
    except bodies.NotPermitted as refusal:
        raise errors.answer(exc.HTTPForbidden, str(refusal)) from refusal
    except manager_keys.NotAdmitted as refusal:
        LOG.warning("Forbidden: %s", refusal.operator_message)
        raise errors.answer(exc.HTTPForbidden, refusal.user_message) from refusal
    except exceptions.Unavailable as refusal:
        LOG.warning("Unavailable: %s", refusal.operator_message)
        raise errors.answer(exc.HTTPServiceUnavailable, refusal.user_message) from refusal
    except exceptions.Refused as refusal:
        LOG.info("Refused: %s", refusal.operator_message)
        raise errors.answer(exc.HTTPBadRequest, refusal.user_message) from refusal


def after_request(original: Callable[..., Any], self: Any, state: Any) -> None:
    """Let clients show our sentences in full.

    Magnum makes the title of an error, which is all that clients show, of what is before the first
    full stop, be it that of an address, unless the error brings a title.
    """
    original(self, state)
    if not state.request.environ.get(_IN_FULL) or state.response.status_int < 400:
        return
    told = state.response.json if state.response.body else {}
    if sentence := told.get("faultstring"):
        state.response.json = {**told, "title": sentence, "description": sentence}
