# SPDX-License-Identifier: Apache-2.0
"""What users read whose cluster or template cannot be made, at Magnum's own API.

Each case is one of ``doc/source/cases/refusals.yaml`` and leaves nothing behind: no row, no message
to the conductor, no request that would change anything in another service.
"""

import time

from tests import cases
from tests.fakes.wire import Mood
from tests.functional.api import fake_cloud, test_clusters

SERVICES = ("image", "compute", "network", "block-storage", "orchestration", "identity")
DEADLINE = 1.0
# The service's time, and what the API itself takes on a busy machine.
SOON = DEADLINE + 4.0


OTHER = "0" * 32
# Each test leaves a cluster of its own in the database.
MANY = "[quotas]\nmax_clusters_per_project = 1000"


class RefusalCase(test_clusters.ClusterCase):
    """Each test starts with the cloud and the template as they should be."""

    service_options = {"extra": MANY}

    def setUp(self):
        super().setUp()
        self.cloud = self.service.cloud
        self.cloud.reset()
        self.good = self.create_template()
        # The marker that settling makes.
        self.settle()

    def token(self):
        """A token with a catalogue of now."""
        return self.cloud.token(f"fresh-{time.monotonic_ns()}")

    def assert_case(self, ident, call, answer=400, within=5.0):
        """Check that a call is answered as a case says, soon, and leaves nothing behind."""
        before = self.settle(), self.service.rows(), list(self.cloud.changes)
        began = time.monotonic()
        got = call()
        seconds = time.monotonic() - began
        self.assertEqual(answer, got.status_code, got.text + self.service.output[-3000:])
        cases.shown(self, ident, self.sentence(got), answer=got.status_code, seconds=seconds)
        self.assertLess(seconds, within)
        self.assertEqual(before, (self.settle(), self.service.rows(), list(self.cloud.changes)))

    def assert_cluster(self, ident, template=None, token="demo", within=5.0, answer=400, **fields):
        """Check what is answered to a cluster."""
        self.assert_case(
            ident,
            lambda: self.post(template or self.good, token=token, **fields),
            answer=answer,
            within=within,
        )

    def assert_template(self, ident, token="demo", answer=400, **fields):
        """Check what is answered to a template."""
        self.assert_case(
            ident,
            lambda: self.service.call(
                "POST", "/v1/clustertemplates", self.template(**fields), token=token
            ),
            answer=answer,
        )


