# SPDX-License-Identifier: Apache-2.0
"""Makes users, projects, roles, domains and the catalog in Keystone; can be run again."""

from typing import Any

from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3
from keystoneclient.v3 import client

from devcloud import configuration, passwords, settings

_HOST = f"http://{settings.HOST_ADDRESS}"
CATALOG = (  # name, type, URL
    ("glance", "image", f"{_HOST}:{settings.GLANCE_PORT}"),
    ("placement", "placement", f"{_HOST}:{settings.PLACEMENT_PORT}"),
    ("nova", "compute", f"{_HOST}:{settings.NOVA_PORT}/v2.1"),
    ("neutron", "network", f"{_HOST}:{settings.NEUTRON_PORT}"),
    ("heat", "orchestration", f"{_HOST}:{settings.HEAT_PORT}/v1/%(tenant_id)s"),
    ("heat-cfn", "cloudformation", f"{_HOST}:{settings.HEAT_CFN_PORT}/v1"),
    ("magnum", "container-infra", f"{_HOST}:{settings.MAGNUM_PORT}/v1"),
    ("cinder", "block-storage", f"{_HOST}:{settings.CINDER_PORT}/v3/%(tenant_id)s"),
    ("cinderv3", "volumev3", f"{_HOST}:{settings.CINDER_PORT}/v3/%(tenant_id)s"),
)


def _first(found: Any) -> Any:
    return next(iter(found), None)


class Identity:
    """Finds or makes what the services expect."""

    def __init__(self, keystone: Any, secrets: dict[str, str]) -> None:
        self._keystone = keystone
        self._secrets = secrets
        self._domain = keystone.domains.get("default")

    def _role(self, name: str) -> Any:
        roles = self._keystone.roles
        return _first(roles.list(name=name)) or roles.create(name)

    def _project(self, name: str) -> Any:
        projects = self._keystone.projects
        found = _first(projects.list(name=name, domain=self._domain))
        return found or projects.create(name, self._domain)

    def _user(self, name: str, password: str, domain: Any = None) -> Any:
        users = self._keystone.users
        domain = domain or self._domain
        found = _first(users.list(name=name, domain=domain))
        return found or users.create(name, domain=domain, password=password)

    def make_service_users(self) -> None:
        """One user per service, administrator in the project `service`."""
        project = self._project("service")
        for name in configuration.SERVICE_USERS:
            user = self._user(name, self._secrets["service"])
            for role in ("admin", "service"):
                self._keystone.roles.grant(self._role(role), user=user, project=project)

    def make_magnum_cleaner(self) -> None:
        """Magnum's user as administrator of the system, which lets it clean up after every user."""
        magnum = self._user("magnum", self._secrets["service"])
        self._keystone.roles.grant(self._role("admin"), user=magnum, system="all")

    def make_domains(self) -> None:
        """The domains of Heat's stack users and of Magnum's trustees, with their administrators."""
        domains = self._keystone.domains
        for name in ("heat", "magnum"):
            domain = _first(domains.list(name=name)) or domains.create(name)
            user = self._user(f"{name}_domain_admin", self._secrets[f"{name}_domain"], domain)
            self._keystone.roles.grant(self._role("admin"), user=user, domain=domain)

    def make_demo(self) -> None:
        """The project and user that people use."""
        self._role("heat_stack_user")
        owner = self._role("heat_stack_owner")
        project = self._project("demo")
        user = self._user("demo", self._secrets["demo"])
        for role in (self._role("member"), owner):
            self._keystone.roles.grant(role, user=user, project=project)
        admin = _first(self._keystone.users.list(name="admin", domain=self._domain))
        self._keystone.roles.grant(owner, user=admin, project=self._project("admin"))

    def make_catalog(self) -> None:
        """Every service with its three endpoints."""
        services, endpoints = self._keystone.services, self._keystone.endpoints
        for name, kind, url in CATALOG:
            service = _first(services.list(type=kind)) or services.create(name, kind)
            existing = {endpoint.interface for endpoint in endpoints.list(service=service)}
            for interface in ("public", "internal", "admin"):
                if interface not in existing:
                    endpoints.create(service, url, interface, region=settings.REGION)


def main() -> None:
    """Run all steps as the administrator."""
    secrets = passwords.read()
    auth = v3.Password(
        auth_url=settings.AUTH_URL,
        username="admin",
        password=secrets["admin"],
        project_name="admin",
        user_domain_name="Default",
        project_domain_name="Default",
    )
    identity = Identity(client.Client(session=keystone_session.Session(auth=auth)), secrets)
    identity.make_service_users()
    identity.make_magnum_cleaner()
    identity.make_domains()
    identity.make_demo()
    identity.make_catalog()


if __name__ == "__main__":
    main()
