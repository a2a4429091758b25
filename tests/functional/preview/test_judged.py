# SPDX-License-Identifier: Apache-2.0
"""What the preview shows, judged by Heat's own engine code and by cloud-init itself."""

import contextlib
import io
import json
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any

import hypothesis
import yaml
from hypothesis import strategies

from magnum_swarm_mode.node.base import config
from magnum_swarm_mode.preview import main
from tests.functional.heat import engine
from tests.unit.preview import base
from tests.unit.strategies import label_maps

# cloud-init is not among Python's packages; it comes with the node images of the one-machine cloud.
IMAGES = pathlib.Path("/var/lib/devcloud/images")
# Runs cloud-init of a root file system on files beside it, which stays as it is.
_JUDGE = """
mount --bind "$1" "$2/mnt"
for role in manager worker; do
    chroot "$2" cloud-init schema --config-file "/mnt/cloud-init/$role.yaml" || exit 1
done
"""


def judge_by_cloud_init(directory: pathlib.Path) -> list[str]:
    """Return what cloud-init of each node image says of a rendering's cloud-init files."""
    found = []
    for root in sorted({path.resolve() for path in IMAGES.glob("*") if path.is_symlink()}):
        if (root / "usr/bin/cloud-init").exists():
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", _JUDGE, "sh", directory, root],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            found.append(f"{root.name}: {done.returncode} {done.stdout}{done.stderr}")
    return found


class VariantTest(base.RenderTestCase):
    def judged(self, *arguments: str) -> dict[str, str]:
        """Return a rendering whose stack Heat takes and whose cloud-init cloud-init takes."""
        texts = self.render(*arguments)
        files = {name: text for name, text in texts.items() if not name.startswith("cloud-init/")}
        [result] = engine.run(
            {
                "action": "validate",
                "template": files["cluster.yaml"],
                "files": files,
                "environment": {
                    **yaml.safe_load(files["environment.yaml"]),
                    **yaml.safe_load(files["parameters.yaml"]),
                },
            }
        )
        self.assertIn("manager_ready", result)
        verdicts = judge_by_cloud_init(self.directory / "out")
        self.assertNotEqual([], verdicts, f"no node image below {IMAGES}")
        for verdict in verdicts:
            self.assertEqual(2, verdict.count("Valid cloud-config"), verdict)
        return texts

    def test_first_cluster(self) -> None:
        """Heat and cloud-init take what the project's first cluster is rendered to."""
        self.judged(*base.FIRST)

    def test_everything_asked_for(self) -> None:
        """Heat and cloud-init take a cluster that uses every variant."""
        self.judged(
            *(*base.LEAST, "--docker-volume-size", "1", "--keypair", "k"),
            *("--label", "worker_floating_ip_enabled=true", "--label", "availability_zone=z"),
            *("--label", "ssh_allowed_cidrs=192.0.2.0/24 198.51.100.0/24"),
            *("--http-proxy", "http://proxy:3128", "--no-proxy", "a,b", "--node-count", "0"),
        )


# Most of what is printable is accepted, most of what is not refused.
_NAME = strategies.one_of(
    strategies.text(strategies.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60),
    strategies.text(
        strategies.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=60
    ),
)
_CLUSTERS = strategies.fixed_dictionaries(
    {
        "name": _NAME,
        "master_count": strategies.sampled_from([1, 3, 5, 7]),
        "node_count": strategies.integers(0, 2000),
        "create_timeout": strategies.integers(0, 720),
        "labels": label_maps(),
    },
    optional={
        "keypair": _NAME,
        "fixed_network": strategies.just("private"),
        "docker_volume_size": strategies.integers(1, 1000),
    },
)
_TEMPLATE = {"image_id": "debian", "flavor_id": "small", "external_network_id": "public"}


def _rendered(clusters: Sequence[dict[str, Any]], directory: pathlib.Path) -> list[dict[str, str]]:
    """Return the renderings of those clusters that are not refused."""
    found = []
    template = directory / "template.json"
    template.write_text(json.dumps(_TEMPLATE))
    for number, cluster in enumerate(clusters):
        source, target = directory / f"{number}.json", directory / str(number)
        source.write_text(json.dumps(cluster))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.main(
                [
                    "render",
                    "--output",
                    str(target),
                    "--template-file",
                    str(template),
                    "--cluster-file",
                    str(source),
                ]
            )
        if code == 0:
            found.append(
                {
                    str(pathlib.Path(line).relative_to(target)): pathlib.Path(line).read_text()
                    for line in out.getvalue().splitlines()
                }
            )
        else:
            # Refused in one sentence, never with a traceback.
            assert err.getvalue().startswith("ERROR: "), err.getvalue()
    return found


class PropertyTest(base.RenderTestCase):
    def test_whatever_is_accepted_is_valid(self) -> None:
        """Of any name, counts and labels: either a refusal, or what Heat and the node take."""
        asked: list[dict[str, Any]] = []

        # Heat is asked once for all: a process of it takes seconds to start.
        @hypothesis.settings(
            max_examples=60, database=None, derandomize=True, deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(_CLUSTERS)
        def gather(cluster: dict[str, Any]) -> None:
            asked.append(cluster)

        gather()
        renderings = _rendered(asked, self.directory)
        self.assertGreater(len(renderings), 15)
        jobs = []
        for texts in renderings:
            environment = yaml.safe_load(texts["environment.yaml"])
            environment |= yaml.safe_load(texts["parameters.yaml"])
            files = {n: t for n, t in texts.items() if not n.startswith("cloud-init/")}
            jobs.append(
                {
                    "action": "validate",
                    "template": files["cluster.yaml"],
                    "files": files,
                    "environment": environment,
                }
            )
            for role in ("manager", "worker"):
                told = base.configuration(texts, role)
                # Of a network that is made only Heat knows the MTU.
                told["engine"]["mtu"] = 1500
                self.assertEqual(role, config.parse(json.dumps(told)).role)
        for job, result in zip(jobs, engine.run(*jobs), strict=True):
            self.assertIn("manager_ready", result, str(job["environment"]["parameters"]))
