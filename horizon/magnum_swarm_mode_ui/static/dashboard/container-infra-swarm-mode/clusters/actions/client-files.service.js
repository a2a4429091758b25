// SPDX-License-Identifier: Apache-2.0
/**
 * Downloads what docker needs to reach a cluster.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.client-files', clientFiles);

  clientFiles.$inject = [
    '$document',
    '$window',
    'horizon.framework.util.i18n.gettext',
    MODULE + '.api',
    MODULE + '.clusters.action',
    MODULE + '.clusters.status'
  ];

  function clientFiles($document, $window, gettext, api, action, status) {
    var service = action.make(status.hasFiles, perform);
    service.nameOf = nameOf;
    service.contextOf = contextOf;
    return service;

    function perform(cluster) {
      return action.ask({
        title: interpolate(gettext('Client files of %(name)s'), {name: cluster.name}, true),
        intro: [
          gettext('A client certificate is made for you and comes as an archive, with a script ' +
            'that creates a docker context.'),
          gettext('Anyone who has its key.pem administers the cluster. Keep it secret. To make ' +
            'it worthless, rotate the certificate authority.')
        ],
        submitText: gettext('Download'),
        submitIcon: 'download',
        send: function () { return api.getClientFiles(cluster.id).then(save); },
        result: action.updated(cluster)
      });
    }

    function save(answer) {
      var url = $window.URL.createObjectURL(new Blob([answer.data], {type: 'application/zip'}));
      var link = $document[0].createElement('a');
      link.href = url;
      link.download = nameOf(answer.headers('Content-Disposition'));
      $document[0].body.appendChild(link);
      link.click();
      link.remove();
      $window.URL.revokeObjectURL(url);
      return answer;
    }

    /** Returns what the archive and its docker context are called: Docker takes not every name. */
    function contextOf(cluster) {
      return /^[A-Za-z0-9][A-Za-z0-9_.-]{1,100}$/.test(cluster.name) ? cluster.name : cluster.id;
    }

    function nameOf(disposition) {
      var match = /filename="([A-Za-z0-9_.-]+)"/.exec(disposition || '');
      return match ? match[1] : 'swarm.zip';
    }
  }
})();
