# SPDX-License-Identifier: Apache-2.0
"""What an installation needs: pure functions over what was seen of it.

Each returns a :class:`Finding`, whose text says what to change unless all is well.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import urllib.parse
from collections.abc import Collection, Mapping

from magnum_swarm_mode import constants

SERVICE_TYPE = "container-infra"
# The first release of Magnum that finds drivers, and with them swarm-mode, by itself.
_LEARNS_BY_ITSELF = 23
_LOCAL_SUFFIXES = (".local", ".localdomain", ".internal", ".lan")


class Level(enum.IntEnum):
    """How bad it is; the values are the exit codes of upgrade checks in OpenStack."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found, as a sentence for the operator."""

    level: Level
    text: str


def success(text: str) -> Finding:
    """Nothing is to be done."""
    return Finding(Level.SUCCESS, text)


def warning(text: str) -> Finding:
    """Something may be wrong, or will be."""
    return Finding(Level.WARNING, text)


def failure(text: str) -> Finding:
    """Clusters will not work."""
    return Finding(Level.FAILURE, text)


def registered(release: str, hook: bool, installed: bool, disabled: Collection[str]) -> Finding:
    """Look at whether Magnum will know swarm-mode.

    :param release: Magnum's version.
    :param hook: whether ``config_source`` leads to this package.
    :param installed: whether Magnum finds the driver's entry point.
    :param disabled: ``[drivers] disabled_drivers``.
    """
    if not installed:
        return failure(
            "Magnum finds no driver swarm_mode: install magnum-swarm-mode[server] into the Python "
            "environment that magnum-api and magnum-conductor run in."
        )
    if constants.ENTRY_POINT in disabled:
        return failure("Take swarm_mode out of [drivers] disabled_drivers.")
    advice = (
        "set config_source = swarm_mode in [DEFAULT] and driver = magnum_swarm_mode in "
        "[swarm_mode], for magnum-api and magnum-conductor"
    )
    if hook:
        return success(f"Magnum {release} learns swarm-mode from its configuration.")
    if int(release.partition(".")[0]) >= _LEARNS_BY_ITSELF:
        return success(
            f"Magnum {release} learns swarm-mode from the installed driver; to be independent of "
            f"that, {advice}."
        )
    return failure(f"Magnum {release} does not know swarm-mode: {advice}.")


def service_type(value: str | None) -> Finding:
    """Look at what Keystone's middleware calls this service."""
    if value == SERVICE_TYPE:
        return success(f"[keystone_authtoken] service_type is {SERVICE_TYPE}.")
    return failure(
        f"Set service_type = {SERVICE_TYPE} in [keystone_authtoken] (it is {value or 'not set'}): "
        "without it Keystone's middleware refuses every call of the managers, which may make a few "
        "calls of this service only."
    )


def region(configured: str | None, known: Collection[str]) -> Finding:
    """Look at whether it is clear in which region clusters are made.

    :param configured: what Magnum's clients are told.
    :param known: regions of the catalogue.
    """
    names = ", ".join(sorted(known)) or "none"
    if configured and configured not in known:
        return failure(
            f"Region {configured} of [heat_client] region_name is not in the catalogue (there: "
            f"{names}); correct it, and that of Magnum's other clients."
        )
    if not configured and len(known) > 1:
        return failure(
            f"The catalogue has several regions ({names}): set region_name in [heat_client], and "
            "likewise for Magnum's other clients, to the one in which clusters are made."
        )
    return success(f"Clusters are made in region {configured or names}.")


def endpoints(found: Mapping[str, str | None]) -> Finding:
    """Look at the public endpoints that nodes use.

    :param found: type of service to its public URL; None where there is none.
    """
    absent = [kind for kind, url in found.items() if not url]
    if absent:
        return failure(
            f"The catalogue has no public endpoint of {', '.join(absent)} in the region of the "
            "clusters; create it (openstack endpoint create)."
        )
    urls = {kind: str(url) for kind, url in found.items()}
    unreachable = {kind: url for kind, url in urls.items() if _is_own_host(url)}
    if unreachable:
        return failure(
            f"Nodes cannot reach {_listed(unreachable)}, for there it is the node itself that "
            "answers: give the public endpoint an address that servers in tenants' networks reach."
        )
    internal = {kind: url for kind, url in urls.items() if _is_internal_name(url)}
    if internal:
        return warning(
            f"Nodes may not know the name in {_listed(internal)}: the public endpoint needs a full "
            "name that the nodes' DNS servers resolve, or an address."
        )
    plain = {kind: url for kind, url in urls.items() if not url.startswith("https://")}
    if plain:
        return warning(
            f"Nodes send their credentials in clear text to {_listed(plain)}: serve the public "
            "endpoints by https, and name their CA in [drivers] openstack_ca_file."
        )
    return success("The public endpoints are such that nodes can reach them.")


def _listed(urls: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} ({url})" for kind, url in urls.items())


def _host(url: str) -> str:
    return (urllib.parse.urlsplit(url).hostname or "").rstrip(".").lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_own_host(url: str) -> bool:
    host = _host(url)
    address = _address(host)
    if address is None:
        return not host or host == "localhost" or host.startswith("localhost.")
    return address.is_loopback or address.is_unspecified or address.is_link_local


def _is_internal_name(url: str) -> bool:
    host = _host(url)
    return _address(host) is None and ("." not in host or host.endswith(_LOCAL_SUFFIXES))


