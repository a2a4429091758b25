# SPDX-License-Identifier: Apache-2.0
"""What a node asks of OpenStack: a token, a signature, the cluster's status, to be heard by Heat.

The `signal` attribute of OS::Heat::WaitConditionHandle with HEAT_SIGNAL is a JSON map of
auth_url, username, user_id, password, project_id, domain_id, region_name and alarm_url
(heat/engine/resources/signal_responder.py): a user that may do nothing but this, and where to POST.
"""

import calendar
import contextlib
import ipaddress
import re
import ssl
import time
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from . import web
from .codes import Code
from .config import Config
from .errors import NodeError, Temporary

LARGEST_SKEW = 300  # seconds


def is_excepted(config: Config, host: str) -> bool:
    """Say whether the cluster's no_proxy names a host.

    As the engine reads them, the exceptions are addresses, networks and domains with all that is
    below them, or * for everything.
    """
    for item in re.split("[, ]+", config.engine_no_proxy.lower()):
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False):
                return True
        name = item.split(":")[0].lstrip("*.")
        if item == "*" or (name and ("." + host).endswith("." + name)):
            return True
    return False


def proxy_for(config: Config, url: str) -> str:
    """Return the URL of the cluster's proxy that a request has to go through; empty for none."""
    parts = urlsplit(url)
    if is_excepted(config, parts.hostname or ""):
        return ""
    return config.engine_https_proxy if parts.scheme == "https" else config.engine_http_proxy


def check_clock(config: Config, url: str) -> None:
    """Compare the clock with Keystone's: its Date header, or else the time of a token's issue.

    :param url: Keystone's
    :raises Temporary: when the two differ too much; a Keystone that tells no time is no reason
    """
    # Not verified, for a wrong clock is what would make that fail; nothing else is taken from it.
    context = ssl._create_unverified_context() if url.startswith("https") else None
    try:
        headers = web.request("GET", url, context=context, proxy=proxy_for(config, url))[0]
        date = parsedate_tz(headers.get("date", ""))
        if date:
            told = mktime_tz(date)
        else:
            # uWSGI, for one, dates nothing.
            issued = _token(config, url, _signal_user(config))[1]["token"]["issued_at"][:19]
            told = calendar.timegm(time.strptime(issued, "%Y-%m-%dT%H:%M:%S"))
    except (NodeError, LookupError, TypeError, ValueError, ArithmeticError):
        return
    ahead = time.time() - told
    if abs(ahead) > LARGEST_SKEW:
        text = f"this server's clock is {ahead:+.0f} s off that of {url}: synchronize it"
        raise Temporary(text, code=Code.CLOCK_SKEW)


def _context(config: Config) -> Optional[ssl.SSLContext]:
    return web.tls(config.openstack_ca_certificate) if config.openstack_ca_certificate else None


def _token(config: Config, auth_url: str, auth: Dict[str, Any]) -> web.Answer:
    """Return Keystone v3's answer to a request for a token."""
    base = auth_url.rstrip("/")
    if not base.endswith("/v3"):
        base += "/v3"
    url = f"{base}/auth/tokens"
    proxy = proxy_for(config, url)
    return web.request("POST", url, {"auth": auth}, context=_context(config), proxy=proxy)


def _signal_user(config: Config) -> Dict[str, Any]:
    """Return how the user authenticates who may send signals to Heat, and nothing else."""
    user = config.signal
    return {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"id": user["user_id"], "password": user["password"]}},
        },
        "scope": {"project": {"id": user["project_id"]}},
    }


def _call(
    config: Config,
    auth_url: str,
    auth: Dict[str, Any],
    method: str,
    url: str,
    body: Any = None,
    headers: Optional[Dict[str, str]] = None,
) -> Any:
    """Call a service with a new token of Keystone v3 and return the body of its answer."""
    known = _token(config, auth_url, auth)[0]
    sent = {"X-Auth-Token": known.get("x-subject-token", ""), **(headers or {})}
    # Signing goes through message queue and conductor, and may wait there.
    proxy = proxy_for(config, url)
    return web.request(method, url, body, sent, _context(config), timeout=60, proxy=proxy)[1]


def _magnum(
    config: Config,
    method: str,
    path: str,
    key: str,
    body: Optional[Any] = None,
    headers: Optional[Dict[str, str]] = None,
) -> str:
    answer = _call(
        config,
        config.openstack_auth_url,
        {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": {
                    "id": config.openstack_application_credential_id,
                    "secret": config.openstack_application_credential_secret,
                },
            }
        },
        method,
        config.openstack_magnum_url.rstrip("/") + path,
        body,
        headers,
    )
    try:
        return str(answer[key])
    except (KeyError, TypeError):
        raise NodeError(f"Magnum's answer holds no {key}") from None


def sign(config: Config, csr: str, proof: str = "") -> str:
    """Return the certificate (PEM) that the cluster's CA makes of a signing request.

    :param proof: signature of a manager that Magnum knows, in base64
    :raises Temporary: Keystone or Magnum cannot be reached or are not well
    :raises NodeError: they refuse
    """
    body = {"cluster_uuid": config.cluster_uuid, "csr": csr}
    headers = {"X-Swarm-Mode-Proof": proof} if proof else {}
    return _magnum(config, "POST", "/certificates", "pem", body, headers).strip() + "\n"


def cluster_ca(config: Config) -> str:
    """Return the certificate (PEM) of the cluster's CA.

    :raises Temporary: Keystone or Magnum cannot be reached or are not well
    :raises NodeError: they refuse
    """
    return _magnum(config, "GET", f"/certificates/{config.cluster_uuid}", "pem").strip() + "\n"


def cluster_status(config: Config) -> str:
    """Return Magnum's status of this cluster, such as CREATE_IN_PROGRESS.

    :raises Temporary: Keystone or Magnum cannot be reached or are not well
    :raises NodeError: they refuse
    """
    return _magnum(config, "GET", f"/clusters/{config.cluster_uuid}", "status")


def signal(config: Config, server_uuid: str, status: str, reason: str, data: str) -> None:
    """Tell Heat SUCCESS or FAILURE once; the signal's id is the server's uuid.

    :raises Temporary: Keystone or Heat cannot be reached or are not well
    :raises NodeError: they refuse
    """
    user = config.signal
    body = {"status": status, "id": server_uuid, "reason": reason, "data": data}
    _call(config, user["auth_url"], _signal_user(config), "POST", user["alarm_url"], body)