class RefusalTest(RefusalCase):
    """What is refused while all services are well."""

    # Values that no cloud could honour

    def test_labels(self):
        """A label that is unknown, bad or contradicts another."""
        self.assert_cluster("label-unknown", labels={"join_timeuot": "60"})
        self.assert_cluster("label-value", labels={"join_timeout": "soon"})
        self.assert_template("label-unknown", labels={"availabilty_zone": "nova"})

    def test_counts(self):
        """Numbers of managers and workers."""
        self.assert_cluster("managers-even", master_count=4)
        self.assert_cluster("managers-zero", master_count=0)
        self.assert_cluster("managers-many", master_count=1001)
        self.assert_cluster("workers-negative", node_count=-1)
        self.assert_cluster("workers-many", node_count=10**30)

    def test_reachability(self):
        """Managers that Magnum could not reach."""
        self.assert_cluster("no-floating-ip", floating_ip_enabled=False)
        self.assert_cluster("api-cidrs", labels={"api_allowed_cidrs": "192.0.2.0/24"})

    def test_names_and_texts(self):
        """Names and texts that would not arrive as they are."""
        self.assert_cluster("cluster-name", name="$(reboot)")
        self.assert_cluster("cluster-name", name="swarm\N{PILE OF POO}")
        self.assert_template("control-character", name="a\x00b")
        self.assert_template("emoji", tags="\N{PILE OF POO}")
        self.assert_template("index", keypair_id="%index%")

    def test_names_in_other_scripts(self):
        """Letters of any script make a name, for swarm-mode."""
        for name in ("集群", "सूची-1", "кластер_2", "a_b.c-", "a" * 242):
            self.assertEqual(202, self.post(self.good, name=name).status_code)
            sent = self.sent("cluster_create")["cluster"]["magnum_object.data"]
            self.assertEqual(name, sent["name"])

    # What a cluster or template names is not there

    def test_image(self):
        """An image that is absent, ambiguous, not active or of another system."""
        self.assert_template("image-missing", image_id="absent")
        self.assert_template("image-ambiguous", image_id="twin")
        self.assert_template("image-inactive", image_id="queued")
        self.assert_template("image-without-distro", image_id="nameless")
        self.assert_template("image-distro", image_id="fedora")
        self.assert_template("image-driver", image_id="capi")
        gone = self.create_template(image_id="debian")
        self.cloud.images = [one for one in self.cloud.images if one["name"] != "debian"]
        self.assert_cluster("image-missing", gone)

    def test_flavor(self):
        """A flavor that is absent, or too small for the image."""
        self.assert_template("flavor-missing", flavor_id="m1.mediun")
        self.assert_cluster("flavor-missing", flavor_id="absent")
        self.assert_cluster("flavor-missing", master_flavor_id="absent")
        self.assert_template("flavor-diskless", flavor_id="diskless")
        self.assert_template("flavor-disk", image_id="large")
        self.assert_template("flavor-memory", image_id="hungry")

    def test_key_pair(self):
        """A key pair of somebody else."""
        self.assert_cluster("keypair-missing", keypair="another's")

    def test_networks(self):
        """A network or subnet that is absent, ambiguous or no external one."""
        self.assert_template("network-missing", fixed_network="absent")
        self.assert_cluster("network-missing", fixed_network="absent")
        self.assert_cluster("subnet-missing", fixed_subnet="absent")
        self.assert_template("external-missing", external_network_id="absent")
        self.assert_template("external-internal", external_network_id="private")
        self.cloud.networks.append(fake_cloud.network("private", "6" * 32, False, []))
        self.assert_cluster("network-ambiguous")
        self.cloud.networks.pop()
        self.cloud.networks.append(fake_cloud.network("public", "7" * 32, True, []))
        self.assert_cluster("external-ambiguous")

    def test_subnet_not_of_the_network(self):
        """A subnet of another network."""
        self.cloud.networks.append(fake_cloud.network("other", "8" * 32, False, []))
        self.assert_cluster(
            "subnet-elsewhere", fixed_network="other", fixed_subnet="private-subnet"
        )

    def test_subnets(self):
        """A network without an IPv4 subnet, or with several."""
        self.cloud.subnets[0]["ip_version"] = 6
        self.assert_cluster("subnet-version", fixed_subnet="private-subnet")
        self.cloud.subnets[0]["ip_version"] = 4
        more = fake_cloud.subnet("more", "9" * 32, fake_cloud.NETWORK, cidr="10.1.0.0/24")
        self.cloud.subnets.append(more)
        self.assert_cluster("subnet-ambiguous")
        self.cloud.subnets.clear()
        self.assert_cluster("subnet-none")

    def test_ways_out(self):
        """A subnet that nodes cannot leave, or that floating IPs do not lead to."""
        self.cloud.subnets[0]["gateway_ip"] = None
        self.assert_cluster("subnet-gateway")
        self.cloud.subnets[0]["gateway_ip"] = "10.0.0.1"
        self.cloud.routers[0]["external_gateway_info"] = None
        self.assert_cluster("router-gateway")
        self.cloud.ports.clear()
        self.assert_cluster("router-missing")
        self.cloud.networks[0]["port_security_enabled"] = False
        self.assert_cluster("network-port-security")

    def test_router_of_somebody_else(self):
        """Where the user does not see who leads out of a network, the cluster is tried."""
        self.cloud.networks[0]["project_id"] = "another"
        self.cloud.ports.clear()
        self.assertEqual(202, self.post(self.good).status_code)

    def test_names_in_labels(self):
        """An availability zone that is absent or under repair, a volume type that is absent."""
        self.assert_cluster("zone-missing", labels={"availability_zone": "noca"})
        self.assert_cluster("zone-missing", labels={"availability_zone": "under-repair"})
        self.assert_cluster("volume-type-missing", labels={"docker_volume_type": "fats"})
        boot = {"boot_volume_type": "fats", "boot_volume_size": "20"}
        self.assert_cluster("volume-type-missing", labels=boot)
        self.assertEqual(
            202, self.post(self.good, labels={"availability_zone": "nova"}).status_code
        )

    def test_services(self):
        """A cloud without a service that the cluster needs."""
        self.cloud.absent = {"block-storage"}
        self.assert_cluster("service-absent", token=self.token(), answer=503)
        self.cloud.absent = {"orchestration"}
        self.assert_cluster("service-absent", token=self.token(), answer=503)

    # What a project's quotas leave

    def test_nova(self):
        """Servers, cores, memory, server groups and their members."""
        limits = self.cloud.compute_limits
        limits["maxTotalInstances"] = 10
        self.assert_cluster("quota-servers")
        limits["maxTotalCores"] = 20
        self.assert_cluster("quota-several")
        limits |= {"maxTotalInstances": -1, "maxTotalCores": -1, "maxTotalRAMSize": 20000}
        self.assert_cluster("quota-memory")
        limits |= {"maxTotalRAMSize": -1, "maxServerGroups": 2}
        self.assert_cluster("quota-server-groups")
        limits |= {"maxServerGroups": -1}
        together = {"worker_server_group_policy": "soft-anti-affinity"}
        self.assert_cluster("quota-group-members", node_count=11, labels=together)

    def test_cinder(self):
        """Volumes and their space."""
        self.cloud.volume_limits["maxTotalVolumes"] = 11
        self.assert_cluster("quota-volumes")
        self.cloud.volume_limits |= {"maxTotalVolumes": -1, "maxTotalVolumeGigabytes": 64}
        self.assert_cluster("quota-volume-space")

    def test_cinder_by_type(self):
        """Volumes of one type, named or Cinder's default, and the size of one."""
        for labels, kind in (({"docker_volume_type": "fast"}, "fast"), ({}, "__DEFAULT__")):
            for what, ident in (
                ("volumes", "quota-volumes-of-type"),
                ("gigabytes", "quota-volume-space-of-type"),
            ):
                self.cloud.reset()
                self.cloud.volume_quota[f"{what}_{kind}"] = {"limit": 12, "in_use": 4}
                self.assert_cluster(ident, labels=labels)
        self.cloud.reset()
        self.cloud.volume_quota["per_volume_gigabytes"] = {"limit": 4, "in_use": 0}
        self.assert_cluster("quota-volume-size")
        self.cloud.volume_quota = None
        self.assertEqual(202, self.post(self.good).status_code)

    def test_heat(self):
        """The project's stacks, and the resources of a stack."""
        self.cloud.stack_limits["resources"] = 40
        self.assert_cluster("quota-stack")
        self.cloud.stack_limits = {"resources": 1000, "stacks": 2}
        self.assert_cluster("quota-stack")

    def test_neutron(self):
        """Floating IPs, ports and security groups."""
        quota = self.cloud.network_quota
        quota["floatingip"] = {"limit": 12, "used": 9, "reserved": 1}
        self.assert_cluster("quota-floating-ips")
        quota["floatingip"]["limit"] = -1
        quota["port"]["limit"] = 20
        self.assert_cluster("quota-ports")
        quota["port"]["limit"] = -1
        quota["security_group"]["limit"] = 11
        self.assert_cluster("quota-security-groups")

    def test_addresses(self):
        """Addresses of the subnet."""
        self.cloud.subnets[0]["allocation_pools"] = [{"start": "10.0.0.2", "end": "10.0.0.9"}]
        self.assert_cluster("subnet-full")

    def test_made_network(self):
        """Addresses of a network that is made."""
        template = self.create_template(fixed_network=None)
        self.assertEqual(202, self.post(template).status_code)
        for limits in (self.cloud.compute_limits, self.cloud.volume_limits):
            limits |= {name: -1 for name in limits if name.startswith("max")}
        self.cloud.network_quota = None
        self.assert_cluster("made-network-full", template, node_count=253)

    def test_without_details(self):
        """A Neutron that does not show its quotas does not matter."""
        self.cloud.network_quota = None
        self.assertEqual(202, self.post(self.good).status_code)

    def test_unlimited(self):
        """A project without limits may have what it likes."""
        for limits in (self.cloud.compute_limits, self.cloud.volume_limits):
            limits |= {name: -1 for name in limits if name.startswith("max")}
        for item in self.cloud.network_quota.values():
            item["limit"] = -1
        self.assertEqual(202, self.post(self.good, node_count=200).status_code)

    # Tokens that could not make what a cluster needs

    def test_restricted(self):
        """A restricted application credential is refused before any service is asked."""
        self.cloud.moods = dict.fromkeys(SERVICES, Mood.MAINTENANCE)
        credential = {"id": "1", "name": "ci", "restricted": True}
        token = self.cloud.token("restricted-2", application_credential=credential)
        self.assert_cluster("credential-restricted", token=token)

    def test_delegated(self):
        """An unrestricted one where Keystone does not let it make trusts."""
        credential = {"id": "1", "name": "ci", "restricted": False}
        token = self.cloud.token("trustless-2", application_credential=credential)
        self.cloud.without_trusts.add(token)
        self.assert_cluster("credential-delegated", token=token)

    # Address pools that would hide what nodes need

    def test_asked_for(self):
        """A pool that overlaps the subnet, a name server or an endpoint."""
        self.assert_cluster("pool-overlaps", labels={"swarm_address_pool": "10.0.0.0/8"})
        self.assert_cluster("pool-special", labels={"swarm_address_pool": "127.0.0.0/8"})

    def test_none_left(self):
        """Every configured pool overlaps something."""
        template = self.create_template(
            dns_nameserver="10.200.0.1,10.216.0.1,172.30.0.1,192.168.192.1"
        )
        self.assert_cluster("pool-none", template)


