# SPDX-License-Identifier: Apache-2.0
"""A manager's key and certificate: made here, signed by the cluster's CA through Magnum."""

import ipaddress
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, FrozenSet, Iterable, List, Optional, Tuple

from . import system
from .config import Config
from .errors import NodeError
from .paths import Paths

# Share of its life after which a certificate is renewed: manager 0 at 60 %, 1 at 65 % … 4 at 80 %,
# so that never all managers renew at one moment and each has a fifth of the time to retry.
_FIRST_SHARE = 0.60
_STAGGER = 0.05
_STAGGERED = 5
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True)
class Certificate:
    """What is known of the certificate in use; times in seconds of the epoch."""

    issued: float
    expires: float
    names: FrozenSet[str]
    trusted: bool  # by the cluster's CA, now


def wanted_names(config: Config, index: int, host_name: str) -> List[str]:
    """Return the subject alternative names, as openssl writes them: IP:… and DNS:…"""
    own = config.managers[index]
    names = []
    for name in ["127.0.0.1", own.address, own.floating_address, *config.api_addresses, host_name]:
        try:
            entry = f"IP:{ipaddress.ip_address(name)}"
        except ValueError:
            # Names that no certificate can hold are nothing that a client could verify.
            entry = f"DNS:{name}" if _HOST_NAME.fullmatch(name) else ""
        if entry and entry not in names:
            names.append(entry)
    return names


def renewal_time(issued: float, expires: float, index: int) -> float:
    """Return when a manager renews its certificate, in seconds of the epoch."""
    share = _FIRST_SHARE + _STAGGER * (index % _STAGGERED)
    return issued + share * (expires - issued)


def check_interval(issued: float, expires: float) -> int:
    """Return how often to look at the certificate, in seconds: often in a short life."""
    return int(max(10, min(3600, (expires - issued) / 50)))


def reason_to_issue(
    current: Optional[Certificate], names: Iterable[str], index: int, now: float
) -> str:
    """Return why a new certificate is needed; empty when the present one is good."""
    if current is None:
        return "there is none"
    if not current.trusted:
        return "the cluster's CA does not vouch for it"
    missing = sorted(set(names) - current.names)
    if missing:
        return f"it lacks {', '.join(missing)}"
    if now >= renewal_time(current.issued, current.expires, index):
        return "most of its life is over"
    return ""


def parse_names(text: str) -> FrozenSet[str]:
    """Return the names in the output of "openssl x509 -ext subjectAltName"."""
    found = re.findall(r"(IP Address|DNS):([^,\s]+)", text)
    return frozenset(
        f"IP:{ipaddress.ip_address(value)}" if kind != "DNS" else f"DNS:{value}"
        for kind, value in found
    )


def inspect(paths: Paths) -> Optional[Certificate]:
    """Return what is known of the certificate in use, or None where there is none to read."""
    path = str(paths.certificate)
    if not paths.certificate.exists():
        return None
    try:
        text = system.run(
            "openssl", "x509", "-in", path, "-noout", "-dates", "-ext", "subjectAltName"
        )
    except NodeError:
        return None
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.*)$", text, re.M))
    begin = ssl.cert_time_to_seconds(dates["notBefore"])
    return Certificate(
        # Magnum dates certificates back by a day; the file's time is the truth for short lives.
        issued=max(begin, paths.certificate.stat().st_mtime),
        expires=ssl.cert_time_to_seconds(dates["notAfter"]),
        names=parse_names(text),
        trusted=_trusted(paths.cluster_ca, paths.certificate),
    )


def _trusted(ca: Path, certificate: Path) -> bool:
    try:
        system.run("openssl", "verify", "-CAfile", str(ca), str(certificate))
    except NodeError:
        return False
    return True


def request(names: Iterable[str], common_name: str) -> Tuple[str, str]:
    """Return a new private key and its signing request, both PEM.

    :raises NodeError: when openssl fails
    """
    settings = "\n".join(
        [
            "[req]",
            "distinguished_name=dn",
            "req_extensions=ext",
            "prompt=no",
            "[dn]",
            f"CN={common_name}",
            "[ext]",
            "keyUsage=digitalSignature,keyEncipherment",
            "extendedKeyUsage=serverAuth,clientAuth",
            f"subjectAltName={','.join(names)}",
            "",
        ]
    )
    key = system.run(
        "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "request.cnf")
        path.write_text(settings)
        csr = system.run(
            "openssl",
            "req",
            "-new",
            "-sha256",
            "-config",
            str(path),
            "-key",
            "/dev/stdin",
            stdin=key,
        )
    return key, csr


def issue(paths: Paths, names: Iterable[str], index: int, sign: Callable[[str], str]) -> None:
    """Make a key, have it signed, and put both in place at once.

    :param sign: returns the certificate for a signing request
    :raises NodeError: refused, or what came back does not belong to key and CA
    """
    key, csr = request(names, f"swarm-manager-{index}")
    certificate = sign(csr)
    ours = system.run("openssl", "pkey", "-pubout", stdin=key)
    theirs = system.run("openssl", "x509", "-noout", "-pubkey", stdin=certificate)
    new = paths.certificate.with_suffix(".new")
    system.write(new, certificate + key, 0o600)
    try:
        if ours != theirs:
            raise NodeError("Magnum's certificate is not for the key of this server")
        if not _trusted(paths.cluster_ca, new):
            raise NodeError("Magnum's certificate does not verify with the cluster's CA")
    except NodeError:
        new.unlink()
        raise
    new.replace(paths.certificate)
