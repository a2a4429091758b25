// SPDX-License-Identifier: Apache-2.0
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).controller(MODULE + '.clusters.DrawerController', DrawerController);

  DrawerController.$inject = ['$scope', MODULE + '.clusters.health'];

  function DrawerController($scope, health) {
    var read = {reason: null, health: health.read({})};
    var unwell = [];

    this.health = function () {
      var reason = $scope.item.health_status_reason;
      if (reason !== read.reason) {
        read = {reason: reason, health: health.read(reason)};
        unwell = read.health.nodes.filter(function (node) { return !node.isWell; });
      }
      return read.health;
    };
    this.unwell = function () {
      this.health();
      return unwell;
    };
  }
})();
