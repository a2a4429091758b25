# SPDX-License-Identifier: Apache-2.0
import ast
import dataclasses
import pathlib
import sys

import fixtures
from oslotest import base

import acceptance
from acceptance import promises
from acceptance.errors import Broken
from acceptance.options import Options
from acceptance.promises import Verdict
from acceptance.run import Run

OPTIONS = Options(node_image="i", flavor="f", external_network="n", create_timeout=60)


class FakeCloud:
    """A cloud in which a cluster passes through some states; None stands for Ctrl-C."""

    def __init__(self, *states, undeletable=False):
        self.states = list(states)
        self.undeletable = undeletable
        self.calls = []

    def make_template(self, _options):
        self.calls.append("make template")
        return "t"

    def delete_template(self, ident):
        self.calls.append(f"delete template {ident}")

    def make_cluster(self, _options, _template):
        self.calls.append("make cluster")
        return "c"

    def cluster(self, _ident):
        if not self.states:
            return {}
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise KeyboardInterrupt
        return {"status": state, "status_reason": "no host", "stack_id": "s"}

    def delete_cluster(self, ident):
        self.calls.append(f"delete cluster {ident}")
        if self.undeletable:
            raise Broken("503")
        self.states.clear()


class RunTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.said = []
        self.useFixture(fixtures.MonkeyPatch("time.sleep", lambda _: None))

    def _run(self, cloud, **options):
        return Run(dataclasses.replace(OPTIONS, **options), cloud, self.said.append)

    def test_creation_fails(self):
        """Without a cluster nothing else is tried, the reason is told, and all is removed."""
        cloud = FakeCloud("CREATE_IN_PROGRESS", "CREATE_FAILED")
        run = self._run(cloud)
        run.all()
        self.assertEqual(["create"], list(run.results))
        self.assertEqual("CREATE_FAILED: no host", run.results["create"].reason)
        self.assertEqual(Verdict.FAILED, run.results["create"].verdict)
        self.assertEqual(1, promises.exit_code(run.results))
        expected = ["make template", "make cluster", "delete cluster c", "delete template t"]
        self.assertEqual(expected, cloud.calls)

    def test_interrupt(self):
        """After Ctrl-C all is removed as well."""
        cloud = FakeCloud("CREATE_IN_PROGRESS", None, "CREATE_IN_PROGRESS")
        self.assertRaises(KeyboardInterrupt, self._run(cloud).all)
        self.assertEqual(["delete cluster c", "delete template t"], cloud.calls[2:])

    def test_keep(self):
        """What shall be kept stays, and is named."""
        cloud = FakeCloud("CREATE_FAILED")
        self._run(cloud, keep=True).all()
        self.assertEqual(["make template", "make cluster"], cloud.calls)
        self.assertIn("kept: cluster c", self.said)

    def test_left(self):
        """What cannot be removed is named, and does not keep the rest from it."""
        cloud = FakeCloud("CREATE_FAILED", undeletable=True)
        self._run(cloud).all()
        self.assertIn("cluster c could not be removed, do so by hand: 503", self.said)
        self.assertEqual("delete template t", cloud.calls[-1])

    def test_complete_and_strange(self):
        """An answer that nobody foresaw is a reason, and all is removed."""

        class Strange(FakeCloud):
            def resources(self, _stack):
                return []

            def client_files(self, _ident, _directory):
                raise KeyError("pem")

        cloud = Strange("CREATE_COMPLETE")
        run = self._run(cloud)
        run.all()
        self.assertEqual(Verdict.PASSED, run.results["create"].verdict)
        self.assertEqual("unexpected KeyError: 'pem'", run.results["nodes"].reason)
        self.assertEqual(["delete cluster c", "delete template t"], cloud.calls[2:])


class ImportTest(base.BaseTestCase):
    def test_is_a_client(self):
        """The program imports neither the driver nor the one-machine cloud."""
        allowed = {
            *("acceptance", "keystoneauth1", "magnumclient", "openstack"),
            *sys.stdlib_module_names,
        }
        for path in sorted(pathlib.Path(acceptance.__file__).parent.glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [str(node.module)]
                for name in names:
                    self.assertIn(name.split(".")[0], allowed, f"{path.name} imports {name}")
