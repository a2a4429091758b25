// SPDX-License-Identifier: Apache-2.0
/**
 * Deletes a cluster.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.delete', deleteService);

  deleteService.$inject = [
    '$location',
    'horizon.app.core.openstack-service-api.magnum',
    'horizon.framework.util.i18n.gettext',
    MODULE + '.clusters.action',
    MODULE + '.clusters.status'
  ];

  function deleteService($location, magnum, gettext, action, status) {
    return action.make(status.canDelete, function (cluster) {
      return action.ask({
        title: interpolate(gettext('Delete cluster %(name)s'), {name: cluster.name}, true),
        intro: [
          interpolate(gettext('All of its servers are deleted (managers: %(managers)s, ' +
            'workers: %(workers)s), with everything that was made for it: volumes, addresses, a ' +
            'network of its own, certificates and credentials.'),
          {managers: cluster.master_count, workers: cluster.node_count}, true),
          gettext('What its services keep on the nodes is lost. This cannot be undone.')
        ],
        submitText: gettext('Delete'),
        submitIcon: 'trash',
        isDanger: true,
        send: function () { return magnum.deleteCluster(cluster.id, true); },
        done: function () {
          return interpolate(gettext('Cluster %(name)s is being deleted.'),
            {name: cluster.name}, true);
        },
        operatesOn: cluster,
        result: function (answer) {
          $location.path('/project/clusters');
          // It is in the list until it is gone, with its steps.
          return action.updated(cluster)(answer);
        }
      });
    });
  }
})();
