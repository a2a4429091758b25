# SPDX-License-Identifier: Apache-2.0
import shutil
import socket
import sys

import fixtures

from devcloud import cloud, files, horizon, preflight, processes, settings, status
from devcloud.errors import DevcloudError
from devcloud.processes import Service
from tests.unit.devcloud import base


class HorizonTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("LIB", "HORIZON"):
            path = self.home / name.lower()
            path.mkdir()
            self.useFixture(fixtures.MonkeyPatch(f"devcloud.settings.{name}", path))

    def _sources(self) -> None:
        """Have sources that the test may change."""
        sources = self.home / "sources"
        for name in horizon._SERVED:
            origin, place = horizon._SOURCES / name, sources / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(origin, place) if origin.is_dir() else shutil.copy2(origin, place)
        self.useFixture(fixtures.MonkeyPatch("devcloud.horizon._SOURCES", sources))

    def test_copy(self) -> None:
        """What is served is a copy, whose hash changes only with its sources."""
        self._sources()
        first = horizon.copy()
        served = settings.LIB / "horizon"
        self.assertTrue((served / "tools/serve").stat().st_mode & 0o100)
        # Catalogues that are compiled where it is served change nothing.
        catalogue = "magnum_swarm_mode_ui/locale/de/LC_MESSAGES/django.mo"
        files.write(served / catalogue, "compiled")
        files.write(horizon._SOURCES / catalogue, "compiled")
        self.assertEqual(first, horizon.copy())
        self.assertTrue((served / catalogue).exists())
        files.write(horizon._SOURCES / "magnum_swarm_mode_ui/apps.py", "changed")
        self.assertNotEqual(first, horizon.copy())
        self.assertEqual("changed", (served / "magnum_swarm_mode_ui/apps.py").read_text())

    def test_restarted(self) -> None:
        """It is started again when what it serves has changed."""
        services = [horizon.service(text) for text in ("1", "1", "2")]
        prints = [service.fingerprint for service in services]
        self.assertEqual([True, False], [prints[0] == one for one in prints[1:]])

    def test_wanted(self) -> None:
        """Without a choice it runs if it ran before; a choice says it."""
        found = [horizon.is_wanted(choice) for choice in (None, True, False)]
        self.assertEqual([False, True, False], found)
        self._record()
        found = [horizon.is_wanted(choice) for choice in (None, True, False)]
        self.assertEqual([True, True, False], found)

    def _record(self) -> None:
        path = processes.record_path("horizon")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"pid": 0, "start": 0, "boot": "", "fingerprint": ""}')

    def test_status(self) -> None:
        """It has a line where it was started, also after it died, and none elsewhere."""
        self.assertNotIn("horizon", [service.name for service in status.services()])
        self._record()
        self.assertIn("horizon", [service.name for service in status.services()])

    def test_ended(self) -> None:
        """A Horizon that shall not run is ended, services that shall run are not."""
        stopped: list[str] = []
        self.useFixture(fixtures.MonkeyPatch("devcloud.processes.stop", stopped.extend))
        self._record()
        keystone = Service("keystone", ())
        cloud._stop_obsolete([keystone, horizon.service()])
        self.assertEqual([], stopped)
        cloud._stop_obsolete([keystone])
        self.assertEqual(["horizon"], stopped)

    def test_port(self) -> None:
        """Its port may be in use where it shall not run."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            listener = ("horizon", "127.0.0.1", other.getsockname()[1])
            self.useFixture(fixtures.MonkeyPatch("devcloud.preflight.LISTENERS", [listener]))
            self.assertRaises(DevcloudError, preflight.check_ports, {"keystone"})
            preflight.check_ports({"keystone", "horizon"})

    def test_environment(self) -> None:
        """An environment of other versions, or half a one, is made again."""
        venv = self.home / "horizon" / "venv"
        self.useFixture(fixtures.MonkeyPatch("devcloud.horizon.VENV", venv))
        files.write(settings.HORIZON / ".devcloud-environment", horizon.wanted_hash())
        self.assertFalse(horizon.is_current())
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for name in ("python", "pip", version):
            files.write(venv / "bin" / name, "")
        self.assertTrue(horizon.is_current())
        files.write(settings.HORIZON / ".devcloud-environment", "of other versions")
        self.assertFalse(horizon.is_current())
