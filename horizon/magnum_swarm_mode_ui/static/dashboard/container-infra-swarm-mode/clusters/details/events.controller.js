// SPDX-License-Identifier: Apache-2.0
/**
 * What Heat did last for the cluster that is shown.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).controller(MODULE + '.clusters.EventsController', EventsController);

  EventsController.$inject = [
    '$scope', MODULE + '.api', MODULE + '.clusters.status', MODULE + '.dialog.refusal'
  ];

  function EventsController($scope, api, status, refusal) {
    var ctrl = this;
    var last = null;
    ctrl.items = [];
    ctrl.refusal = '';

    // The cluster is another object whenever it was read.
    $scope.$watch('ctrl.cluster', function (cluster) {
      if (cluster && mayHaveNew(cluster)) { read(cluster); }
    });

    function mayHaveNew(cluster) {
      return !last || status.isChanging(cluster) || cluster.status !== last.status ||
        cluster.status_reason !== last.status_reason;
    }

    function read(cluster) {
      last = cluster;
      api.getEvents(cluster.id).then(function (answer) {
        ctrl.items = answer.data.items;
        ctrl.refusal = '';
      }, function (answer) {
        // What was seen stays: Heat may be away for a moment.
        ctrl.refusal = refusal.sentence(answer);
      });
    }
  }
})();
