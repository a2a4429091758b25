# SPDX-License-Identifier: Apache-2.0
"""The configuration files of all services, rendered from settings and passwords.

``render`` is pure; ``write`` puts the files below ``settings.ETC``, readable by root only. The
options were found by running these releases; what is unobvious is explained where it is set.
"""

import uuid
from collections.abc import Mapping

from devcloud import files, settings
from devcloud.releases import ALL, DEFAULT, Release

Section = dict[str, str]
Sections = dict[str, Section]

_VENV_ETC = f"{settings.VENV}/etc"
_KEYSTONE = f"http://{settings.HOST_ADDRESS}:{settings.KEYSTONE_PORT}"
_MEMCACHED = f"{settings.LOOPBACK}:{settings.MEMCACHED_PORT}"
DATABASES = (
    "keystone",
    "glance",
    "placement",
    "nova_api",
    "nova",
    "nova_cell0",
    "neutron",
    "heat",
    *(release.database for release in ALL),
    "cinder",
)
SERVICE_USERS = ("glance", "placement", "nova", "neutron", "heat", "magnum", "cinder")


def ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    """The text of an oslo.config file."""
    parts = []
    for name, options in sections.items():
        lines = [f"[{name}]", *(f"{key} = {value}" for key, value in options.items())]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def database_url(database: str, password: str) -> str:
    """The SQLAlchemy URL of one of our databases."""
    return (
        f"mysql+pymysql://os:{password}@{settings.LOOPBACK}:{settings.DATABASE_PORT}"
        # Without the last word every new connection would read all certificates of the host.
        f"/{database}?charset=utf8&ssl_disabled=true"
    )


def _database(database: str, passwords: Mapping[str, str]) -> Section:
    return {
        "connection": database_url(database, passwords["database"]),
        # A service has up to this many threads that ask the database at once.
        "max_pool_size": "32",
        "max_overflow": "32",
        "connection_recycle_time": "600",
    }


def _default(service: str, passwords: Mapping[str, str]) -> Section:
    rabbit = f"openstack:{passwords['rabbit']}@{settings.LOOPBACK}:{settings.RABBIT_PORT}"
    return {
        "transport_url": f"rabbit://{rabbit}/",
        "state_path": f"{settings.STATE}/{service}",
        "use_stderr": "true",
        "rpc_response_timeout": "120",
        "executor_thread_pool_size": "32",
    }


def _user(name: str, passwords: Mapping[str, str], **more: str) -> Section:
    return {
        "auth_type": "password",
        "auth_url": settings.AUTH_URL,
        "username": name,
        "password": passwords["service"],
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": settings.REGION,
        **more,
    }


def _token(name: str, passwords: Mapping[str, str], **more: str) -> Section:
    return _user(
        name,
        passwords,
        www_authenticate_uri=_KEYSTONE,
        # One service's answer of Keystone about a token serves all.
        memcached_servers=_MEMCACHED,
        service_token_roles="service",
        service_token_roles_required="true",
        **more,
    )


def _cache() -> Section:
    return {
        "enabled": "true",
        "backend": "dogpile.cache.pymemcache",
        "memcache_servers": _MEMCACHED,
    }


def _common(service: str, database: str, passwords: Mapping[str, str]) -> Sections:
    return {
        "database": _database(database, passwords),
        "keystone_authtoken": _token(service, passwords),
        "oslo_messaging_rabbit": {"heartbeat_timeout_threshold": "60"},
        "oslo_concurrency": {"lock_path": f"{settings.STATE}/{service}/tmp"},
    }


def _keystone(passwords: Mapping[str, str]) -> Sections:
    keys = f"{settings.DATA}/keystone"
    return {
        "DEFAULT": {"use_stderr": "true"},
        "database": _database("keystone", passwords),
        "token": {"provider": "fernet", "expiration": "86400"},
        # The least bcrypt allows: at its default each login costs a quarter of a second.
        "identity": {"password_hash_rounds": "4"},
        "fernet_tokens": {"key_repository": f"{keys}/fernet"},
        "fernet_receipts": {"key_repository": f"{keys}/fernet"},
        "credential": {"key_repository": f"{keys}/credential"},
        "cache": _cache(),
    }


def _glance(passwords: Mapping[str, str]) -> Sections:
    store = f"{settings.DATA}/glance"
    return {
        "DEFAULT": {
            **_default("glance", passwords),
            "bind_host": settings.HOST_ADDRESS,
            "enabled_backends": "file:file",
        },
        **_common("glance", "glance", passwords),
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": f"{_VENV_ETC}/glance/glance-api-paste.ini",
        },
        "glance_store": {"default_backend": "file"},
        "file": {"filesystem_store_datadir": f"{store}/images"},
        "os_glance_staging_store": {"filesystem_store_datadir": f"{store}/staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": f"{store}/tasks"},
    }


def _placement(passwords: Mapping[str, str]) -> Sections:
    common = _common("placement", "placement", passwords)
    return {
        "DEFAULT": {"use_stderr": "true"},
        "placement_database": common.pop("database"),
        "api": {"auth_strategy": "keystone"},
        **common,
    }