class ChangeCase(RefusalCase):
    """Changes of a cluster of three managers and eight workers."""

    def change(self, path, body, **cluster):
        """Ask for a change of a new cluster."""
        headers = {"OpenStack-API-Version": "container-infra 1.10"}
        url = f"/v1/clusters/{self.existing(**cluster)}{path}"
        return lambda: self.service.call("POST", url, body, headers=headers)

    def resize(self, count, group="default-worker", **cluster):
        body = {"node_count": count, "nodegroup": group}
        return self.change("/actions/resize", body, **cluster)

    def group(self, status="CREATE_COMPLETE", **fields):
        body = {"name": "gpu", "node_count": 2, **fields}
        return self.change("/nodegroups", body, status=status)

    def assert_accepted(self, *calls):
        for call in calls:
            answer = call()
            self.assertEqual(202, answer.status_code, answer.text)

    def no_servers_left(self):
        self.cloud.compute_limits["maxTotalInstances"] = 0


class ChangeTest(ChangeCase):
    """What there is no room for, and what is not held against a change."""

    def test_quota(self):
        """Only what the change adds is compared, whichever way it is asked for."""
        limits = self.cloud.compute_limits
        limits["maxTotalInstances"] = limits["totalInstancesUsed"] + 1
        self.assert_case("change-quota", self.resize(10))
        self.assert_case("change-quota", self.resize(5, "default-master"))
        self.assert_case("change-group-quota", self.group())
        replace = [{"op": "replace", "path": "/node_count", "value": 10}]
        url = f"/v1/clusters/{self.existing()}"
        self.assert_case("change-quota", lambda: self.service.call("PATCH", url, replace))

    def test_room(self):
        """What there is room for is passed on, and so is what makes the cluster smaller."""
        limits = self.cloud.compute_limits
        limits["maxTotalInstances"] = limits["totalInstancesUsed"] + 1
        # The cluster has its stack.
        self.cloud.stack_limits["stacks"] = 2
        labels = '{"availability_zone": "nova", "docker_volume_type": "fast"}'
        self.assert_accepted(*(self.resize(count, labels=labels) for count in (9, 8, 1)))
        self.assert_accepted(self.resize(1, "default-master"))

    def test_other_limits(self):
        """Volumes of a type, Heat's limits, and addresses of the subnet."""
        self.cloud.volume_quota["volumes_fast"] = {"limit": 4, "in_use": 3}
        volumes = {"docker_volume_size": 5, "labels": '{"docker_volume_type": "fast"}'}
        self.assert_case("change-quota", self.resize(10, **volumes))
        self.cloud.stack_limits["stacks"] = 2
        self.assert_case("change-stack", self.group())
        self.cloud.stack_limits = {"stacks": 512, "resources": 60}
        self.assert_case("change-stack", self.resize(40))
        self.cloud.reset()
        self.cloud.subnets[0]["allocation_pools"] = [{"start": "10.0.0.2", "end": "10.0.0.3"}]
        self.assert_case("change-addresses", self.resize(11))

    def test_made_network(self):
        """All nodes of the cluster are in the network that was made for it."""
        template = self.create_template(fixed_network=None)["uuid"]
        self.cloud.compute_limits, self.cloud.volume_limits = {}, {}
        self.cloud.network_quota = None
        self.assert_accepted(self.resize(250, cluster_template_id=template))
        self.assert_case("made-network-full", self.resize(251, cluster_template_id=template))

    def test_names(self):
        """What the labels of a new group name is looked up."""
        self.assert_case("zone-missing", self.group(labels={"availability_zone": "under-repair"}))
        self.assert_case("volume-type-missing", self.group(labels={"docker_volume_type": "slow"}))
        self.assert_case("flavor-disk", self.group(image_id="large"))

    def test_between(self):
        """While there may be more nodes than are wanted, as of a shrinking that goes on or that
        failed, nobody knows what there will be room for."""
        self.no_servers_left()
        self.assert_accepted(
            self.resize(9, status="UPDATE_IN_PROGRESS"),
            self.resize(9, status="UPDATE_FAILED"),
            self.group("UPDATE_FAILED"),
        )

    def test_not_told(self):
        """What a service does not tell, or not to this user, is left to the change itself."""
        resize, group = self.resize(9), self.group()
        for kind in (one for one in SERVICES if one != "identity"):
            with self.subTest(kind=kind):
                self.cloud.denied, self.cloud.moods = {kind}, {}
                self.assert_accepted(resize)
                self.cloud.denied, self.cloud.moods = set(), {kind: Mood.WRONG}
                self.assert_accepted(resize)
        self.cloud.moods = {}
        self.cloud.denied = {"network", "block-storage", "orchestration"}
        self.assert_accepted(group)

    def test_of_another_project(self):
        """An operator who changes somebody's cluster has other quotas than its project."""
        self.no_servers_left()
        operator = self.cloud.token("operator", roles=("admin",))
        replace = [{"op": "replace", "path": "/node_count", "value": 9}]
        url = f"/v1/clusters/{self.existing(project_id=OTHER)}"
        self.assert_accepted(lambda: self.service.call("PATCH", url, replace, token=operator))

    def test_lived(self):
        """A cluster may have what nobody could ask for now: a label that is no more, a network by
        another name."""
        resize, group = self.resize(9), self.group()
        self.assert_accepted(self.resize(9, labels='{"swarm_strategy": "spread"}'))
        self.cloud.networks[0]["name"] = "renamed"
        self.assert_accepted(resize, group)


