# SPDX-License-Identifier: Apache-2.0
"""The client files of a cluster, as an archive.

The key is made here and is in no session, cache, log or file: only in the answer.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views import generic
from magnumclient.common import utils as client_utils
from openstack_dashboard.api.rest import urls
from openstack_dashboard.api.rest import utils as rest_utils

from magnum_swarm_mode_ui import client_files
from magnum_swarm_mode_ui.rest import base
from magnum_swarm_mode_ui.services import Magnum


@urls.register
class ClientFiles(generic.View):
    """A client certificate of the user, and what to do with it."""

    url_regex = base.CLUSTER + r"/client_files$"

    # Not GET: a certificate is made, and no other site may have the browser do that.
    @rest_utils.ajax()
    def post(self, request: HttpRequest, cluster_id: str) -> HttpResponse:
        """Have a certificate signed and return the archive."""
        magnum = Magnum(request)
        cluster = magnum.call("GET", f"/v1/clusters/{cluster_id}")
        host = client_files.docker_host(cluster.get("api_address"))
        if host is None:
            raise rest_utils.AjaxError(409, _("The cluster has no address of its Docker API yet."))
        pair = client_utils.generate_csr_and_key()
        authority = magnum.call("GET", f"/v1/certificates/{cluster_id}")
        request_body = {"cluster_uuid": cluster["uuid"], "csr": pair["csr"]}
        signed = magnum.call("POST", "/v1/certificates", request_body)
        name = client_files.context_name(cluster["name"], cluster["uuid"])
        certificates = client_files.Certificates(authority["pem"], signed["pem"], pair["key"])
        answer = HttpResponse(
            client_files.archive(name, host, certificates), content_type="application/zip"
        )
        answer["Content-Disposition"] = f'attachment; filename="{name}.zip"'
        answer["Cache-Control"] = "no-store"
        answer["X-Content-Type-Options"] = "nosniff"
        return answer
