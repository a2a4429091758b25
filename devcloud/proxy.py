# SPDX-License-Identifier: Apache-2.0
"""The proxy through which servers without an engine reach the Debian mirror: Squid.

It fetches from the one mirror that this machine's own apt is configured for, in the way that apt
would, and keeps the packages: a second node gets them from the disk. It listens on the host's
address in the cloud's external network and answers only who asks from that network, the host
itself excepted; everything but a GET or HEAD of the mirror is refused, and written down too. So
what an engine asks of a registry can be read in ``Place.requests``.

Squid runs as a user that owns nothing else, from a configuration of ours (squid.conf directives:
http://www.squid-cache.org/Doc/config/).
"""

import os
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcloud import commands, files, images, settings
from devcloud.processes import Service

UID = 64834  # see devcloud.infrastructure
URL = f"http://{settings.HOST_ADDRESS}:{settings.PROXY_PORT}"
_SQUID = "/usr/sbin/squid"
_CACHE_MIB = 2048
_TLS_PORT = 443


@dataclass(frozen=True)
class Place:
    """Where the proxy is, and for whom.

    :param directory: what it keeps.
    :param clients: first and last address that it answers.
    """

    directory: Path = settings.PROXY
    address: str = settings.HOST_ADDRESS
    port: int = settings.PROXY_PORT
    clients: tuple[str, str] = settings.EXTERNAL_POOL

    @property
    def configuration(self) -> Path:
        """Squid's configuration."""
        return self.directory / "squid.conf"

    @property
    def cache(self) -> Path:
        """Directory of the packages."""
        return self.directory / "cache"

    @property
    def requests(self) -> Path:
        """Log of all requests: time, address, result, bytes, method, URL."""
        return self.directory / "requests.log"


PLACE = Place()


@dataclass(frozen=True)
class Upstream:
    """Where packages come from.

    :param mirror: URL of the Debian mirror.
    :param proxy: URL of the proxy that this machine reaches it through; empty for none.
    """

    mirror: str
    proxy: str = ""


def configured_proxy(
    mirror: str, apt_configuration: Mapping[str, str], environment: Mapping[str, str]
) -> str:
    """The proxy that this machine's apt asks for the mirror; empty for none.

    As in apt.conf(5): the host's own setting comes before the method's, and that before the
    environment's; ``DIRECT`` is none.

    :param apt_configuration: values by their names in lower case.
    """
    parts = urllib.parse.urlsplit(mirror)
    general = f"acquire::{parts.scheme}::proxy"
    for name in (f"{general}::{parts.hostname}", general):
        if found := apt_configuration.get(name, ""):
            return "" if found.upper() == "DIRECT" else found
    lower = {name.lower(): value for name, value in environment.items()}
    exceptions = {"no": lower.get("no_proxy", "")}
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    if bypass(parts.hostname or "", exceptions):
        return ""
    return lower.get(f"{parts.scheme}_proxy", "")


def parse_apt_configuration(dump: str) -> dict[str, str]:
    """The values of `apt-config dump`, by their names in lower case."""
    pairs = (line.rstrip(";").partition(" ") for line in dump.splitlines())
    return {name.lower(): value.strip('"') for name, _, value in pairs}


def find_upstream() -> Upstream:
    """Where this machine's own packages come from.

    :raises CommandFailedError: apt cannot tell.
    """
    mirror = images.find_mirror(images.apt_sources())
    configuration = parse_apt_configuration(commands.run(["apt-config", "dump"]))
    return Upstream(mirror, configured_proxy(mirror, configuration, os.environ))


def _peer(upstream: Upstream) -> list[str]:
    """What Squid asks instead of the mirror as a server names it.

    Through a further proxy a mirror with TLS is asked for without it, as Squid makes no tunnel
    there; apt trusts signatures, not connections.
    """
    if upstream.proxy:
        parts = urllib.parse.urlsplit(upstream.proxy)
        login = ""
        if parts.username:
            user = f"{parts.username}:{parts.password or ''}"
            login = " login=" + user.replace("%", "%%")
        peer = f"{parts.hostname} parent {parts.port or 80} 0 no-query no-digest default{login}"
    else:
        parts = urllib.parse.urlsplit(upstream.mirror)
        if parts.scheme != "https":
            return []
        port = parts.port or _TLS_PORT
        peer = f"{parts.hostname} parent {port} 0 no-query no-digest originserver tls"
    return [f"cache_peer {peer}", "never_direct allow all"]


def configuration(upstream: Upstream, place: Place = PLACE) -> str:
    """Squid's configuration."""
    mirror = urllib.parse.urlsplit(images.mirror_for_nodes(upstream.mirror))
    lines = [
        f"http_port {place.address}:{place.port}",
        f"acl servers src {'-'.join(place.clients)}",
        f"acl mirror dstdomain {mirror.hostname}",
        f"acl mirror_port port {mirror.port or 80}",
        "acl reading method GET HEAD",
        "http_access allow servers mirror mirror_port reading",
        "http_access deny all",
        *_peer(upstream),
        # Two nodes that boot together fetch a package once.
        "collapsed_forwarding on",
        # Names with a version or a checksum never stand for anything else.
        r"refresh_pattern (\.deb$|/by-hash/) 129600 100% 129600",
        "refresh_pattern . 0 20% 60",
        "maximum_object_size 512 MB",
        "cache_mem 16 MB",
        f"cache_dir ufs {place.cache} {_CACHE_MIB} 16 64",
        "logformat devcloud %ts.%03tu %>a %Ss/%03>Hs %<st %rm %ru",
        f"access_log stdio:{place.requests} devcloud",
        "cache_log /dev/null",
        "cache_store_log none",
        "pid_filename none",
        f"coredump_dir {place.directory}",
        "netdb_filename none",
        "pinger_enable off",
        "visible_hostname devcloud",
        "via off",
        "forwarded_for delete",
        "shutdown_lifetime 1 seconds",
    ]
    return "\n".join(lines) + "\n"


def prepare(upstream: Upstream, place: Place = PLACE) -> None:
    """Write the configuration and make the cache.

    :raises CommandFailedError: Squid refuses the one or cannot make the other.
    """
    for path in (place.directory, place.cache):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, UID, UID)
        path.chmod(0o700)
    files.write(place.configuration, configuration(upstream, place), 0o600)
    os.chown(place.configuration, UID, UID)
    if not (place.cache / "00").exists():
        commands.run([_SQUID, "-N", "-z", "-f", place.configuration], uid=UID, cwd=place.directory)


def service(place: Place = PLACE) -> Service:
    """Squid, as one process that stays in the foreground."""
    text = ""
    if place.configuration.exists():
        text = place.configuration.read_text(encoding="utf-8")
    return Service(
        name="proxy",
        command=(_SQUID, "-N", "-d", "1", "-f", str(place.configuration)),
        address=f"{place.address}:{place.port}",
        inputs=(text,),
        stop_seconds=10,
        uid=UID,
    )
