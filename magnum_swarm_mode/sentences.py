# SPDX-License-Identifier: Apache-2.0
"""What the sentences for users have in common."""

from collections.abc import Iterable

# What the failure of each kind of request begins with, where nothing else in it says which one.
CREATION = "The creation of the cluster"
DELETION = "The deletion of the cluster"
CERTIFICATES = "The replacement of certificates"
CREDENTIAL = "The rotation of the credential"
HEALING = "The replacement of nodes that are down"

# What to do after a request for certificates that failed before anything was changed: Magnum calls
# the cluster failed, and then refuses to be asked again.
UNCHANGED = "Nothing was changed; before you try again, resize a node group to its present count."

_LENGTH = 64


def shown(value: object) -> str:
    """Return what somebody gave as it can stand in a sentence: one line, not too long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text if len(text) <= _LENGTH else text[:_LENGTH] + "…"


def change_of(groups: Iterable[str] = (), kind: str = "change") -> str:
    """Return words for a request about node groups, as "The change of default-worker".

    :param groups: their names; none where it is not known which.
    """
    return f"The {kind} of {', '.join(groups) or 'the cluster'}"


def failed(request: str, why: str, names: Iterable[str] = ()) -> str:
    """Return why a request has failed; it begins with the request unless that is said already.

    :param request: words for it, as "The creation of the cluster".
    :param names: of nodes, and words for groups, by which a user knows what has failed.
    """
    is_named = any(name in why for name in (request, *names) if name)
    return why if is_named else f"{request} failed: {why}"
