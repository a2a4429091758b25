# SPDX-License-Identifier: Apache-2.0
"""A small apt repository laid out as Docker's own, signed, and served on the loopback address."""

import functools
import hashlib
import http.server
import subprocess
import threading
from pathlib import Path
from typing import Any

import fixtures

SUITE = "bookworm"
VERSIONS = ("5:26.1.3-1~debian.12~bookworm", "5:26.1.4-1~debian.12~bookworm",
            "5:27.3.1-1~debian.12~bookworm")  # fmt: skip
STARTED = "engine-started"  # what the engine's init script leaves in the root directory
_START = f"#!/bin/sh\ntouch /{STARTED}\n"
_POSTINST = "#!/bin/sh\nset -e\ninvoke-rc.d docker start\n"


def _engine(version: str) -> str:
    number = version.partition(":")[2].partition("-")[0]
    return f"#!/bin/sh\necho Docker version {number}, build test\n"


class Repository(fixtures.Fixture):
    """Packages docker-ce, docker-ce-cli, containerd.io and iptables.

    ``url`` is what the label docker_repository would be; the key is at ``url``/gpg, another one,
    which has signed nothing, at ``url``/other.
    """

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        self._work = Path(self.useFixture(fixtures.TempDir()).path)
        self._top = self._work / "linux"
        self._pool = self._top / "pool"
        self._pool.mkdir(parents=True)
        for version in VERSIONS:
            files = {"usr/bin/dockerd": _engine(version), "etc/init.d/docker": _START}
            self._package("docker-ce", version, files, _POSTINST)
            self._package("docker-ce-cli", version, {"usr/bin/docker": "#!/bin/sh\n"})
        self._package("containerd.io", "1.7.22-1", {"usr/bin/containerd": "#!/bin/sh\n"})
        self._package("iptables", "1.8.9-2", {"usr/sbin/iptables": "#!/bin/sh\n"})
        for name in ("gpg", "other"):
            self._make_key(name)
        self._index()
        self._serve()

    def _package(
        self, name: str, version: str, contents: dict[str, str], postinst: str = ""
    ) -> None:
        root = self._work / f"{name}_{version}"
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        control += "Maintainer: nobody <nobody@example.com>\nDescription: test\n"
        scripts = {"DEBIAN/postinst": postinst} if postinst else {}
        for path, text in {"DEBIAN/control": control, **scripts, **contents}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            (root / path).chmod(0o644 if path == "DEBIAN/control" else 0o755)
        target = self._pool / f"{name}_{version.rpartition(':')[2].partition('~')[0]}_all.deb"
        self._run("dpkg-deb", "--build", "--root-owner-group", "-Znone", str(root), str(target))

    def _run(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _gpg(self, *arguments: str) -> str:
        home = self._work / "gnupg"
        home.mkdir(mode=0o700, exist_ok=True)
        return self._run("gpg", "--homedir", str(home), "--batch", "--yes", *arguments)

    def _make_key(self, name: str) -> None:
        new = ("--passphrase", "", "--quick-generate-key", f"{name}@example.com", "ed25519", "sign")
        self._gpg(*new)
        self.addCleanup(
            subprocess.run,
            ["gpgconf", "--homedir", str(self._work / "gnupg"), "--kill", "all"],
            check=False,
        )
        (self._top / name).write_text(self._gpg("--armor", "--export", f"{name}@example.com"))

    def _index(self) -> None:
        entries = []
        for path in sorted(self._pool.glob("*.deb")):
            data = path.read_bytes()
            control = self._run("dpkg-deb", "--field", str(path)).strip()
            entries.append(
                f"{control}\nFilename: pool/{path.name}\nSize: {len(data)}\n"
                f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
            )
        packages = "\n".join(entries).encode()
        suite = self._top / "dists" / SUITE
        relative = "stable/binary-amd64/Packages"
        (suite / relative).parent.mkdir(parents=True)
        (suite / relative).write_bytes(packages)
        digest = hashlib.sha256(packages).hexdigest()
        release = (
            f"Suite: {SUITE}\nCodename: {SUITE}\nComponents: stable\nArchitectures: amd64 all\n"
            "Date: Sat, 01 Jan 2022 00:00:00 UTC\nNo-Support-for-Architecture-all: Packages\n"
            f"SHA256:\n {digest} {len(packages)} {relative}\n"
        )
        (suite / "Release").write_text(release)
        target = ("--output", str(suite / "InRelease"), str(suite / "Release"))
        self._gpg("--local-user", "gpg@example.com", "--clearsign", *target)

    def _serve(self) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(self._top))
        )
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
