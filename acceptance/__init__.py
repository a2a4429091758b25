# SPDX-License-Identifier: Apache-2.0
"""Checks a cloud: makes a swarm-mode cluster and tries what such a cluster promises.

It is a client like any other: it talks to the cloud's public APIs and to the cluster's Docker API,
and imports neither the driver nor the one-machine cloud.
"""