class ChangedDefaultsTest(ChangeCase):
    """Where the operator chose defaults after clusters were made."""

    service_options = {
        "options": "worker_floating_ip_enabled = true\nboot_volume_size = 20\n"
        "docker_volume_type = fast",
        "extra": MANY,
    }

    def test_defaults(self):
        """What the defaults ask for is held against new nodes of new groups only."""
        none = {"limit": 0, "in_use": 0}
        for quota, name in (
            (self.cloud.network_quota, "floatingip"),
            (self.cloud.volume_quota, "volumes_fast"),
        ):
            quota[name] = none | {"used": 0}
            self.assert_case("change-group-quota", self.group())
        self.cloud.volume_quota["volumes___DEFAULT__"] = none
        self.assert_accepted(self.resize(9))


class WithoutQuotaTest(ChangeCase):
    """Where the operator switched the comparison of quotas off."""

    service_options = {"options": "preflight_quota = false"}

    def test_not_compared(self):
        """Quotas are left to the services then."""
        self.cloud.compute_limits["maxTotalInstances"] = 0
        self.assertEqual(202, self.post(self.good).status_code)
        self.assert_accepted(self.resize(9), self.group())


class UnwellTest(ChangeCase):
    """Services that are away, or answer what makes no sense."""

    service_options = {"options": f"preflight_timeout = {DEADLINE}", "extra": MANY}
    RUBBISH = frozenset({Mood.HTML, Mood.TRUNCATED, Mood.WRONG, Mood.REDIRECT, Mood.ENDLESS})

    def assert_unwell(self, kind, mood):
        """Check that a cluster and, where it is asked for one, a template get a sentence."""
        ident = "service-rubbish" if mood in self.RUBBISH else "service-silent"
        self.cloud.moods = {kind: mood}
        self.assert_cluster(ident, answer=503, within=SOON)
        if kind in ("image", "compute", "network"):
            self.assert_template(ident, answer=503)
        self.cloud.moods = {}

    def test_maintenance(self):
        """A service that answers 503."""
        for kind in SERVICES:
            with self.subTest(kind=kind):
                self.assert_unwell(kind, Mood.MAINTENANCE)

    def test_unreachable(self):
        """A service that nobody listens for."""
        for kind in SERVICES:
            with self.subTest(kind=kind):
                self.cloud.unreachable = {kind}
                self.assert_cluster("service-silent", token=self.token(), answer=503)

    def test_rubbish(self):
        """A web page, broken JSON, JSON of another shape and endless redirects."""
        some = ("compute", "identity")
        for mood, kinds in (
            (Mood.HTML, SERVICES),
            (Mood.TRUNCATED, some),
            (Mood.WRONG, some),
            (Mood.REDIRECT, some),
        ):
            for kind in kinds:
                with self.subTest(kind=kind, mood=mood):
                    self.assert_unwell(kind, mood)

    def test_silence(self):
        """A connection that is closed without an answer."""
        self.assert_unwell("compute", Mood.SILENT)

    def test_slow(self):
        """An answer after minutes, or a byte now and then, is not waited for."""
        self.assert_unwell("image", Mood.SLOW)
        self.assert_unwell("network", Mood.DRIP)

    def test_endless(self):
        """An answer without end is not read to its end."""
        self.assert_unwell("network", Mood.ENDLESS)

    def test_forbidden(self):
        """A service that does not let the user do it."""
        for kind in SERVICES:
            with self.subTest(kind=kind):
                self.cloud.denied = {kind}
                self.assert_cluster("service-forbidden")
        self.cloud.denied = set()

    def test_all_at_once(self):
        """When everything is slow, the user waits no longer than for one service."""
        self.cloud.moods = dict.fromkeys(SERVICES, Mood.SLOW)
        self.assert_cluster("service-silent", answer=503, within=SOON)

    def test_change_of_a_cluster(self):
        """A living cluster is changed all the same, and soon."""
        resize = self.resize(9)
        self.cloud.moods = dict.fromkeys(SERVICES, Mood.SLOW)
        began = time.monotonic()
        self.assert_accepted(resize)
        self.assertLess(time.monotonic() - began, SOON)

    def test_well_again(self):
        """A moment later, when the service is well again, the same cluster is accepted."""
        self.cloud.moods = {"compute": Mood.MAINTENANCE}
        self.assert_cluster("service-silent", answer=503)
        self.cloud.moods = {}
        self.assertEqual(202, self.post(self.good).status_code)


