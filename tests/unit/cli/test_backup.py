# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pathlib
import stat
import tarfile
from typing import Any

import fixtures
from oslotest import base as test_base

from magnum_swarm_mode.cli.errors import CommandError
from magnum_swarm_mode.cli.swarm import backup as swarm_backup
from magnum_swarm_mode.cli.swarm import backup_file, host_program, restore
from magnum_swarm_mode.cli.swarm.access import Manager
from tests.unit.cli import base
from tests.unit.cli.fake_hosts import COPY, FakeHosts, Swarm

CLI = "magnum_swarm_mode.cli"
SETTINGS = "magnum-swarm-mode.settings.1"


def manager(index: int, **fields: Any) -> Manager:
    """A manager that serves, or what ``fields`` say."""
    return Manager(
        **{
            "address": f"a{index}",
            "state": "active",
            "control": True,
            "node_id": f"id{index}",
            "node_address": f"10.0.0.{index}",
            "version": "26.1.5+dfsg1",
            "hostname": f"m{index}",
            **fields,
        }
    )


def entry(index: int, *, reachable: bool = True, leader: bool = False) -> dict[str, Any]:
    """A manager's entry among the nodes."""
    reach = "reachable" if reachable else "unreachable"
    return {
        "ID": f"id{index}",
        "ManagerStatus": {"Reachability": reach, "Leader": leader},
        "Status": {"Addr": f"10.0.0.{index}"},
    }


class ChoiceTest(test_base.BaseTestCase):
    def refused(self, managers: list[Manager], nodes: list[Any], **more: bool) -> str:
        refused = self.assertRaises(
            CommandError, swarm_backup.choose, managers, nodes, {}, downtime=more.get("down", False)
        )
        return str(refused)

    def test_least_busy_that_does_not_lead(self) -> None:
        """The manager with the fewest tasks is copied, never the leader while there is another."""
        nodes = [entry(0, leader=True), entry(1), entry(2)]
        choice = swarm_backup.choose(
            [manager(0), manager(1), manager(2)], nodes, {"id1": 3, "id2": 1}, downtime=False
        )
        self.assertEqual(("id2", "id0"), (choice.manager.node_id, choice.via.node_id))

    def test_quorum(self) -> None:
        """Where the others would lose the quorum nothing is done, and the arithmetic is said."""
        nodes = [entry(0, leader=True), entry(1), entry(2, reachable=False)]
        self.assertEqual(
            "2 of 3 managers are reachable; while one stands still 1 would be, and 2 are needed for"
            " a quorum.",
            self.refused([manager(0), manager(1), manager(2)], nodes),
        )

    def test_only_one(self) -> None:
        """The only manager is copied where that is allowed."""
        nodes, managers = [entry(0, leader=True)], [manager(0)]
        self.assertIn("--allow-downtime", self.refused(managers, nodes))
        choice = swarm_backup.choose(managers, nodes, {}, downtime=True)
        self.assertEqual(("id0", "id0"), (choice.manager.node_id, choice.via.node_id))

    def test_nobody_answers(self) -> None:
        """A manager that does not answer here is not chosen, and the reason is said."""
        silent = [manager(i, state="", problem="it takes too long") for i in (1, 2)]
        nodes = [entry(0, leader=True), entry(1), entry(2)]
        self.assertIn("a1: it takes too long", self.refused([manager(0), *silent], nodes))


class FileTest(test_base.BaseTestCase):
    def pack(self, **fields: Any) -> io.BytesIO:
        digest = "0" * 64
        packed = io.BytesIO()
        manifest = {"format": 1, "sha256": digest, **fields}
        backup_file.pack(manifest, io.BytesIO(COPY), packed)
        packed.seek(0)
        return packed

    def test_damaged(self) -> None:
        """What is no backup, damaged or of a newer format is refused."""
        for said, file in (
            ("is damaged", self.pack()),
            ("is of format 2", self.pack(format=2)),
            ("no backup of a swarm", io.BytesIO(b"something else")),
        ):
            refused = self.assertRaises(CommandError, backup_file.unpack, file)
            self.assertIn(said, str(refused))

    def test_differences(self) -> None:
        """What is missing, new or changed is said, of each kind."""
        before = {"configs": {"a": "1", "b": "1", "c": "1"}}
        after = {"configs": {"a": "1", "b": "2", "d": "1"}, "secrets": {"s": "1"}}
        self.assertEqual(
            [
                "configs: c is missing",
                "configs: d is new",
                "configs: b differs",
                "secrets: s is new",
            ],
            backup_file.differences(before, after),
        )
        self.assertEqual([], backup_file.differences(before, before))


