// SPDX-License-Identifier: Apache-2.0
/**
 * Docker Swarm mode in the container-infra panel.
 *
 * Nothing of Horizon or magnum-ui is replaced in their files: factories are decorated, dialogs get
 * further items, and the registry of resource types is told of columns, views and actions. What
 * belongs to another engine stays as it was. Each folder has one part of the panel:
 *
 * - api: calls of the plug-in's own REST resources
 * - labels: the labels of clusters as fields of a form
 * - dialog: a dialog that stays open when Magnum refuses a request
 * - templates, clusters: lists, dialogs, details and actions
 * - workarounds: faults of magnum-ui that concern every engine
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular
    .module(MODULE, ['horizon.dashboard.container-infra'])
    .constant(MODULE + '.coe', 'swarm-mode')
    .config(config);

  config.$inject = ['$provide', '$windowProvider'];

  function config($provide, $windowProvider) {
    var path = $windowProvider.$get().STATIC_URL + 'dashboard/container-infra-swarm-mode/';
    $provide.constant(MODULE + '.basePath', path);
  }
})();