class EveryReleaseTest(RefusalCase):
    """One case of each kind, for releases of Magnum that ask other services in other ways."""

    service_options = {"options": f"preflight_timeout = {DEADLINE}", "extra": MANY}

    def test_values(self):
        """A label, a name and a pool."""
        self.assert_cluster("label-unknown", labels={"join_timeuot": "60"})
        self.assert_cluster("cluster-name", name="$(reboot)")
        self.assert_cluster("pool-overlaps", labels={"swarm_address_pool": "10.0.0.0/8"})
        self.assertEqual(202, self.post(self.good, name="集群").status_code)

    def test_cloud(self):
        """What is not there, and what is too little."""
        self.assert_template("image-missing", image_id="absent")
        self.assert_template("image-without-distro", image_id="nameless")
        self.assert_template("flavor-missing", flavor_id="absent")
        self.assert_cluster("flavor-missing", master_flavor_id="absent")
        self.assert_cluster("keypair-missing", keypair="absent")
        self.assert_cluster("network-missing", fixed_network="absent")
        self.assert_template("external-internal", external_network_id="private")
        self.cloud.compute_limits["maxTotalInstances"] = 10
        self.assert_cluster("quota-servers")

    def test_unwell(self):
        """Services that are away or answer nonsense."""
        for kind in ("image", "compute", "network"):
            for mood, ident in (
                (Mood.MAINTENANCE, "service-silent"),
                (Mood.HTML, "service-rubbish"),
            ):
                with self.subTest(kind=kind, mood=mood):
                    self.cloud.moods = {kind: mood}
                    self.assert_template(ident, answer=503)
                    self.assert_cluster(ident, answer=503)

    def test_credential(self):
        """A restricted application credential."""
        credential = {"id": "1", "name": "ci", "restricted": True}
        token = self.cloud.token("restricted-3", application_credential=credential)
        self.assert_cluster("credential-restricted", token=token)