class FitTest(test_base.BaseTestCase):
    MANIFEST = {
        "engine": "26.1.5+dfsg1",
        "address": "10.0.0.1",
        "pools": ["10.10.0.0/16"],
        "data_path_port": 4789,
    }

    def fit(self, managers: list[Manager], *, port: int = 4789, **manifest: Any) -> Manager:
        return restore.refuse_unfit(
            managers,
            [entry(0), entry(5)],
            {"DataPathPort": port},
            {**self.MANIFEST, **manifest},
        )

    def test_first_with_another_address(self) -> None:
        """The swarm goes to a manager whose address is not that of the one that was copied."""
        self.assertEqual("id2", self.fit([manager(1), manager(2)]).node_id)

    def test_refusals(self) -> None:
        """A swarm that cannot live in the cluster is refused, with what to do instead."""
        for said, call in (
            ("use a newer image", lambda: self.fit([manager(2)], engine="27.0.1")),
            ("use a newer image", lambda: self.fit([manager(2)], engine="26.1.10")),
            ("label data_path_port=4789", lambda: self.fit([manager(2)], port=5000)),
            ("another fixed subnet", lambda: self.fit([manager(2)], pools=["10.0.0.0/8"])),
            ("create the cluster anew", lambda: self.fit([manager(1)])),
        ):
            self.assertIn(said, str(self.assertRaises(CommandError, call)))


