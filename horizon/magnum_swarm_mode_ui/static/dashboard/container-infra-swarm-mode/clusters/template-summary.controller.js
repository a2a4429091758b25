// SPDX-License-Identifier: Apache-2.0
/**
 * What a template of swarm-mode makes clusters of, in the dialog that creates one.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular
    .module(MODULE)
    .controller(MODULE + '.clusters.TemplateSummaryController', TemplateSummaryController);

  TemplateSummaryController.$inject = [
    '$scope',
    'horizon.app.core.openstack-service-api.magnum'
  ];

  function TemplateSummaryController($scope, magnum) {
    var ctrl = this;
    ctrl.labels = [];

    $scope.$watch(function () { return $scope.model.cluster_template_id; }, function (id) {
      ctrl.template = null;
      if (!id) { return; }
      magnum.getClusterTemplate(id).then(function (answer) {
        // Another one may have been chosen meanwhile.
        if (!answer || id !== $scope.model.cluster_template_id) { return; }
        ctrl.template = answer.data;
        ctrl.labels = Object.keys(answer.data.labels || {}).sort().map(function (name) {
          return name + '=' + answer.data.labels[name];
        });
      });
    });
  }
})();
