# SPDX-License-Identifier: Apache-2.0
"""A manager's key and certificate: made here, signed by the cluster's CA through Magnum.

Magnum signs for the first manager of a new cluster, for a manager whose key it knows, and for one
whose request is signed by such a manager (``magnum_swarm_mode/admission/manager_keys.py``).
"""

import base64
import hashlib
import ipaddress
import json
import random
import re
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

from ..base import openstack, system, web
from ..base.config import Config
from ..base.errors import NodeError, Temporary
from ..base.paths import Paths

# Share of its life after which a certificate is renewed: manager 0 at 60 %, 1 at 65 % … 4 at 80 %,
# so that never all managers renew at one moment and each has a fifth of the time to retry.
_FIRST_SHARE = 0.60
_STAGGER = 0.05
_STAGGERED = 5


def wanted_names(config: Config, index: int, host_name: str) -> List[str]:
    """Return the subject alternative names, as openssl takes them: IP:… and DNS:…"""
    own = config.managers[str(index)]
    names = []
    for name in (
        "127.0.0.1",
        own["address"],
        own.get("floating_address"),
        *config.api_addresses,
        host_name,
    ):
        try:
            names.append(f"IP:{ipaddress.ip_address(name)}")  # type: ignore[arg-type]
        except ValueError:
            # A name that no certificate can hold is nothing that a client could verify.
            if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", name or ""):
                names.append(f"DNS:{name}")
    return sorted(set(names))


def renewal_time(issued: float, expires: float, index: int) -> float:
    """Return when a manager renews its certificate, in seconds of the epoch."""
    return issued + (_FIRST_SHARE + _STAGGER * (index % _STAGGERED)) * (expires - issued)


def check_interval(issued: float, expires: float) -> int:
    """Return how often to look at the certificate, in seconds: often in a short life."""
    return int(max(10, min(3600, (expires - issued) / 50)))


def known(paths: Paths) -> Dict[str, Any]:
    """Return what issue() wrote before the certificate: issued, expires, names, issuer; or {}."""
    try:
        found: Dict[str, Any] = json.loads(system.read(paths.certificate).partition("\n")[0])
    except ValueError:
        return {}
    return found


def reason_to_issue(
    current: Dict[str, Any], names: List[str], index: int, now: float, issuer: str
) -> str:
    """Return why a new certificate is needed; empty when the present one is good.

    :param current: what known() returns
    :param names: what wanted_names() returns
    :param now: seconds of the epoch
    :param issuer: who shall have signed it; empty for anybody
    """
    if not current:
        return "there is none"
    if not set(names) <= set(current["names"]):
        return "names are missing"
    if issuer not in ("", current.get("issuer")):
        return "another authority shall sign it"
    if now >= renewal_time(current["issued"], current["expires"], index):
        return "most of its life is over"
    return ""


