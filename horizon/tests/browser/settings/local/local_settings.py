# SPDX-License-Identifier: Apache-2.0
"""A Horizon for tests against a cloud, reached without TLS; not for anything else."""

import os

_PLACE = os.environ["HORIZON_RUN"]

DEBUG = False
# Also where a browser elsewhere comes through ssh.
ALLOWED_HOSTS = [os.environ["HORIZON_ADDRESS"], "127.0.0.1", "localhost"]
SECRET_KEY = os.environ["HORIZON_SECRET"]
LOCAL_PATH = _PLACE
STATIC_ROOT = os.path.join(_PLACE, "static")
WEBROOT = "/"
OPENSTACK_KEYSTONE_URL = os.environ["OS_AUTH_URL"]
OPENSTACK_KEYSTONE_DEFAULT_ROLE = "member"
OPENSTACK_API_VERSIONS = {"identity": 3}
# One process with threads: sessions are in its memory.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
COMPRESS_OFFLINE = True
TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
# What another engine's dialog offers; magnum-ui's defaults are too large for small clouds.
MAGNUM_MINIMUM_FLAVOR_RAM = 1024
MAGNUM_MINIMUM_FLAVOR_VCPU = 1