class CommandCase(base.CommandTestCase):
    """A user of a cluster with managers at the wire."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.home / "copy"

    def serve(self, hosts: FakeHosts, **fields: Any) -> FakeHosts:
        """Have the cluster of these managers."""
        self.useFixture(hosts)
        self.cloud.authority = hosts.authority
        template = self.cloud.add_template()
        self.cluster = self.cloud.add_cluster(
            name="c", cluster_template_id=template["uuid"], **hosts.cluster(), **fields
        )
        return hosts

    def traces(self, hosts: FakeHosts) -> list[Any]:
        return [
            thing
            for engine in hosts.engines
            for thing in (*engine.containers, *engine.images, *engine.files, *engine.volumes)
        ]

    def labels(self, hosts: FakeHosts) -> list[str]:
        return [name for node in hosts.swarm.nodes for name in node["Spec"]["Labels"]]


class BackupTest(CommandCase):
    def filled(self, count: int = 3) -> FakeHosts:
        hosts = self.serve(FakeHosts(count))
        hosts.swarm.put(hosts.swarm.secrets, "word")
        hosts.swarm.put(hosts.swarm.configs, "greeting", b"hello")
        hosts.swarm.put(hosts.swarm.configs, SETTINGS, b"the cluster's own")
        return hosts

    def test_file(self) -> None:
        """A backup is readable by its owner only, lists what is in the swarm and holds the copy;
        the manager has no task meanwhile, and nothing is left on it."""
        hosts = self.filled()
        node = hosts.swarm.nodes[1]["ID"]
        hosts.swarm.tasks = [
            {"NodeID": ident, "Status": {"State": "running"}}
            for ident in (node, hosts.swarm.nodes[2]["ID"], hosts.swarm.nodes[2]["ID"])
        ]

        ran = self.magnum("swarm-backup", "c", "--file", str(self.file))

        self.assertEqual(0, ran.code, ran.err)
        self.assertEqual(0o600, stat.S_IMODE(self.file.stat().st_mode))
        backup = backup_file.unpack(self.file.open("rb"))
        self.assertEqual(COPY, backup.copy.read())
        self.assertEqual(["greeting"], list(backup.manifest["contents"]["configs"]))
        self.assertEqual(["word"], list(backup.manifest["contents"]["secrets"]))
        self.assertEqual(
            ("new", "10.0.0.2", "26.1.5", "c"),
            (
                *(backup.manifest[name] for name in ("swarm", "address", "engine")),
                backup.manifest["cluster"]["name"],
            ),
        )
        self.assertEqual([("manager-1", "drain"), ("manager-1", "active")], hosts.availabilities)
        self.assertEqual([{"work": "backup", "data": "/var/lib/docker"}], hosts.engines[1].asked)
        self.assertEqual([], self.traces(hosts))
        self.assertEqual([], self.labels(hosts))
        self.assertIn("stood still for 1.5 s", ran.out)

    def test_failure(self) -> None:
        """A copy that fails is said, leaves no file, and the manager works as before."""
        hosts = self.filled()
        for engine in hosts.engines:
            engine.failing = "the disk is full"

        ran = self.magnum("swarm-backup", "c", "--file", str(self.file))

        self.assertEqual(1, ran.code)
        self.assertIn("the disk is full.", ran.err)
        self.assertEqual([], [path.name for path in self.home.iterdir()])
        self.assertEqual("active", hosts.availabilities[-1][1])
        self.assertEqual([], self.traces(hosts))
        self.assertEqual([], self.labels(hosts))

    def test_host_refuses(self) -> None:
        """Where no program can be started on the host its last words are said."""
        hosts = self.filled()
        hosts.exit_code = 1
        self.useFixture(fixtures.MonkeyPatch(f"{CLI}.swarm.backup.BACK_SECONDS", 0.1))
        ran = self.magnum("swarm-backup", "c", "--file", str(self.file))
        self.assertEqual(1, ran.code)
        self.assertIn("no systemd here", ran.err)
        self.assertEqual("active", hosts.availabilities[-1][1])

    def test_after_an_interruption(self) -> None:
        """A manager that an interrupted run left drained gets its availability back."""
        hosts = self.filled()
        spec = hosts.swarm.nodes[2]["Spec"]
        spec["Availability"], spec["Labels"] = "drain", {swarm_backup.LABEL: "pause"}
        ran = self.magnum("swarm-backup", "c", "--file", str(self.file))
        self.assertEqual(0, ran.code, ran.err)
        self.assertEqual(("manager-2", "pause"), hosts.availabilities[0])
        self.assertEqual([], self.labels(hosts))

    def test_refusals(self) -> None:
        """Nothing is begun during an operation, with a locked swarm, or without a place."""
        hosts = self.filled()
        for said, words in (
            ("Give --file or --container", ()),
            ("--object needs --container", ("--file", "f", "--object", "o")),
            ("Cannot write to /none", ("--file", "/none/f")),
            ("no object store", ("--container", "backups")),
        ):
            ran = self.magnum("swarm-backup", "c", *words)
            self.assertEqual(1, ran.code)
            self.assertIn(said, ran.err)
        self.cluster["status"] = "UPDATE_IN_PROGRESS"
        ran = self.magnum("swarm-backup", "c", "--file", str(self.file))
        self.assertIn("is UPDATE_IN_PROGRESS", ran.err)
        self.cluster["status"] = "UPDATE_COMPLETE"
        hosts.swarm.spec["EncryptionConfig"]["AutoLockManagers"] = True
        ran = self.magnum("swarm-backup", "c", "--file", str(self.file))
        self.assertIn("autolock", ran.err)
        self.assertEqual([], hosts.availabilities)

    def test_object_store(self) -> None:
        """A backup goes to the project's object store, with its digest, and comes back of it."""
        hosts = self.filled()
        self.cloud.has_object_store = True
        ran = self.magnum("swarm-backup", "c", "--container", "nightly", "--object", "a/b c")
        self.assertEqual(0, ran.code, ran.err)
        self.assertEqual({"nightly/a%2Fb%20c"}, set(self.cloud.objects))
        content = self.cloud.objects["nightly/a%2Fb%20c"]
        self.assertEqual(COPY, backup_file.unpack(io.BytesIO(content)).copy.read())
        ran = self.magnum("swarm-restore", "c", "--container", "nightly", "--object", "a/b c")
        self.assertIn("the very one of the backup", ran.err)
        self.assertEqual([], self.traces(hosts))


