# SPDX-License-Identifier: Apache-2.0
"""What a cluster's certificate authority is called.

Magnum calls it by the cluster's name, which may have 242 characters; the common name of a
certificate has 64 at most (RFC 5280, "ub-common-name"), which the cryptography library enforces in
octets. Without this, a cluster with a longer name fails while its certificates are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magnum_swarm_mode import admission

LONGEST_COMMON_NAME = 64  # octets


def common_name(name: str, uuid: str) -> str:
    """Return the cluster's name where a certificate can bear it, else its uuid."""
    return name if len(name.encode()) <= LONGEST_COMMON_NAME else uuid


def issuer_name(original: Callable[[Any], str], cluster: Any) -> str:
    """Stand around Magnum's ``_get_issuer_name``; other engines' clusters are left as they were."""
    name = original(cluster)
    if getattr(cluster.cluster_template, "coe", None) != admission.COE:
        return name
    return common_name(name, cluster.uuid)
