# SPDX-License-Identifier: Apache-2.0
"""What properties are tested with: good values of every label, and text that means harm."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from oslo_config import types

from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.labels import types as label_types

# Each means something to a shell, YAML, JSON, HOT, Jinja, systemd or this package itself.
HOSTILE = (
    '"; reboot #',
    "$(reboot)`reboot`",
    "' || reboot '",
    "{get_file: /etc/passwd}",
    "{get_param: node_credential_secret}",
    "{'get_file': '/etc/passwd'}",
    '"}\\n',
    "}\n  runcmd: [reboot]",
    "- !!python/object/apply:os.system [reboot]",
    "&a *a",
    "{{ program }}{% raw %}",
    "@CONFIGURATION@",
    "%index%",
    "%n %i",
    "\u2028\u00a0\ufeff line",
    "'\\'\"\\\"",
    "nul\x00",
    "del\x7f",
    "bell\x07",
    "half\ud800",
    "null",
    "0x10",
    "1e9",
    "NaN",
    "\U0001f433" * 300,
)

HOSTILE_TEXT = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(),
    st.text(st.characters()),  # halves of characters, too
    st.builds(lambda a, b, c: a + b + c, st.text(), st.sampled_from(HOSTILE), st.text()),
)

_HOSTS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}", fullmatch=True)
_PORTS = st.integers(1, 65535)
_URLS = st.builds("{}://{}:{}".format, st.sampled_from(["http", "https"]), _HOSTS, _PORTS)


def _networks() -> st.SearchStrategy[str]:
    return st.builds("{}.0.0.0/{}".format, st.integers(20, 99), st.integers(9, 16))


def _port_ranges() -> st.SearchStrategy[str]:
    # Beside those that the nodes need for themselves.
    return st.builds(
        lambda first, more, protocol: f"{first}-{first + more}{protocol}",
        st.integers(8000, 60000),
        st.integers(0, 5000),
        st.sampled_from(["", "/tcp"]),
    )


def _named(name: str) -> st.SearchStrategy[str] | None:
    """Return good values of the labels whose pattern says it all."""
    strategies: Mapping[str, st.SearchStrategy[str]] = {
        "docker_version": st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,3}", fullmatch=True),
        "docker_repository": _URLS.map(lambda url: url + "/linux/debian"),
        "docker_repository_key": _HOSTS.map("https://{}/gpg".format),
        "log_address": st.builds(
            "{}://{}:{}".format, st.sampled_from(["udp", "tcp"]), _HOSTS, _PORTS
        ),
        "log_max_size": st.from_regex(r"[1-9][0-9]{0,5}[kmg]", fullmatch=True),
        "registry_mirrors": st.lists(_URLS, min_size=1, max_size=3).map(",".join),
        "published_ports": st.lists(_port_ranges(), min_size=1, max_size=4).map(" ".join),
        "availability_zone": st.text(
            st.characters(exclude_categories=("C", "Z"), exclude_characters=":"), max_size=40
        ),
        "boot_volume_type": st.sampled_from(["fast", "語", 'a"b', "$(x)", "{get_file: x}"]),
        "docker_volume_type": st.sampled_from(["", "fast", "__DEFAULT__", "- a: b"]),
    }
    return strategies.get(name)


def label_values(name: str) -> st.SearchStrategy[str]:
    """Return good values of a label, by its declaration; alone or with others they may clash."""
    kind = label_table.DECLARATIONS[name].type
    if (named := _named(name)) is not None:
        return named
    if isinstance(kind, label_types.NetworkList):
        return st.lists(_networks(), min_size=1, max_size=3).map(",".join)
    if isinstance(kind, label_types.IPv4Network):
        return _networks()
    if isinstance(kind, label_types.OptionalInteger):
        return st.one_of(st.just(0), st.integers(kind.least, kind.least + 1000)).map(str)
    if isinstance(kind, types.Integer):
        low = 0 if kind.min is None else int(kind.min)
        high = low + 1000 if kind.max is None else int(kind.max)
        return st.integers(low, high).map(str)
    if isinstance(kind, types.Boolean):
        return st.sampled_from(["true", "false"])
    if choices := getattr(kind, "choices", None):
        return st.sampled_from(sorted(choices))
    raise AssertionError(f"tests/unit/strategies.py has no values for the label {name}")


def label_maps() -> st.SearchStrategy[dict[str, Any]]:
    """Return any selection of labels with good values, of which most go together."""
    return st.fixed_dictionaries(
        {}, optional={name: label_values(name) for name in label_table.DECLARATIONS}
    ).map(_agreeing)


def _agreeing(values: dict[str, Any]) -> dict[str, Any]:
    """Add what the values need beside them."""
    found = dict(values)
    if found.get("log_driver") in ("gelf", "fluentd"):
        found["log_address"] = "tcp://logs.example.com:24224"
    elif "log_address" in found:
        found["log_driver"] = "syslog"
    if "boot_volume_type" in found:
        found["boot_volume_size"] = "10"
    if found.get("docker_repository", "").startswith("http:") or "docker_repository_key" in found:
        found.setdefault("docker_repository", "https://mirror.example.com/linux/debian")
        found.setdefault("docker_repository_key", "https://mirror.example.com/key")
    return found
