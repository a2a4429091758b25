# SPDX-License-Identifier: Apache-2.0
"""A manager's key and certificate: made here, signed by the cluster's CA through Magnum."""

import hashlib
import ipaddress
import json
import re
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

from ..base import openstack, system
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


def issue(paths: Paths, names: List[str], index: int, config: Config) -> None:
    """Make a key, have it signed, and put it in place together with CA and certificate.

    :raises Temporary: Magnum is not well
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
        curve = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        files = ("-nodes", "-config", str(path), "-keyout", f"{path}.key")
        csr = system.run("openssl", "req", "-new", "-newkey", *curve, *files)
        pair = openstack.sign(config, csr) + system.read(Path(f"{path}.key"))
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
    if not config.ca_certificate:
        system.write(paths.cluster_ca, ca)


def dress(config: Config, paths: Paths) -> bool:
    """Present and trust what the settings say; return whether that is something else."""
    pair, end, _ = system.read(paths.certificate).rpartition("KEY-----\n")
    changed = system.write(paths.certificate, pair + end + config.api_chain, 0o600)
    if config.ca_certificate:
        changed |= system.write(paths.cluster_ca, config.ca_certificate)
    return changed