def _nova(passwords: Mapping[str, str]) -> Sections:
    neutron = {
        "service_metadata_proxy": "true",
        "metadata_proxy_shared_secret": passwords["metadata"],
    }
    return {
        "DEFAULT": {
            **_default("nova", passwords),
            "my_ip": settings.HOST_ADDRESS,
            "host": settings.COMPUTE_HOST,
            "compute_driver": settings.NOVA_DRIVER,
            "instances_path": str(settings.NODES),
            # Ports are bound and active without an agent, so there is no event to wait for.
            "vif_plugging_is_fatal": "false",
            "vif_plugging_timeout": "0",
            "resume_guests_state_on_host_boot": "true",
            # A server deleted while nova-compute was away is gone from the database only.
            "running_deleted_instance_action": "reap",
            "running_deleted_instance_poll_interval": "60",
            "running_deleted_instance_timeout": "0",
            "report_interval": "5",
            "service_down_time": "20",
            "cpu_allocation_ratio": "16",
            "ram_allocation_ratio": "4",
            "disk_allocation_ratio": "4",
            "reserved_host_memory_mb": "0",
            "max_concurrent_builds": "4",
            "sync_power_state_interval": "30",
        },
        "api_database": _database("nova_api", passwords),
        **_common("nova", "nova", passwords),
        "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": f"{_VENV_ETC}/nova/api-paste.ini"},
        "service_user": _user("nova", passwords, send_service_user_token="true"),
        "keystone": _user("nova", passwords),
        "placement": _user("placement", passwords),
        "glance": _user("nova", passwords),
        "neutron": _user("neutron", passwords, **neutron),
        "cinder": _user("nova", passwords, os_region_name=settings.REGION),
        "scheduler": {"discover_hosts_in_cells_interval": "30", "workers": "1"},
        "conductor": {"workers": "1"},
        "vnc": {"enabled": "false"},
        "upgrade_levels": {"compute": "auto"},
    }


def _nova_compute(passwords: Mapping[str, str]) -> Sections:
    # nova-compute refuses to start when its configuration names a database.
    without = ("api_database", "database")
    return {name: options for name, options in _nova(passwords).items() if name not in without}


def _neutron(passwords: Mapping[str, str]) -> Sections:
    return {
        "DEFAULT": {
            **_default("neutron", passwords),
            "core_plugin": "ml2",
            "service_plugins": "router",
            "auth_strategy": "keystone",
            "api_workers": "1",
            "rpc_workers": "0",
            "notify_nova_on_port_status_changes": "false",
            "notify_nova_on_port_data_changes": "false",
            "api_paste_config": f"{_VENV_ETC}/neutron/api-paste.ini",
            "host": settings.COMPUTE_HOST,
            "dns_domain": "novalocal.",
            "network_scheduler_driver": "neutron.scheduler.dhcp_agent_scheduler.WeightScheduler",
            "global_physnet_mtu": str(settings.MTU),
        },
        **_common("neutron", "neutron", passwords),
        "nova": _user("nova", passwords),
        "placement": _user("placement", passwords),
        "ml2": {
            "type_drivers": "flat,local",
            "tenant_network_types": "local",
            "mechanism_drivers": settings.NEUTRON_MECHANISM_DRIVER,
            "extension_drivers": "port_security,dns",
        },
        "ml2_type_flat": {"flat_networks": settings.PHYSICAL_NETWORK},
        "securitygroup": {"enable_security_group": "true"},
        # A cluster of 11 servers with its groups, rules and ports must fit many times over.
        "quotas": {
            "quota_network": "100",
            "quota_subnet": "100",
            "quota_port": "2000",
            "quota_router": "50",
            "quota_floatingip": "200",
            "quota_security_group": "200",
            "quota_security_group_rule": "4000",
        },
    }


def _heat(passwords: Mapping[str, str]) -> Sections:
    cfn = f"http://{settings.HOST_ADDRESS}:{settings.HEAT_CFN_PORT}"
    return {
        "DEFAULT": {
            **_default("heat", passwords),
            "region_name_for_services": settings.REGION,
            "heat_metadata_server_url": cfn,
            "heat_waitcondition_server_url": f"{cfn}/v1/waitcondition",
            "stack_user_domain_name": "heat",
            "stack_domain_admin": "heat_domain_admin",
            "stack_domain_admin_password": passwords["heat_domain"],
            "num_engine_workers": "2",
            "deferred_auth_method": "trusts",
            "auth_encryption_key": passwords["heat_encryption"],
            "environment_dir": f"{_VENV_ETC}/heat/environment.d",
            "template_dir": f"{_VENV_ETC}/heat/templates",
            "plugin_dirs": "",
        },
        "paste_deploy": {"api_paste_config": f"{_VENV_ETC}/heat/api-paste.ini"},
        **_common("heat", "heat", passwords),
        # A trust is a scope of its own: with a project beside it none of Heat's could be used.
        "trustee": {
            name: value
            for name, value in _user("heat", passwords).items()
            if not name.startswith("project_")
        },
        "clients_keystone": {"auth_uri": _KEYSTONE},
        "clients": {"endpoint_type": "publicURL"},
        # Each node's template names the same image, flavor, key and network: Heat asks for each of
        # them once, not once a node. What is deleted and made anew is found within a minute.
        "cache": _cache(),
        "constraint_validation_cache": {"expiration_time": "60"},
        "resource_finder_cache": {"expiration_time": "60"},
    }