def trust(release: str, options: Mapping[str, str | None] | None) -> Finding:
    """Look at what Magnum up to 22 needs to make a user for each cluster.

    :param options: those of ``[trust]``; None where Magnum has no such group.
    """
    if options is None:
        return success(f"Magnum {release} needs no [trust].")
    missing = [
        f"trustee_domain{what}"
        for what, names in (
            ("_name", ("trustee_domain_id", "trustee_domain_name")),
            ("_admin_name", ("trustee_domain_admin_id", "trustee_domain_admin_name")),
            ("_admin_password", ("trustee_domain_admin_password",)),
        )
        if not any(options.get(name) for name in names)
    ]
    if missing:
        return failure(
            f"Magnum {release} makes a user for each cluster, whatever the driver; set "
            f"{', '.join(missing)} in [trust], with a domain of their own and its administrator in "
            "Keystone."
        )
    return success("[trust] is set.")


def conductors(alive: int, dialect: str, host: str | None) -> Finding:
    """Look at how many conductors there are, and at what they share.

    :param alive: how many have reported in the last minutes.
    :param host: ``[DEFAULT] host``.
    :param dialect: SQLAlchemy's name of the kind of database.
    """
    if not alive:
        return warning("No magnum-conductor has reported lately; start it.")
    if dialect == "sqlite":
        return failure(
            "SQLite cannot be shared by Magnum's processes: use MySQL, MariaDB or PostgreSQL in "
            "[database] connection."
        )
    if not host:
        return warning(
            "Set host in [DEFAULT] to a name of its own on each host: magnum-conductors without it "
            "count as one in magnum service-list."
        )
    if alive == 1:
        return success("One magnum-conductor has reported.")
    return success(
        f"{alive} magnum-conductors have reported; they share clusters through Magnum's database "
        "and need nothing else, but [DEFAULT] host must differ between them."
    )


def certificates(backend: str, has_barbican: bool) -> Finding:
    """Look at where the clusters' certificates are kept.

    :param backend: ``[certificates] cert_manager_type``.
    :param has_barbican: whether the catalogue has a public or internal endpoint of Barbican.
    """
    if backend == "x509keypair":
        return success("Certificates are kept in Magnum's database.")
    if backend == "barbican":
        if has_barbican:
            return success("Certificates are kept in Barbican.")
        return failure(
            "[certificates] cert_manager_type is barbican, but the catalogue has no endpoint of "
            "type key-manager: install Barbican, or set it to x509keypair."
        )
    return failure(
        f"[certificates] cert_manager_type is {backend}, which keeps keys in files of one host: "
        "set it to barbican, or to x509keypair, which keeps them in Magnum's database."
    )


def messaging(scheme: str, silent: Mapping[str, str], hosts: int) -> Finding:
    """Look at the message queue.

    :param scheme: of ``[DEFAULT] transport_url``.
    :param silent: hosts that do not answer, and why.
    :param hosts: how many are named.
    """
    if scheme in ("fake", "kombu+memory"):
        return failure(
            f"[DEFAULT] transport_url is {scheme}:, which ends at the process: name the message "
            "queue that magnum-api and magnum-conductor share."
        )
    if not silent:
        return success("The message queue answers.")
    why = "; ".join(f"{host}: {reason}" for host, reason in silent.items())
    if len(silent) < hosts:
        return warning(f"Some hosts of [DEFAULT] transport_url do not answer ({why}).")
    return failure(
        f"The message queue of [DEFAULT] transport_url does not answer ({why}): start it, or "
        "correct the option."
    )


def table(present: str | None, head: str | None, known: Collection[str]) -> Finding:
    """Look at the version of the table that this package has in Magnum's database.

    :param present: its revision; None where there is no table.
    :param head: the newest revision that this release knows.
    """
    if present == head:
        return success("The table of swarm-mode clusters is of this release.")
    if present is not None and present not in known:
        return warning(
            f"The table of swarm-mode clusters is of a newer release (revision {present}): bring "
            "magnum-swarm-mode on this host to the release of the other hosts."
        )
    state = "is not there yet" if present is None else f"is of an older release ({present})"
    return success(
        f"The table of swarm-mode clusters {state}; the first magnum-conductor that needs it "
        "brings it up to date, for which Magnum's database user needs the right to create tables."
    )


def templates(path: str, missing: Collection[str], problems: Collection[str]) -> Finding:
    """Look at the operator's own copy of the templates.

    :param path: ``[swarm_mode] template_path``.
    :param missing: files of this release that the copy lacks.
    :param problems: what else is wrong with it.
    """
    if not path:
        return success("The templates of the package are used.")
    wrong = [*(f"{name} is missing" for name in sorted(missing)), *problems]
    if wrong:
        return failure(
            f"[swarm_mode] template_path = {path}: {'; '.join(wrong)}. Copy the templates of this "
            "release anew and make your changes again, or unset the option."
        )
    return success(f"The templates in {path} are complete.")


def options(problem: str) -> Finding:
    """Look at ``[swarm_mode]``, with the operator's defaults for labels.

    :param problem: why a value is not valid; empty when all are.
    """
    if problem:
        return failure(f"[swarm_mode] in magnum.conf is not valid: {problem}")
    return success("All options and the defaults of all labels are valid.")


def old_clusters(count: int, has_trusts: bool) -> Finding:
    """Look at clusters of the Swarm drivers of Magnum up to 17.

    :param has_trusts: whether Magnum still knows those clusters' users in Keystone.
    """
    if not count:
        return success("There is no cluster of the Swarm drivers of Magnum up to 17.")
    hint = (
        "before Magnum is upgraded to 23, which forgets the users that they have in Keystone"
        if has_trusts
        else "and remove the users that they have in the domain of [trust], which are named by the "
        "cluster's uuid"
    )
    return warning(
        f"Clusters of the Swarm drivers of Magnum up to 17: {count}. They can only be deleted; do "
        f"that {hint}."
    )
