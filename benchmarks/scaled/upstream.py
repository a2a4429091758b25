# SPDX-License-Identifier: Apache-2.0
"""The layout of the driver that Magnum removed: a nested stack for each node.

Written anew for comparison, with the same resources for a worker: a wait condition with a handle of
its own, eleven software configurations that a twelfth joins, a port, a floating IP and a server.
Managers are left out, as their number does not grow.
"""

import json
from typing import Any

_CONFIGURATIONS = 11
_PARAMETERS = (
    "name",
    "image",
    "flavor",
    "key",
    "network",
    "subnet",
    "security_group",
    "external_network",
    "cluster",
    "magnum_url",
    "auth_url",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "api_address",
    "trustee_user",
    "trustee_password",
    "trust",
)


def node() -> dict[str, Any]:
    """Return the template of a node."""
    parts: dict[str, Any] = {
        f"part_{number}": {
            "type": "OS::Heat::SoftwareConfig",
            "properties": {"group": "ungrouped", "config": "#!/bin/sh\n" + "true\n" * 200},
        }
        for number in range(1, _CONFIGURATIONS)
    }
    words: dict[str, Any] = {f"${name.upper()}": {"get_param": name} for name in _PARAMETERS}
    words["$SIGNAL"] = {"get_attr": ["handle", "curl_cli"]}
    words["$ADDRESS"] = {"get_attr": ["port", "fixed_ips", 0, "ip_address"]}
    parts["part_0"] = {
        "type": "OS::Heat::SoftwareConfig",
        "properties": {
            "group": "ungrouped",
            "config": {
                "str_replace": {
                    "template": "#cloud-config\n# " + "\n# ".join(sorted(words)) + "\n",
                    "params": words,
                }
            },
        },
    }
    return {
        "heat_template_version": "2014-10-16",
        "parameters": {name: {"type": "string"} for name in _PARAMETERS},
        "resources": {
            "handle": {"type": "OS::Heat::WaitConditionHandle"},
            "ready": {
                "type": "OS::Heat::WaitCondition",
                "depends_on": "server",
                "properties": {"handle": {"get_resource": "handle"}, "timeout": 36000},
            },
            **parts,
            "whole": {
                "type": "OS::Heat::MultipartMime",
                "properties": {"parts": [{"config": {"get_resource": name}} for name in parts]},
            },
            "port": {
                "type": "OS::Neutron::Port",
                "properties": {
                    "network_id": {"get_param": "network"},
                    "security_groups": [{"get_param": "security_group"}],
                    "fixed_ips": [{"subnet_id": {"get_param": "subnet"}}],
                },
            },
            "floating": {
                "type": "OS::Neutron::FloatingIP",
                "properties": {
                    "floating_network": {"get_param": "external_network"},
                    "port_id": {"get_resource": "port"},
                },
            },
            "server": {
                "type": "OS::Nova::Server",
                "properties": {
                    "name": {"get_param": "name"},
                    "image": {"get_param": "image"},
                    "flavor": {"get_param": "flavor"},
                    "key_name": {"get_param": "key"},
                    "user_data_format": "RAW",
                    "user_data": {"get_resource": "whole"},
                    "networks": [{"port": {"get_resource": "port"}}],
                },
            },
        },
        "outputs": {
            "fixed": {"value": {"get_attr": ["port", "fixed_ips", 0, "ip_address"]}},
            "floating": {"value": {"get_attr": ["floating", "floating_ip_address"]}},
        },
    }


def stack(workers: int, network: str, subnet: str, external: str) -> dict[str, Any]:
    """Return what Heat is asked to make: arguments of heatclient's ``stacks.create``."""
    given: dict[str, Any] = dict.fromkeys(_PARAMETERS, "x" * 32)
    given |= {
        "name": {"list_join": ["-", [{"get_param": "OS::stack_name"}, "node", "%index%"]]},
        "image": "node-image",
        "flavor": "m1.small",
        "key": "key",
        "network": network,
        "subnet": subnet,
        "security_group": {"get_resource": "group"},
        "external_network": external,
    }
    template = {
        "heat_template_version": "2014-10-16",
        "parameters": {"count": {"type": "number"}},
        "resources": {
            "group": {
                "type": "OS::Neutron::SecurityGroup",
                "properties": {"rules": [{"protocol": name} for name in ("icmp", "tcp", "udp")]},
            },
            "nodes": {
                "type": "OS::Heat::ResourceGroup",
                "properties": {
                    "count": {"get_param": "count"},
                    "resource_def": {"type": "node.yaml", "properties": given},
                },
            },
        },
        "outputs": {
            name: {"value": {"get_attr": ["nodes", name]}} for name in ("fixed", "floating")
        },
    }
    return {
        "template": template,
        "files": {"node.yaml": json.dumps(node())},
        "parameters": {"count": workers},
    }