def _magnum(passwords: Mapping[str, str], release: Release) -> Sections:
    sections: Sections = {
        "DEFAULT": {
            **_default("magnum", passwords),
            "host": settings.COMPUTE_HOST,
            "config_source": "swarm_mode",
        },
        **_common("magnum", release.database, passwords),
        "api": {
            "host": settings.HOST_ADDRESS,
            "port": str(settings.MAGNUM_PORT),
            "api_paste_config": f"{release.venv}/etc/magnum/api-paste.ini",
        },
        "keystone_auth": _user("magnum", passwords),
        "trust": {
            "trustee_domain_name": "magnum",
            "trustee_domain_admin_name": "magnum_domain_admin",
            "trustee_domain_admin_password": passwords["magnum_domain"],
            "trustee_keystone_interface": "public",
            "cluster_user_trust": "true",
        },
        "certificates": {"cert_manager_type": "x509keypair"},
        "conductor": {"workers": "1"},
        # A minute otherwise, which tests would wait for again and again.
        "kubernetes": {"health_polling_interval": "6"},
        "oslo_messaging_notifications": {"driver": "noop"},
    }
    # Without it every call with a credential that has access rules is refused.
    sections["keystone_authtoken"]["service_type"] = "container-infra"
    sections["swarm_mode"] = {
        "driver": "magnum_swarm_mode",
        # Managers see the conductor as this machine.
        "conductor_cidrs": f"{settings.HOST_ADDRESS}/32",
    }
    return sections


def _cinder(passwords: Mapping[str, str]) -> Sections:
    return {
        "DEFAULT": {
            **_default("cinder", passwords),
            "my_ip": settings.HOST_ADDRESS,
            "host": settings.COMPUTE_HOST,
            "enabled_backends": "sparse",
            "default_volume_type": "__DEFAULT__",
            "auth_strategy": "keystone",
            "api_paste_config": f"{_VENV_ETC}/cinder/api-paste.ini",
            "glance_api_servers": f"http://{settings.HOST_ADDRESS}:{settings.GLANCE_PORT}",
            "rootwrap_config": f"{_VENV_ETC}/cinder/rootwrap.conf",
            "image_conversion_dir": f"{settings.STATE}/cinder/conversion",
            "osapi_volume_workers": "1",
            "resource_query_filters_file": f"{_VENV_ETC}/cinder/resource_filters.json",
            "quota_volumes": "200",
            "quota_gigabytes": "5000",
            "per_volume_gigabytes_limit": "-1",
        },
        "sparse": {
            "volume_driver": settings.CINDER_DRIVER,
            "volume_backend_name": "sparse",
            "sparse_dir": str(settings.VOLUMES),
        },
        **_common("cinder", "cinder", passwords),
        "service_user": _user("cinder", passwords, send_service_user_token="true"),
        "nova": _user("nova", passwords),
    }


FILES = (
    "keystone/keystone.conf",
    "glance/glance-api.conf",
    "placement/placement.conf",
    "nova/nova.conf",
    "nova-compute/nova-compute.conf",
    "neutron/neutron.conf",
    "heat/heat.conf",
    "magnum/magnum.conf",
    "cinder/cinder.conf",
)


def render(passwords: Mapping[str, str], *, release: Release = DEFAULT) -> dict[str, str]:
    """All configuration files: path below ``settings.ETC`` → text.

    :param release: the release of Magnum that shall run.
    """
    return {
        "keystone/keystone.conf": ini(_keystone(passwords)),
        "glance/glance-api.conf": ini(_glance(passwords)),
        "placement/placement.conf": ini(_placement(passwords)),
        "nova/nova.conf": ini(_nova(passwords)),
        "nova-compute/nova-compute.conf": ini(_nova_compute(passwords)),
        "neutron/neutron.conf": ini(_neutron(passwords)),
        "heat/heat.conf": ini(_heat(passwords)),
        "magnum/magnum.conf": ini(_magnum(passwords, release)),
        "cinder/cinder.conf": ini(_cinder(passwords)),
    }


def write(rendered: Mapping[str, str]) -> None:
    """Put the files in place, with what the services expect beside them."""
    for name, text in rendered.items():
        files.write(settings.ETC / name, text, 0o600)
    # nova's WSGI module makes paste read the first of its files: api-paste.ini beside nova.conf.
    paste = (settings.VENV / "etc/nova/api-paste.ini").read_text(encoding="utf-8")
    files.write(settings.ETC / "nova/api-paste.ini", paste)
    for service in ("keystone", *SERVICE_USERS):
        (settings.STATE / service / "tmp").mkdir(parents=True, exist_ok=True)
    # nova-compute's second start fails unless this equals the uuid that the driver reports.
    node = str(uuid.uuid5(uuid.NAMESPACE_DNS, settings.COMPUTE_HOST))
    files.write(settings.STATE / "nova/compute_id", node)
