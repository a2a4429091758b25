# SPDX-License-Identifier: Apache-2.0
"""Lying managers among honest ones: the conductor's own threads and client, and real sockets."""

import threading
import time
from types import SimpleNamespace
from unittest import mock

from oslo_service import loopingcall
from oslotest import base

from magnum_swarm_mode import conf
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import transport
from tests.fakes import certificates
from tests.fakes import docker as fake_docker
from tests.fakes.liar import Liar

HEAD = b"HTTP/1.1 200 OK\r\n"
TIMEOUT = 5.0
SECONDS = 120.0
THREADS = 2
HONEST = 20


class Job:
    """As Magnum's for the health of one cluster."""

    def __init__(self, name, swarm):
        template = SimpleNamespace(coe="swarm-mode")
        self.cluster = SimpleNamespace(uuid=name, cluster_template=template)
        self._swarm = swarm
        self.done = threading.Event()
        self.took = 0.0

    def update_health_status(self):
        began = time.monotonic()
        try:
            self._swarm.nodes()
        finally:
            self.took = time.monotonic() - began
            self.done.set()
        raise loopingcall.LoopingCallDone


class LyingTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        conf.register_opts(loop.CONF)
        loop.CONF.set_override("clusters_at_once", THREADS, group="swarm_mode")
        self.addCleanup(loop.CONF.clear_override, "clusters_at_once", group="swarm_mode")
        self.enterContext(mock.patch.object(loop, "is_turn", return_value=True))
        self.enterContext(mock.patch.object(loop, "Store"))
        self.authority = certificates.Authority()
        pair = self.authority.client()
        self.identity = transport.Identity(self.authority.pem, pair.certificate, pair.key)
        self.calls = loop.Calls(loopingcall)
        # The rows are as they were listed.
        self.enterContext(mock.patch.object(loop, "_is_current", return_value=True))

    def swarm(self, port, timeout=SECONDS):
        swarm = swarm_client.Swarm(["127.0.0.1"], self.identity, timeout, port)
        self.addCleanup(swarm.close)
        return swarm

    def round(self, swarms):
        """Have all clusters looked at, those that come first first."""
        jobs = {name: Job(name, swarm) for name, swarm in swarms.items()}
        for job in jobs.values():
            self.calls.FixedIntervalLoopingCall(f=job.update_health_status).start(1)
        return jobs

    def test_others_on_time(self):
        """However many managers lie, the other clusters' polls are done while those still wait."""
        lies = (
            lambda liar, send: (send(HEAD), liar.drip(send, b"A: b\r\n" * 500)),
            lambda liar, send: liar.ended.wait(60),
            lambda liar, send: (send(HEAD + b"\r\n["), liar.drip(send, b" " * 500)),
            lambda liar, send: (send(HEAD), liar.drip(send, b"x" * 500)),
        )
        swarms = {
            f"lying {number}": self.swarm(self.useFixture(Liar(self.authority, lie)).port, TIMEOUT)
            for number, lie in enumerate(lies)
        }
        pair = self.authority.server("127.0.0.1")
        docker = self.useFixture(fake_docker.FakeDocker(self.authority.pem, pair))
        honest = [f"honest {number}" for number in range(HONEST)]
        swarms |= {name: self.swarm(docker.port) for name in honest}
        for job in self.round(swarms).values():
            self.assertTrue(job.done.wait(SECONDS))
        until = time.monotonic() + SECONDS
        while self.calls._queued and time.monotonic() < until:
            time.sleep(0.01)

        jobs = self.round(swarms)

        for name in honest:
            self.assertTrue(jobs[name].done.wait(SECONDS))
        liars = [job for name, job in jobs.items() if name not in honest]
        self.assertFalse(any(job.done.is_set() for job in liars))
        for job in liars:
            self.assertTrue(job.done.wait(SECONDS))
            self.assertLess(job.took, TIMEOUT + 10)