def proof(pair: str, cluster_uuid: str, csr: str) -> str:
    """Return the signature, in base64, by which a manager has a request signed.

    :param pair: PEM text with the manager's key
    :raises NodeError: it cannot be made
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "request")
        path.write_text(f"magnum-swarm-mode certificate\n{cluster_uuid}\n{csr}")
        files = ("-sign", "/dev/stdin", "-out", f"{path}.signature", str(path))
        system.run("openssl", "dgst", "-sha256", *files, stdin=pair)
        return base64.b64encode(Path(f"{path}.signature").read_bytes()).decode()


def sign(config: Config, index: int, pair: str, ca: str, csr: str) -> str:
    """Return the certificate (PEM) that Magnum makes of a signing request.

    :param pair: PEM text with the present key; empty for none
    :param ca: PEM text of the cluster's CA
    :raises Temporary: Magnum is not well, or no other manager answers
    :raises NodeError: refused
    """
    if pair:
        return openstack.sign(config, csr, proof(pair, config.cluster_uuid, csr))
    seen = []
    if index == config.indexes[0]:
        try:
            return openstack.sign(config, csr)
        except NodeError as error:
            if error.status != 403 or len(config.indexes) == 1:
                raise
            # It replaces the manager that was first.
            seen.append(str(error))
    return _have_signed(config, index, ca, csr, seen)


def _have_signed(config: Config, index: int, ca: str, csr: str, seen: List[str]) -> str:
    """Have another manager ask Magnum; return the certificate (PEM).

    :param seen: why there is no other way
    """
    context = web.tls(ca)
    body = {"secret": config.join_secret, "csr": csr}
    others = [other for other in config.indexes if other != index]
    for other in random.sample(others, len(others)):
        url = f"https://{web.host(config.address(other))}:{config.join_certificate_port}"
        try:
            url += "/v1/certificate"
            answer = web.request("POST", url, body, context=context, timeout=90, neighbour=True)[1]
            return str(answer["pem"]).strip() + "\n"
        except NodeError as error:
            seen.append(f"manager {other}: {error}")
    raise Temporary("; ".join(seen) or "there is no other manager")


def _next_key(paths: Paths) -> str:
    """Return the key of the next certificate; a request that is made again is for the same key."""
    if "END PRIVATE KEY" not in system.read(paths.next_key):
        curve = ("-pkeyopt", "ec_paramgen_curve:P-256")
        key = system.run("openssl", "genpkey", "-algorithm", "EC", *curve)
        system.write(paths.next_key, key, 0o600)
    return system.read(paths.next_key)


def issue(paths: Paths, names: List[str], index: int, config: Config) -> None:
    """Make a key, have it signed, and put it in place together with CA and certificate.

    :raises Temporary: Magnum is not well, or no other manager answers
    :raises NodeError: refused, or what came back does not belong to key and CA
    """
    joined = ",".join(names)
    settings = f"""
[req]
distinguished_name=dn
req_extensions=ext
prompt=no
[dn]
CN=swarm-manager-{index}
[ext]
keyUsage=digitalSignature,keyEncipherment
extendedKeyUsage=serverAuth,clientAuth
subjectAltName={joined}
"""
    # Only root can look into a temporary directory of root's.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "pem")
        ca = openstack.cluster_ca(config)
        issuer = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca)).hexdigest()
        if config.api_issuer not in ("", issuer):
            raise Temporary("Magnum has another authority")
        path.write_text(settings)
        key = _next_key(paths)
        files = ("-config", str(path), "-key", str(paths.next_key))
        csr = system.run("openssl", "req", "-new", *files)
        pair = sign(config, index, system.read(paths.certificate), ca, csr) + key
        path.write_text(pair + ca)
        # Fails, like the next one, when certificate, key and CA do not belong together.
        system.run("openssl", "verify", "-CAfile", str(path), str(path))
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path)
        except ssl.SSLError as error:
            raise NodeError(f"Magnum's certificate is not for this key: {error}") from error
        end = system.run("openssl", "x509", "-in", str(path), "-noout", "-enddate")
    # Not the date in the certificate: Magnum sets that back by a day.
    now = time.time()
    expires = ssl.cert_time_to_seconds(end.strip().partition("=")[2])
    facts = {"issued": now, "expires": expires, "names": names, "issuer": issuer}
    system.write(paths.certificate, f"{json.dumps(facts)}\n{pair}", 0o600)
    paths.next_key.unlink(missing_ok=True)
    if not config.ca_certificate:
        system.write(paths.cluster_ca, ca)


def dress(config: Config, paths: Paths) -> bool:
    """Present and trust what the settings say; return whether that is something else."""
    pair, end, _ = system.read(paths.certificate).rpartition("KEY-----\n")
    changed = system.write(paths.certificate, pair + end + config.api_chain, 0o600)
    if config.ca_certificate:
        changed |= system.write(paths.cluster_ca, config.ca_certificate)
    return changed
