# SPDX-License-Identifier: Apache-2.0
"""What users read whose cluster or template cannot be made, at Magnum's own API.

Each case is one of ``doc/source/cases/refusals.yaml`` and leaves nothing behind: no row, no message
to the conductor, no request that would change anything in another service.
"""

import time

from tests import cases
from tests.functional.admission import fake_cloud, test_clusters
from tests.functional.wire import Mood

SERVICES = ("image", "compute", "network", "block-storage", "orchestration", "identity")
DEADLINE = 1.0
# The service's time, and what the API itself takes on a busy machine.
SOON = DEADLINE + 4.0


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
        self.assert_cluster("pool-overlaps", labels={"swarm_address_pool": "127.0.0.0/8"})

    def test_none_left(self):
        """Every configured pool overlaps something."""
        template = self.create_template(
            dns_nameserver="10.200.0.1,10.216.0.1,172.30.0.1,192.168.192.1"
        )
        self.assert_cluster("pool-none", template)


class WithoutQuotaTest(RefusalCase):
    """Where the operator switched the comparison of quotas off."""

    service_options = {"options": "preflight_quota = false"}

    def test_not_compared(self):
        """Quotas are left to the services then."""
        self.cloud.compute_limits["maxTotalInstances"] = 0
        self.assertEqual(202, self.post(self.good).status_code)


class UnwellTest(RefusalCase):
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
