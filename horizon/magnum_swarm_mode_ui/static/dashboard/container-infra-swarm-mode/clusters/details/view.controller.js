// SPDX-License-Identifier: Apache-2.0
/**
 * What each view of a swarm's details shows; kept up to date while it is shown.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).controller(MODULE + '.clusters.ViewController', ViewController);

  ViewController.$inject = [
    '$scope',
    MODULE + '.clusters.client-files',
    MODULE + '.clusters.follow',
    MODULE + '.clusters.health',
    MODULE + '.clusters.managers',
    MODULE + '.clusters.node-group',
    MODULE + '.clusters.node-groups',
    MODULE + '.clusters.resize',
    MODULE + '.clusters.status'
  ];

  function ViewController(
    $scope, clientFiles, follow, health, managers, nodeGroup, nodeGroups, resize, status
  ) {
    var ctrl = this;
    ctrl.status = status;
    ctrl.survives = managers.sentence;
    ctrl.isManagers = nodeGroups.isManagers;
    ctrl.labelsOf = function (group) { return nodeGroups.labelsToText(group.node_labels); };
    ctrl.names = [];
    ctrl.download = function () { return clientFiles.perform(ctrl.cluster); };
    ctrl.createGroup = function () { return refreshed(nodeGroup.create.perform(ctrl.cluster)); };
    ctrl.resizeGroup = function (group) {
      return refreshed(resize.perform(ctrl.cluster, $scope, group));
    };
    ctrl.changeGroup = function (group) {
      return refreshed(nodeGroup.change(ctrl.cluster, group));
    };
    ctrl.removeGroup = function (group) {
      return refreshed(nodeGroup.remove(ctrl.cluster, group));
    };

    $scope.context.loadPromise.then(function (answer) {
      // The view of another engine may be there for a moment yet.
      if (answer && answer.data.node_groups) { follow.start($scope, answer.data, show); }
    });

    function show(cluster, steps) {
      ctrl.cluster = cluster;
      ctrl.context = clientFiles.contextOf(cluster);
      ctrl.steps = steps;
      ctrl.health = health.read(cluster.health_status_reason);
      ctrl.names = Object.keys(cluster.labels || {}).sort();
      ctrl.faults = Object.keys(cluster.faults || {}).sort();
    }

    function refreshed(promise) {
      return promise.then(function () { follow.refresh(); }, angular.noop);
    }
  }
})();