class RestoreTest(CommandCase):
    """A backup of a swarm, and a cluster that is made anew."""

    def setUp(self) -> None:
        super().setUp()
        kept = Swarm("kept")
        kept.add("manager-1", "10.0.0.77", manager=True)
        kept.put(kept.secrets, "word")
        kept.put(kept.configs, SETTINGS, b"of the cluster that is no more")
        self.kept = kept
        contents = {
            "services": {},
            "networks": {},
            "configs": {},
            "secrets": {"word": "another digest"},
        }
        manifest = {
            "format": 1,
            "swarm": "kept",
            "engine": "20.10.24+dfsg1",
            "address": "10.0.0.77",
            "pools": ["10.10.0.0/16"],
            "data_path_port": 4789,
            "mtu": "",
            "contents": contents,
            "made": "2026-11-23T20:00:00+00:00",
            "cluster": {"uuid": "u", "name": "old"},
            "sha256": hashlib.sha256(COPY).hexdigest(),
        }
        with self.file.open("wb") as file:
            backup_file.pack(manifest, io.BytesIO(COPY), file)
        self.asked: list[Any] = []
        self.cloud.resized = self.resized

    def resized(self, cluster: dict[str, Any], body: Any) -> None:
        self.asked.append(body)
        cluster["status"] = "UPDATE_COMPLETE"
        self.kept.add("worker-9", "10.0.0.109", manager=False)

    def begin(self, count: int, workers: int = 1) -> FakeHosts:
        hosts = self.serve(FakeHosts(count, workers=workers))
        hosts.kept = self.kept
        hosts.swarm.put(hosts.swarm.configs, SETTINGS, b"present", generation="1")
        hosts.swarm.nodes[0]["Spec"]["Labels"]["magnum-swarm-mode.settings"] = "1"
        self.cloud.nodegroups = [
            {"uuid": "g0", "name": "default-master", "role": "master", "node_count": count},
            {"uuid": "g1", "name": "default-worker", "role": "worker", "node_count": workers},
        ]
        return hosts

    def restore(self, *words: str) -> base.Ran:
        return self.magnum("swarm-restore", "c", "--file", str(self.file), *words)

    def test_whole(self) -> None:
        """One manager takes the swarm over, the others join it with its new token, the cluster's
        own configs and labels are the present ones, and Magnum replaces the workers by name."""
        hosts = self.begin(3)
        before = dict(self.kept.tokens)

        ran = self.restore()

        self.assertEqual(0, ran.code, ran.err + ran.out)
        self.assertEqual(
            [{"work": "restore", "former": "10.0.0.77", "own": "10.0.0.1"}], hosts.engines[0].asked
        )
        self.assertEqual({"kept"}, {engine.swarm.ident for engine in hosts.engines if engine.swarm})
        (own,) = [one["Spec"] for one in self.kept.configs]
        self.assertEqual({"generation": "1"}, own["Labels"])
        self.assertEqual(
            [{"node_count": 1, "nodes_to_remove": ["worker-0"], "nodegroup": "default-worker"}],
            self.asked,
        )
        specs = {one["Description"]["Hostname"]: one["Spec"] for one in self.kept.nodes}
        self.assertEqual(
            {"manager-0", "manager-1", "manager-2", "worker-9"}, set(specs), "nodes of the swarm"
        )
        self.assertEqual({"active"}, {spec["Availability"] for spec in specs.values()})
        self.assertEqual({"magnum-swarm-mode.settings": "1"}, specs["manager-0"]["Labels"])
        self.assertNotEqual(before["Manager"], self.kept.tokens["Manager"])
        self.assertNotEqual(before["Worker"], self.kept.tokens["Worker"])
        self.assertEqual([], self.traces(hosts))
        self.assertIn("Changed since the backup was listed: secrets: word differs.", ran.out)

    def test_again(self) -> None:
        """A run that was interrupted after the take-over is finished by the next one."""
        hosts = self.begin(3)
        self.cloud.failures["POST", f"/clusters/{self.cluster['uuid']}/actions/resize"] = (
            *(503, json.dumps({"errors": [{"detail": "no conductor"}]})),
            "application/json",
        )
        self.assertEqual(1, self.restore().code)
        self.assertEqual(1, len(hosts.engines[0].volumes))
        self.cloud.failures.clear()

        ran = self.restore()

        self.assertEqual(0, ran.code, ran.err)
        self.assertIn("was begun before goes on", ran.out)
        self.assertEqual(1, len(hosts.engines[0].asked), "taken over once")
        self.assertEqual(1, len(self.asked))
        self.assertEqual([], self.traces(hosts))

    def test_fails_before_anything_changed(self) -> None:
        """Where the copy's own engine does not start the cluster's swarm is as before."""
        hosts = self.begin(1)
        hosts.engines[0].failing = "the second engine ended: bad certificate"
        ran = self.restore()
        self.assertEqual(1, ran.code)
        self.assertIn("bad certificate", ran.err)
        self.assertEqual("new", hosts.engines[0].swarm.ident if hosts.engines[0].swarm else "")
        self.assertEqual([], self.asked)

    def test_in_use(self) -> None:
        """A swarm with something in it is replaced only where the user says so."""
        hosts = self.begin(1)
        hosts.swarm.put(hosts.swarm.secrets, "mine")
        ran = self.restore()
        self.assertIn("1 secrets", ran.err)
        self.assertIn("--yes", ran.err)
        self.assertEqual([], hosts.engines[0].asked)
        self.assertEqual(0, self.restore("--yes").code)

    def test_other_restore(self) -> None:
        """A cluster in which the restore of another swarm has not ended is left alone."""
        hosts = self.begin(1)
        record = dataclasses.asdict(restore.Record("third", "10.0.0.1", {}, [], {}, {}))
        labels = {restore.VOLUME: json.dumps(record)}
        hosts.engines[0].volumes[restore.VOLUME] = {"Labels": labels}
        self.assertIn("of another swarm was begun", self.restore().err)


