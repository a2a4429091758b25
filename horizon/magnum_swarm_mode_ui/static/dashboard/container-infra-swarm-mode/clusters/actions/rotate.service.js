// SPDX-License-Identifier: Apache-2.0
/**
 * Replaces the certificate authority of a cluster, and its credential.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular
    .module(MODULE)
    .factory(MODULE + '.clusters.rotate-authority', rotateAuthority)
    .factory(MODULE + '.clusters.rotate-credential', rotateCredential);

  var INJECTED = [
    'horizon.framework.util.i18n.gettext',
    MODULE + '.api',
    MODULE + '.clusters.action',
    MODULE + '.clusters.status'
  ];
  rotateAuthority.$inject = INJECTED;
  rotateCredential.$inject = INJECTED;

  function rotateAuthority(gettext, api, action, status) {
    return action.make(status.canRotateAuthority, function (cluster) {
      return action.ask({
        title: interpolate(gettext('Rotate the certificate authority of %(name)s'),
          {name: cluster.name}, true),
        intro: [
          gettext('Everything that lets anybody into the cluster is replaced: its certificate ' +
            'authority, the certificates of managers and of Magnum, the root of the nodes\' ' +
            'certificates, and both join tokens.'),
          gettext('Client files from before stop working within a minute or two. Download new ' +
            'ones as soon as the first step is done. No manager leaves the swarm and no service ' +
            'is touched; streams such as docker events end once.')
        ],
        submitText: gettext('Rotate'),
        submitIcon: 'refresh',
        isDanger: true,
        send: function () { return api.rotateAuthority(cluster.id); },
        done: function () {
          return gettext('The certificates are being replaced. Download the client files again.');
        },
        operatesOn: cluster,
        result: action.updated(cluster)
      });
    });
  }

  function rotateCredential(gettext, api, action, status) {
    return action.make(status.canRotateCredential, function (cluster) {
      return action.ask({
        title: interpolate(gettext('Rotate the credential of %(name)s'),
          {name: cluster.name}, true),
        intro: [
          gettext('The trust and the application credential with which Magnum and the managers ' +
            'work on the cluster are replaced, and the former ones revoked.'),
          gettext('You become the owner of the cluster. Only its owner can create node groups ' +
            'and download client files. You need a key pair of the name that the cluster was ' +
            'created with.')
        ],
        submitText: gettext('Rotate'),
        submitIcon: 'refresh',
        isDanger: true,
        send: function () { return api.rotateCredential(cluster.id); },
        done: function () { return gettext('The credential is being replaced.'); },
        operatesOn: cluster,
        result: action.updated(cluster)
      });
    });
  }
})();
