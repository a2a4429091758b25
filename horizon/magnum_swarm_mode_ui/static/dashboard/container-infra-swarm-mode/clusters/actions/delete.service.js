// SPDX-License-Identifier: Apache-2.0
/**
 * Deletes a cluster, or several.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular
    .module(MODULE)
    .factory(MODULE + '.clusters.delete', deleteService)
    .factory(MODULE + '.clusters.delete-several', deleteSeveral);

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

  deleteSeveral.$inject = [
    '$q',
    'horizon.app.core.openstack-service-api.magnum',
    'horizon.dashboard.container-infra.clusters.resourceType',
    'horizon.framework.util.actions.action-result.service',
    'horizon.framework.util.i18n.gettext',
    MODULE + '.clusters.action',
    MODULE + '.coe'
  ];

  function deleteSeveral($q, magnum, resourceType, actionResult, gettext, action, COE) {
    return {forSwarms: forSwarms};

    /** Returns a service that deletes what is chosen of a list: magnum-ui's, unless swarms are. */
    function forSwarms(service) {
      return angular.extend({}, service, {
        perform: function (chosen) {
          var clusters = [].concat(chosen || []);
          return clusters.some(isSwarm) ? ask(clusters) : service.perform.apply(service, arguments);
        }
      });
    }

    function isSwarm(cluster) {
      return cluster.coe === COE;
    }

    function ask(clusters) {
      return action.ask({
        title: gettext('Delete clusters'),
        intro: clusters.map(line).concat([
          gettext('All of these servers are deleted, with everything that was made for them: ' +
            'volumes, addresses, networks of their own, certificates and credentials.'),
          gettext('What services keep on the nodes is lost. This cannot be undone.')
        ]),
        submitText: gettext('Delete'),
        submitIcon: 'trash',
        isDanger: true,
        send: function () {
          return $q.all(clusters.map(function (cluster) {
            return magnum.deleteCluster(cluster.id, true);
          }));
        },
        done: function () { return gettext('The clusters are being deleted.'); },
        operatesOn: clusters,
        result: function () {
          // Each is in the list until it is gone.
          return clusters.reduce(function (result, cluster) {
            return result.updated(resourceType, cluster.id);
          }, actionResult.getActionResult()).result;
        }
      });
    }

    function line(cluster) {
      return interpolate(gettext('%(name)s (managers: %(managers)s, workers: %(workers)s)'), {
        name: cluster.name, managers: cluster.master_count, workers: cluster.node_count
      }, true);
    }
  }
})();