class RotationTest(CommandCase):
    def test_root(self) -> None:
        """The root CA is replaced once, also by a second run that finds the first one's rotation
        under way."""
        hosts = self.serve(FakeHosts(1))
        before = hosts.swarm.root
        ran = self.magnum("swarm-ca-rotate", "c")
        self.assertEqual(0, ran.code, ran.err)
        self.assertIn("2 of 2 ready nodes trust the new root.", ran.out)
        self.assertNotEqual(before, hosts.swarm.root)
        self.assertEqual(1, hosts.swarm.spec["CAConfig"]["ForceRotate"])
        hosts.swarm.rotating = 3
        ran = self.magnum("swarm-ca-rotate", "c")
        self.assertEqual(0, ran.code, ran.err)
        self.assertIn("goes on", ran.out)
        self.assertEqual(1, hosts.swarm.spec["CAConfig"]["ForceRotate"])

    def test_tokens(self) -> None:
        """The token of one role or of both is replaced."""
        hosts = self.serve(FakeHosts(1))
        first = dict(hosts.swarm.tokens)
        self.assertEqual(0, self.magnum("swarm-token-rotate", "c", "--role", "worker").code)
        second = dict(hosts.swarm.tokens)
        self.assertEqual(first["Manager"], second["Manager"])
        self.assertNotEqual(first["Worker"], second["Worker"])
        self.assertEqual(0, self.magnum("swarm-token-rotate", "c").code)
        self.assertEqual(set(), set(hosts.swarm.tokens.values()) & set(second.values()))


class HostProgramTest(test_base.BaseTestCase):
    """The program of a manager's host, with a systemctl of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.program = host_program
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        stage = self.home / "stage"
        stage.mkdir()
        self.useFixture(fixtures.MonkeyPatch(f"{CLI}.swarm.host_program.STAGE", stage))
        tools = self.home / "bin"
        tools.mkdir()
        script = tools / "systemctl"
        script.write_text(f'#!/bin/sh\necho "$@" >> {self.home}/calls\n')
        script.chmod(0o755)
        self.useFixture(fixtures.EnvironmentVariable("PATH", f"{tools}:/usr/bin:/bin"))
        self.data = self.home / "data"
        self.useFixture(fixtures.MonkeyPatch(f"{CLI}.swarm.host_program.READY_SECONDS", 0))
        nowhere = str(self.home / "socket")
        self.useFixture(fixtures.MonkeyPatch(f"{CLI}.swarm.host_program.OWN_SOCKET", nowhere))
        self.calls = self.home / "calls"

    def test_copies_while_the_engine_stands_still(self) -> None:
        """The engine is stopped with its socket, copied, and started again, once more where the
        swarm does not see it."""
        (self.data / "swarm" / "raft").mkdir(parents=True)
        (self.data / "swarm" / "raft" / "log").write_text("entries")
        self.program.backup({"data": str(self.data)})
        self.assertEqual(
            [
                "stop docker.socket docker.service",
                "start docker.socket docker.service",
                "restart docker.service",
            ],
            self.calls.read_text().splitlines(),
        )
        status = json.loads((self.program.STAGE / "status.json").read_text())
        self.assertEqual(("done", False), (status["step"], status["ready"]))
        with tarfile.open(self.program.STAGE / "swarm.tar.gz") as archive:
            self.assertIn("swarm/raft/log", archive.getnames())

    def test_starts_the_engine_also_after_a_failure(self) -> None:
        """An engine whose state cannot be copied starts all the same."""
        self.assertRaises(OSError, self.program.backup, {"data": str(self.data)})
        self.assertIn("start docker.socket", self.calls.read_text().splitlines()[-1])

    def test_unpacks_a_swarm_only(self) -> None:
        """Anything but files and directories of a swarm is refused."""
        for name, kind in (
            ("/etc/passwd", tarfile.REGTYPE),
            ("swarm/../x", tarfile.REGTYPE),
            ("swarm/link", tarfile.SYMTYPE),
            ("else/x", tarfile.REGTYPE),
        ):
            path = self.home / "copy"
            with tarfile.open(path, "w:gz") as archive:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "/etc/shadow"
                archive.addfile(member)
            refused = self.assertRaises(
                self.program.TransferError, self.program.unpack, path, self.home / "out"
            )
            self.assertIn("no swarm's", str(refused))
        self.assertFalse((self.home / "out").exists())
