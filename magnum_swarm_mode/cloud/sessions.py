# SPDX-License-Identifier: Apache-2.0
"""Sessions and endpoints, from Magnum's configuration; of the services only Keystone is asked.

Of Magnum's client classes only what is alike in its releases 20 to 23 is used: the session.
"""

import contextlib
import dataclasses
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

import magnum.conf
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import loading
from magnum.common import clients
from magnum.common import context as magnum_context
from magnum.common import utils as magnum_utils
from magnum.conf import keystone as magnum_keystone_conf

from magnum_swarm_mode import exceptions

CONF = magnum.conf.CONF

# No call to a service may hang a periodic task; used where [keystone_auth] timeout says nothing.
_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """Public addresses of the services that nodes talk to, with their version in the path."""

    auth_url: str
    magnum_url: str


def admin_context() -> Any:
    """Return a context that may read and write every project's rows; it has no token."""
    return magnum_context.make_admin_context(all_tenants=True)


def user_session(context: Any) -> Any:
    """Return a session with the token that came with the request."""
    return bounded(clients.OpenStackClients(context).keystone().session)


def service_session() -> Any:
    """Return a session of Magnum's own user in its own project."""
    return bounded(clients.OpenStackClients(admin_context()).keystone().session)


def system_session() -> Any:
    """Return a session of Magnum's own user with its role, if any, on the whole system."""
    return _scoped_session(system_scope="all")


def trust_session(trust_id: str) -> Any:
    """Return a session in which Magnum's own user acts as the trustor."""
    return _scoped_session(trust_id=trust_id)


def _scoped_session(**scope: str) -> Any:
    # A token has one scope: the project that magnum.conf names must not be asked for as well.
    no_project = dict.fromkeys(
        ("project_id", "project_name", "project_domain_id", "project_domain_name")
    )
    group = magnum_keystone_conf.CFG_GROUP
    auth = loading.load_auth_from_conf_options(CONF, group, **{**no_project, **scope})
    return bounded(loading.load_session_from_conf_options(CONF, group, auth=auth))


def bounded(session: Any) -> Any:
    """Return a session whose requests end in time, also where magnum.conf has no time-out."""
    if session.timeout is None:
        session.timeout = _TIMEOUT_SECONDS
    return session


def has_token(context: Any) -> bool:
    """Return whether a request brought a token; a periodic task's context has none."""
    return bool(context.auth_token or context.auth_token_info)


def region_name() -> str | None:
    """Return the region in which clusters are made; None where the catalogue has only one."""
    for group in ("heat_client", "nova_client", "neutron_client", "magnum_client"):
        name = getattr(getattr(CONF, group, None), "region_name", None)
        if name:
            return str(name)
    return None


def interface() -> str:
    """Return which of a service's endpoints the conductor itself uses."""
    for group in ("heat_client", "nova_client"):
        name = getattr(getattr(CONF, group, None), "endpoint_type", None)
        if name:
            return str(name)
    return "public"


def node_endpoints(session: Any) -> Endpoints:
    """Return the public endpoints that nodes use.

    :raises Refused: when the catalogue lacks one in this region.
    """
    return Endpoints(
        auth_url=_versioned(_public(session, "identity"), "v3"),
        magnum_url=_versioned(_public(session, "container-infra"), "v1"),
    )


def _public(session: Any, service_type: str) -> str:
    region = region_name()
    where = f" in region {region}" if region else ""
    problem = f"The service catalogue has no public endpoint of type {service_type}{where}."
    try:
        with keystone_errors("Keystone"):
            url = session.get_endpoint(
                service_type=service_type, interface="public", region_name=region
            )
    except keystone_exceptions.CatalogException as error:
        raise exceptions.Refused(problem) from error
    if not url:
        raise exceptions.Refused(problem)
    return str(url)


def _versioned(url: str, version: str) -> str:
    trimmed = url.rstrip("/")
    return trimmed if trimmed.endswith("/" + version) else f"{trimmed}/{version}"


@contextlib.contextmanager
def keystone_errors(what: str) -> Iterator[None]:
    """Turn failures to reach a service into this package's Unavailable.

    :param what: which service was asked, for the message.
    :raises Unavailable: on timeouts, refused connections, answers of 500 and above, and nonsense.
    """
    try:
        yield
    except (
        keystone_exceptions.ConnectFailure,
        keystone_exceptions.HttpServerError,
        keystone_exceptions.RetriableConnectionFailure,
        keystone_exceptions.DiscoveryFailure,
    ) as error:
        raise exceptions.Unavailable(
            f"{what} does not answer; try again later.", f"{what}: {error}"
        ) from error
    except keystone_exceptions.HttpError as error:
        # A redirection that leads nowhere; refusals are the caller's.
        if error.http_status >= 400:
            raise
        raise _nonsense(what, error) from error
    except (
        keystone_exceptions.InvalidResponse,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        # The client libraries take for granted that what answers is the service.
        raise _nonsense(what, error) from error


def _nonsense(what: str, error: Exception) -> exceptions.Unavailable:
    return exceptions.Unavailable(
        f"{what} answers what cannot be understood; try again later.", f"{what}: {error!r}"
    )


def openstack_ca() -> str | None:
    """Return the PEM that the operator wants nodes to trust for OpenStack's own endpoints."""
    try:
        return magnum_utils.get_openstack_ca() or None
    except OSError as error:
        raise exceptions.Refused(
            "The operator's CA file for OpenStack's endpoints cannot be read.",
            f"[drivers] openstack_ca_file: {error}",
        ) from error


def addresses_of(urls: tuple[str, ...]) -> list[str]:
    """Return the IPv4 addresses behind some URLs, as far as the conductor can resolve them."""
    found: list[str] = []
    for url in urls:
        host = urllib.parse.urlsplit(url).hostname
        if not host:
            continue
        with contextlib.suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
            found.extend(str(answer[4][0]) for answer in answers)
    return list(dict.fromkeys(found))
