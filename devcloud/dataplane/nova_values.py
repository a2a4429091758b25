# SPDX-License-Identifier: Apache-2.0
"""What Nova says about a server's ports and volumes, as values of a machine. Pure.

Nova's descriptions (``nova.network.model.VIF``, the connection information that Cinder's driver
gave) are dictionaries; without Nova they can be tested beside anything else.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from devcloud import settings
from devcloud.dataplane.machine_files import Interface, Volume


def interface(vif: Mapping[str, Any]) -> Interface:
    """Return one interface of a machine, from Nova's description of its port."""
    subnets = vif["network"]["subnets"]
    addresses, routes, gateway = [], [], ""
    for subnet in subnets:
        length = str(subnet["cidr"]).split("/")[1]
        addresses += [f"{item['address']}/{length}" for item in subnet["ips"]]
        for route in subnet.get("routes") or ():
            routes.append((str(route["cidr"]), str(route["gateway"]["address"])))
        if not gateway and (subnet.get("gateway") or {}).get("address"):
            gateway = str(subnet["gateway"]["address"])
    return Interface(
        id=vif["id"],
        mac=vif["address"],
        bridge=vif["details"]["bridge_name"],
        addresses=tuple(addresses),
        gateway=gateway,
        routes=tuple(routes),
        mtu=(vif["network"].get("meta") or {}).get("mtu") or settings.MTU,
    )


def nameservers(vifs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the name servers of all subnets, each once."""
    found: dict[str, None] = {}
    for vif in vifs:
        for subnet in vif["network"]["subnets"]:
            for server in subnet.get("dns") or ():
                found[str(server["address"])] = None
    return tuple(found)


def volume(connection_info: Mapping[str, Any], mountpoint: str) -> Volume:
    """Return one block device of a machine, from Cinder's description of the connection."""
    data = connection_info["data"]
    return Volume(
        id=data.get("volume_id") or connection_info["serial"],
        file=data["device_path"],
        device=mountpoint.split("/")[-1],
    )


def boot_source(image: str, mapping: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the image that a server is made of, and the volume that it boots from.

    :param image: of the server itself; empty where it boots from a volume.
    :param mapping: Nova's description of its block devices.
    :returns: ids; of the volume an empty text where there is none.
    """
    for item in mapping:
        if item.get("boot_index") == 0:
            data = item["connection_info"]["data"]
            return data.get("image_id") or image, volume(item["connection_info"], "vda").id
    return image, ""
