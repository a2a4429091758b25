# SPDX-License-Identifier: Apache-2.0
"""The archive with which a user reaches a cluster: certificates and scripts; pure."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile

_ADDRESS = re.compile(
    r"(?:tcp|https?)://(?P<host>[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})"
)
_SCRIPT = """\
#!/bin/sh
# Creates the docker context {name}, or updates it. Docker keeps a copy of the files.
set -eu
cd "$(dirname "$0")"
if docker context inspect {name} >/dev/null 2>&1; then action=update; else action=create; fi
docker context "$action" {name} \\
    --docker "host={host},ca=ca.pem,cert=cert.pem,key=key.pem"
echo "Try: docker --context {name} node ls"
"""
_POWERSHELL = """\
# Creates the docker context {name}, or updates it. Docker keeps a copy of the files.
Set-Location $PSScriptRoot
docker context inspect {name} *> $null
$action = if ($LASTEXITCODE -eq 0) {{ 'update' }} else {{ 'create' }}
docker context $action {name} --docker "host={host},ca=ca.pem,cert=cert.pem,key=key.pem"
"""
_README = """\
Client files of the cluster {name}
==================================

Anyone who has key.pem administers the cluster. Keep it secret.

With a docker context (Linux, macOS: docker-context.sh, Windows: docker-context.ps1):

    sh docker-context.sh
    docker --context {name} node ls

Or with variables of the environment, in this directory:

    export DOCKER_HOST={host} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$PWD"
    docker node ls
"""


@dataclasses.dataclass(frozen=True)
class Certificates:
    """What a client proves itself with, and checks managers with; texts in PEM."""

    ca: str
    certificate: str
    key: str


def docker_host(address: str | None) -> str | None:
    """Return a manager's address as docker writes it; None where there is none that is safe.

    :param address: Magnum's ``api_address``. What is not plainly host and port does not get into
        a script.
    """
    match = _ADDRESS.fullmatch(address or "")
    return f"tcp://{match['host']}:{match['port']}" if match else None


def context_name(name: str, uuid: str) -> str:
    """Return the name of the docker context: the cluster's, or its id where docker refuses that."""
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]{1,100}", name) else uuid


def archive(name: str, host: str, certificates: Certificates) -> bytes:
    """Return a zip archive with one directory; it is made in memory.

    :param name: what :func:`context_name` returned.
    :param host: what :func:`docker_host` returned.
    """
    values = {"name": name, "host": host}
    files = {
        "ca.pem": (certificates.ca, 0o644),
        "cert.pem": (certificates.certificate, 0o644),
        "key.pem": (certificates.key, 0o600),
        "docker-context.sh": (_SCRIPT.format(**values), 0o755),
        "docker-context.ps1": (_POWERSHELL.format(**values), 0o644),
        "README.txt": (_README.format(**values), 0o644),
    }
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for file, (text, mode) in files.items():
            entry = zipfile.ZipInfo(f"{name}/{file}")
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, text)
    return result.getvalue()
