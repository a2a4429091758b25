# SPDX-License-Identifier: Apache-2.0
"""Cleanup knows its own things from others'."""

from oslotest import base

from devcloud.dataplane import cleanup


class NamesTest(base.BaseTestCase):
    """Names of namespaces and interfaces."""

    def test_namespaces_of_ours(self) -> None:
        """The bridges', machines' and routers' namespaces are ours."""
        for name in ("dc-net", "dc-n-829e5cb4-0d36", "dc-r-15a1a2b6-5c"):
            self.assertTrue(cleanup.NAMESPACE_NAMES.match(name), name)

    def test_namespaces_of_others(self) -> None:
        """A name that only resembles ours is another's."""
        for name in ("dc-network", "dc-n-build", "qrouter-1", "dc", "my-dc-net"):
            self.assertFalse(cleanup.NAMESPACE_NAMES.match(name), name)

    def test_interfaces_of_ours(self) -> None:
        """The host's link, and taps and bridges that ended up on the host, are ours."""
        for name in ("dc-ext", "dc-host", "dct43c0550e-ee", "dcr469c7ed2-a1", "dcb55ea95fd-0b"):
            self.assertTrue(cleanup.LINK_NAMES.match(name), name)

    def test_interfaces_of_others(self) -> None:
        """A name that only resembles ours is another's."""
        for name in ("eth0", "docker0", "dcb0", "dct-one", "dc-external", "br-ex"):
            self.assertFalse(cleanup.LINK_NAMES.match(name), name)
