# SPDX-License-Identifier: Apache-2.0
"""Makes what a user finds in the cloud: networks, images, flavors, key pair; can be run again."""

from pathlib import Path
from typing import Any

import openstack

from devcloud import passwords, settings


def _connect(user: str, password: str) -> Any:
    return openstack.connect(
        auth={
            "auth_url": settings.AUTH_URL,
            "username": user,
            "password": password,
            "project_name": user,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        region_name=settings.REGION,
        load_yaml_config=False,
        load_envvars=False,
    )


def make_external_network(admin: Any) -> Any:
    """The network that floating IPs come from; its gateway is this machine."""
    network = admin.network.find_network(settings.EXTERNAL_NETWORK)
    network = network or admin.network.create_network(
        name=settings.EXTERNAL_NETWORK,
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network=settings.PHYSICAL_NETWORK,
    )
    first, last = settings.EXTERNAL_POOL
    name = f"{settings.EXTERNAL_NETWORK}-subnet"
    if admin.network.find_subnet(name) is None:
        admin.network.create_subnet(
            name=name,
            network_id=network.id,
            ip_version=4,
            cidr=settings.EXTERNAL_CIDR,
            gateway_ip=settings.HOST_ADDRESS,
            is_dhcp_enabled=False,
            allocation_pools=[{"start": first, "end": last}],
        )
    return network


def make_private_network(demo: Any, external: Any) -> None:
    """The demo project's network and subnet, with a router to the outside."""
    network = demo.network.find_network(settings.PRIVATE_NETWORK)
    network = network or demo.network.create_network(name=settings.PRIVATE_NETWORK)
    subnet = demo.network.find_subnet(settings.PRIVATE_SUBNET)
    subnet = subnet or demo.network.create_subnet(
        name=settings.PRIVATE_SUBNET,
        network_id=network.id,
        ip_version=4,
        cidr=settings.PRIVATE_CIDR,
        dns_nameservers=[settings.DNS_NAMESERVER],
    )
    router = demo.network.find_router(settings.ROUTER)
    router = router or demo.network.create_router(
        name=settings.ROUTER, external_gateway_info={"network_id": external.id}
    )
    ports = demo.network.ports(device_id=router.id, device_owner="network:router_interface")
    if not list(ports):
        demo.network.add_interface_to_router(router, subnet_id=subnet.id)


def make_image(admin: Any, name: str, root: str) -> None:
    """A Glance image that stands for the root file system ``root``, and the link that says so.

    The image's data is a placeholder: a server boots from the directory the link points to.
    """
    image = admin.image.find_image(name)
    if image is not None and image.status != "active":
        # Left by an interrupted run, before its data was there.
        admin.image.delete_image(image)
        image = None
    if image is None:
        placeholder = settings.STATE / f"{name}.raw"
        placeholder.write_text(f"root file system {root} of this machine\n", encoding="utf-8")
        image = admin.create_image(
            name,
            filename=str(placeholder),
            disk_format="raw",
            container_format="bare",
            visibility="public",
            wait=True,
            meta={"os_distro": settings.OS_DISTRO},
            allow_duplicates=False,
        )
        placeholder.unlink()
    link_image(image.id, root)


def link_image(image_id: str, root: str) -> None:
    """Make the link from a Glance image's id to a root file system, replacing another one."""
    settings.IMAGES_BY_ID.mkdir(parents=True, exist_ok=True)
    link = settings.IMAGES_BY_ID / image_id
    if link.is_symlink() and link.readlink() == Path("..") / root:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(Path("..") / root)


def make_flavors(admin: Any) -> None:
    """The flavors of the settings."""
    for name, (vcpus, memory, disk) in settings.FLAVORS.items():
        if admin.compute.find_flavor(name) is None:
            admin.compute.create_flavor(name=name, vcpus=vcpus, ram=memory, disk=disk)


def raise_quotas(admin: Any) -> None:
    """Room for several clusters of 11 servers. Networks and volumes have theirs as defaults."""
    project = admin.identity.find_project("demo")
    admin.set_compute_quotas(
        project.id,
        instances=100,
        cores=400,
        ram=1_000_000,
        server_groups=100,
        server_group_members=200,
        key_pairs=100,
    )


def make_keypair(demo: Any) -> None:
    """The key pair whose private half is in ``settings.SSH_KEY``."""
    public = settings.SSH_KEY.with_suffix(".pub").read_text(encoding="utf-8").strip()
    found = demo.compute.find_keypair(settings.KEYPAIR)
    if found is not None and found.public_key.split()[:2] != public.split()[:2]:
        demo.compute.delete_keypair(found)
        found = None
    if found is None:
        demo.compute.create_keypair(name=settings.KEYPAIR, public_key=public)


def main() -> None:
    """Run all steps."""
    secrets = passwords.read()
    admin = _connect("admin", secrets["admin"])
    demo = _connect("demo", secrets["demo"])
    external = make_external_network(admin)
    make_private_network(demo, external)
    for name, root in settings.GLANCE_IMAGES.items():
        make_image(admin, name, root)
    make_flavors(admin)
    raise_quotas(admin)
    make_keypair(demo)


if __name__ == "__main__":
    main()
