// SPDX-License-Identifier: Apache-2.0
/**
 * The list and the details of cluster templates: which engine each is for.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';
  var MAGNUM_UI = 'horizon.dashboard.container-infra';

  angular.module(MODULE).run(run);

  run.$inject = [
    'horizon.app.core.openstack-service-api.magnum',
    'horizon.framework.conf.resource-type-registry.service',
    'horizon.framework.util.i18n.gettext',
    MAGNUM_UI + '.cluster-templates.resourceType',
    MODULE + '.basePath',
    MODULE + '.coe',
    MODULE + '.views'
  ];

  function run(magnum, registry, gettext, resourceType, basePath, COE, views) {
    var templates = registry.getResourceType(resourceType);

    templates
      .setProperty('coe', {
        label: gettext('Engine'),
        values: {'swarm-mode': gettext('Docker Swarm mode'), kubernetes: gettext('Kubernetes')}
      })
      .tableColumns.append({id: 'coe', priority: 1});
    templates.filterFacets.append({label: gettext('Engine'), name: 'coe', singleton: true});

    views.replaceFor(templates, COE, [{
      id: 'swarmModeTemplateOverview',
      name: gettext('Overview'),
      template: basePath + 'templates/overview.html'
    }], function (id) { return magnum.getClusterTemplate(id); });
  }
})();
