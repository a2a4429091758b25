# SPDX-License-Identifier: Apache-2.0
"""The whole life of a cluster in a real browser, on a cloud.

Needs OS_AUTH_URL, OS_USERNAME and OS_PASSWORD of a cloud, HORIZON_URL, and docker. The sizes are
small unless WALK_MANAGERS and WALK_WORKERS say otherwise. WALK_FROM and WALK_TO name the first and
the last step, where a walk has ended before or makes no cluster. WALK_CALLS names a file that is
locked while Magnum's API waits for its conductor, for tests beside that stop one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
import unittest
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By

from tests.browser import pages

NAME = "horizon-walk"
MANAGERS = int(os.environ.get("WALK_MANAGERS", "1"))
WORKERS = int(os.environ.get("WALK_WORKERS", "1"))
IMAGE = os.environ.get("WALK_IMAGE", "debian-docker-26.1")
# Seconds of the longest operation.
LONG = float(os.environ.get("WALK_LONG", "900"))


@contextlib.contextmanager
def calls() -> Iterator[None]:
    """Let nobody stop a conductor in the block, who heeds the same file."""
    with Path(os.environ.get("WALK_CALLS", os.devnull)).open("a", encoding="utf-8") as file:
        if "WALK_CALLS" in os.environ:
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


class WalkTest(unittest.TestCase):
    """One browser, one cluster; each step stands on the one before."""

    def setUp(self) -> None:
        self.shots = Path(os.environ.get("WALK_SHOTS", "/tmp/horizon-walk"))
        self.shots.mkdir(parents=True, exist_ok=True)
        url = os.environ.get("HORIZON_URL", "http://127.0.0.1:8080")
        self.browser = pages.Browser(url, self.shots)
        self.addCleanup(self.browser.close)
        self.seconds: dict[str, float] = {}

    def step(self, name: str, what: Any, *args: Any) -> None:
        """Do a step, keep a picture of its end, and how long it took."""
        started = time.monotonic()
        try:
            what(*args)
        finally:
            self.browser.shot(name)
        self.seconds[name] = round(time.monotonic() - started, 1)
        print(f"{name}: {self.seconds[name]} s", flush=True)

    def assert_accessible(self, css: str) -> None:
        found = self.browser.accessibility(css)
        self.assertEqual([], found, pages.dump(found))

    def assert_page_accessible(self) -> None:
        """Fail for what is wrong on the whole page."""
        self.browser.settle()
        self.assert_accessible("body")

    def submit(self, text: str = "Submit") -> None:
        self.browser.click(".modal-footer button", text)
        self.browser.settle()

    def refusal(self) -> str:
        return str(self.browser.until(lambda: self.browser.find(".swarm-mode-refusal")).text)

    def is_closed(self) -> None:
        """Wait until the dialog is closed, which it is only when Magnum accepted."""

        def closed() -> bool:
            found = self.browser.driver.find_elements(By.CSS_SELECTOR, ".modal-content")
            refusals = self.browser.driver.find_elements(By.CSS_SELECTOR, ".swarm-mode-refusal")
            for one in refusals:
                self.fail(f"Refused: {one.text}")
            return not found

        self.browser.until(closed)

    def reaches(self, status: str) -> None:
        """Wait until the list shows a status, without reloading the page."""
        failed = status.partition("_")[0] + "_FAILED"

        def reached() -> bool:
            text = self.browser.row(NAME).text
            if failed in text and failed != status:
                self.fail(text)
            return status in text

        self.browser.until(reached, LONG)

    def test_life(self) -> None:
        """A user makes a template and a cluster, changes, uses and deletes them, with the mouse."""
        browser = self.browser
        browser.log_in(os.environ["OS_USERNAME"], os.environ["OS_PASSWORD"])
        steps: tuple[tuple[Any, ...], ...] = (
            ("template", self.create_template, NAME, {}),
            ("template-2", self.create_template, f"{NAME}-2", {"drain_timeout": 5}),
            ("template-change", self.change_template),
            ("cluster-refused", self.be_refused),
            ("cluster-create", self.create_cluster),
            ("cluster-complete", self.reaches, "CREATE_COMPLETE"),
            ("nodes", self.inspect_nodes),
            ("connect", self.use_files),
            ("group-create", self.create_group),
            ("group-label", self.label_group),
            ("group-delete", self.delete_group),
            ("resize", self.resize),
            ("upgrade", self.upgrade),
            ("rotate", self.rotate, "Rotate Certificate Authority", "Client files from before"),
            ("rotate-credential", self.rotate, "Rotate Credential", "You become the owner"),
            ("files-again", self.use_files),
            ("delete", self.delete_cluster),
            ("templates-deleted", self.delete_templates),
        )
        names = [name for name, *_ in steps]
        first = names.index(os.environ.get("WALK_FROM", names[0]))
        last = names.index(os.environ.get("WALK_TO", names[-1]))
        for name, what, *arguments in steps[first : last + 1]:
            self.step(name, what, *arguments)
        severe = [text for text in browser.errors() if "Failed to load resource" not in text]
        self.assertEqual([], [text for text in severe if "unhandled rejection" not in text])

    def create_template(self, name: str, labels: dict[str, Any]) -> None:
        browser = self.browser
        browser.open("project/cluster_templates/")
        browser.click("actions button", "Create Cluster Template")
        browser.settle()
        browser.fill("name", name)
        browser.choose("coe", "Docker Swarm mode")
        browser.tab("Node Spec")
        browser.choose("image_id", IMAGE)
        browser.choose("flavor_id", "m1.small")
        browser.choose("keypair_id", "fuel")
        browser.shot("template-nodes")
        browser.tab("Network")
        browser.choose("external_network_id", "public")
        browser.choose("fixed_network", "private")
        browser.tab("Labels")
        for label, value in labels.items():
            browser.fill(label, value)
        self.assert_accessible(".modal")
        browser.shot("template-labels")
        self.submit()
        self.is_closed()
        self.assertIn("Docker Swarm mode", browser.until(lambda: browser.row(name).text))
        self.assert_page_accessible()

    def change_template(self) -> None:
        browser = self.browser
        browser.act(f"{NAME}-2", "Update Cluster Template")
        browser.settle()
        browser.tab("Labels")
        field = browser.find(".modal [name='drain_timeout']")
        browser.until(lambda: field.get_attribute("value") == "5")
        browser.fill("drain_timeout", 10)
        self.submit()
        self.is_closed()
        browser.click("hz-resource-table a", f"{NAME}-2")
        browser.until(lambda: browser.find(".swarm-mode dd", "10"))
        self.assert_page_accessible()

    def be_refused(self) -> None:
        browser = self.browser
        browser.open("project/clusters/")
        browser.click("actions button", "Create Cluster")
        browser.settle()
        browser.fill("name", NAME)
        browser.choose("cluster_template_id", NAME)
        browser.tab("Size")
        managers = f"{MANAGERS} manager"
        browser.click(".modal .radio label", managers)
        browser.fill("node_count", 20000)
        browser.tab("Advanced")
        self.assert_accessible(".modal")
        self.submit()
        self.assertIn("node_count=20000 is not possible", self.refusal())
        # At the field, in the tab where that is.
        browser.until(lambda: browser.find(".has-error .help-block", "node_count=20000"))
        browser.shot("cluster-refused-field")

    def create_cluster(self) -> None:
        self.browser.fill("node_count", WORKERS)
        summary = self.browser.find(".swarm-mode-summary").text
        self.assertIn(f"{WORKERS} worker", summary)
        self.browser.shot("cluster-summary")
        self.submit()
        self.is_closed()
        self.browser.until(lambda: "CREATE_IN_PROGRESS" in self.browser.row(NAME).text)

    def details(self, tab: str) -> None:
        browser = self.browser
        browser.open("project/clusters/")
        browser.click("hz-resource-table a", NAME)
        browser.settle()
        browser.click(".tabset-details a", tab)
        browser.until(lambda: browser.find(".swarm-mode"))

    def inspect_nodes(self) -> None:
        browser = self.browser
        browser.click("hz-resource-table tbody tr .expander")
        browser.until(lambda: browser.find(".swarm-mode"))
        self.assert_page_accessible()
        browser.shot("list")
        for tab in ("Overview", "Events", "Node Groups", "Connect", "Nodes"):
            self.details(tab)
            browser.until(lambda: browser.find(".swarm-mode h2, .swarm-mode table, .swarm-mode dl"))
            self.assertNotIn("Kubernetes", browser.find("hz-details").text)
            self.assert_page_accessible()
            browser.shot(f"details-{tab.lower().replace(' ', '-')}")

        def all_ready() -> bool:
            rows = browser.driver.find_elements(By.CSS_SELECTOR, ".swarm-mode tbody tr")
            ready = [row for row in rows if "ready" in row.text]
            return len(ready) == MANAGERS + WORKERS

        self.details("Events")
        signal = f"{NAME}-manager-0 is in the swarm as manager"
        browser.until(lambda: browser.find(".swarm-mode td", signal))
        self.assert_page_accessible()
        browser.shot("events")
        self.details("Nodes")

        # Magnum looks once a minute, and the page at what it saw.
        browser.until(all_ready, 180)
        browser.find(".swarm-mode td", "manager (leader)")

    def use_files(self) -> None:
        browser = self.browser
        for old in browser.downloads.glob("*"):
            old.unlink()
        self.details("Connect")
        browser.click(".swarm-mode-download")
        browser.until(lambda: browser.find(".modal-footer button", "Download"))
        browser.shot("download")
        self.assert_accessible(".modal")
        archive = browser.downloads / f"{NAME}.zip"
        with calls():
            self.submit("Download")
            self.is_closed()
            browser.until(archive.is_file)
        place = self.shots / "files"
        zipfile.ZipFile(archive).extractall(place)
        environment = {**os.environ, "DOCKER_CONFIG": str(place / "config")}
        subprocess.run(["sh", str(place / NAME / "docker-context.sh")], check=True, env=environment)
        done = subprocess.run(
            ["docker", "--context", NAME, "node", "ls"],
            check=True,
            env=environment,
            capture_output=True,
            text=True,
        )
        self.assertIn(f"{NAME}-manager-0", done.stdout)

    def create_group(self) -> None:
        browser = self.browser
        self.details("Node Groups")
        browser.click(".swarm-mode-create-group")
        browser.settle()
        browser.fill("name", "extra")
        browser.fill("node_count", 0)
        browser.fill("node_labels", "disk=ssd")
        self.assert_accessible(".modal")
        browser.shot("group-dialog")
        self.submit("Create")
        self.is_closed()
        self.group_is("extra", "COMPLETE")

    def group_is(self, name: str, text: str) -> None:
        browser = self.browser
        browser.until(lambda: text in browser.find(".swarm-mode tbody tr", name).text, LONG)

    def act_on_group(self, name: str, action: str) -> None:
        browser = self.browser

        def clicked() -> bool:
            row = browser.find(".swarm-mode tbody tr", name)
            [button] = [
                one for one in row.find_elements(By.CSS_SELECTOR, "button") if action in one.text
            ]
            assert button.is_enabled()
            button.click()
            return True

        browser.until(clicked, LONG)
        browser.settle()

    def settled_groups(self) -> None:
        """Open the groups as soon as no operation is under way any more."""
        self.browser.open("project/clusters/")
        self.browser.until(lambda: "_COMPLETE" in self.browser.row(NAME).text, LONG)
        self.details("Node Groups")

    def label_group(self) -> None:
        self.settled_groups()
        self.act_on_group("extra", "Label")
        self.browser.fill("node_labels", "disk=hdd")
        self.browser.fill("max_node_count", 2)
        self.submit("Change")
        self.is_closed()
        self.group_is("extra", "disk=hdd")

    def delete_group(self) -> None:
        self.settled_groups()
        self.act_on_group("extra", "Delete")
        self.submit("Delete")
        self.is_closed()

        def is_gone() -> bool:
            rows = self.browser.driver.find_elements(By.CSS_SELECTOR, ".swarm-mode tbody tr")
            return bool(rows) and not [row for row in rows if "extra" in row.text]

        self.browser.until(is_gone, LONG)

    def resize(self) -> None:
        browser = self.browser
        browser.open("project/clusters/")
        browser.until(lambda: "_COMPLETE" in browser.row(NAME).text, LONG)
        browser.act(NAME, "Resize Cluster")
        browser.settle()
        browser.fill("workers", WORKERS - 1)
        browser.click(".modal .checkbox label", f"{NAME}-worker-0")
        self.assertIn(
            f"Among those that go: {NAME}-worker-0", browser.find(".swarm-mode-summary").text
        )
        self.assert_accessible(".modal")
        browser.shot("resize-dialog")
        self.submit("Resize")
        self.is_closed()
        self.reaches("UPDATE_IN_PROGRESS")
        self.reaches("UPDATE_COMPLETE")
        browser.act(NAME, "Resize Cluster")
        browser.settle()
        browser.fill("workers", WORKERS)
        self.submit("Resize")
        self.is_closed()
        self.reaches("UPDATE_IN_PROGRESS")
        self.reaches("UPDATE_COMPLETE")

    def upgrade(self) -> None:
        browser = self.browser
        browser.act(NAME, "Upgrade Cluster")
        browser.settle()
        browser.choose("template", f"{NAME}-2")
        browser.until(lambda: browser.find(".swarm-mode-summary", "drain_timeout: from 300 to 10"))
        self.assert_accessible(".modal")
        browser.shot("upgrade-dialog")
        self.submit("Upgrade")
        self.is_closed()
        browser.until(lambda: "UPDATE_COMPLETE" in browser.row(NAME).text, LONG)

    def rotate(self, action: str, effect: str) -> None:
        browser = self.browser
        browser.open("project/clusters/")
        browser.until(lambda: "UPDATE_COMPLETE" in browser.row(NAME).text, LONG)
        browser.act(NAME, action)
        browser.until(lambda: browser.find(".modal", effect))
        self.assert_accessible(".modal")
        browser.shot(f"{action.lower().replace(' ', '-')}-dialog")
        with calls():
            self.submit("Rotate")
            self.is_closed()
        self.reaches("UPDATE_IN_PROGRESS")
        self.reaches("UPDATE_COMPLETE")

    def delete_cluster(self) -> None:
        browser = self.browser
        browser.open("project/clusters/")
        browser.act(NAME, "Delete Cluster")
        browser.until(lambda: browser.find(".modal", "This cannot be undone"))
        self.assert_accessible(".modal")
        browser.shot("delete-dialog")
        self.submit("Delete")
        self.is_closed()

        def is_gone() -> bool:
            rows = browser.driver.find_elements(By.CSS_SELECTOR, "hz-resource-table tbody tr")
            return not [row for row in rows if NAME in row.text]

        browser.until(is_gone, LONG)

    def delete_templates(self) -> None:
        browser = self.browser
        for name in (f"{NAME}-2", NAME):
            browser.open("project/cluster_templates/")
            browser.act(name, "Delete Cluster Template")
            browser.click(".modal-footer button", "Delete")
            browser.settle()


if __name__ == "__main__":
    unittest.main()
