// SPDX-License-Identifier: Apache-2.0
/**
 * The actions on a swarm. magnum-ui's own stay for clusters of other engines.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).run(run);

  run.$inject = [
    '$q',
    'horizon.dashboard.container-infra.clusters.resourceType',
    'horizon.framework.conf.resource-type-registry.service',
    'horizon.framework.util.i18n.gettext',
    MODULE + '.clusters.client-files',
    MODULE + '.clusters.delete',
    MODULE + '.clusters.delete-several',
    MODULE + '.clusters.node-group',
    MODULE + '.clusters.resize',
    MODULE + '.clusters.rotate-authority',
    MODULE + '.clusters.rotate-credential',
    MODULE + '.clusters.upgrade',
    MODULE + '.coe'
  ];

  function run(
    $q, resourceType, registry, gettext, clientFiles, deleteService, deleteSeveral, nodeGroup,
    resize, rotateAuthority, rotateCredential, upgrade, COE
  ) {
    var type = registry.getResourceType(resourceType);
    var actions = type.itemActions;

    type.batchActions.forEach(function (entry) {
      if (entry.id === 'batchDeleteClusterAction') {
        entry.service = deleteSeveral.forSwarms(entry.service);
      }
    });
    // magnum-ui's first: of these it disables some by their place in the menu.
    actions.forEach(function (entry) { entry.service = forOthers(entry.service); });
    actions
      .append(swarm('ClientFiles', clientFiles, {text: gettext('Download Client Files')}))
      .append(swarm('Resize', resize, {text: gettext('Resize Cluster')}))
      .append(swarm('NodeGroup', nodeGroup.create, {text: gettext('Create Node Group')}))
      .append(swarm('Upgrade', upgrade, {text: gettext('Upgrade Cluster')}))
      .append(swarm('RotateAuthority', rotateAuthority,
        {text: gettext('Rotate Certificate Authority'), type: 'danger'}))
      .append(swarm('RotateCredential', rotateCredential,
        {text: gettext('Rotate Credential'), type: 'danger'}))
      .append(swarm('Delete', deleteService, {text: gettext('Delete Cluster'), type: 'delete'}));

    function swarm(name, service, template) {
      return {id: 'swarmMode' + name + 'Action', service: service, template: template};
    }

    function forOthers(service) {
      return angular.extend({}, service, {
        allowed: function (cluster) {
          if (!cluster || cluster.coe !== COE) { return service.allowed.apply(service, arguments); }
          var rejected = $q.reject();
          rejected.catch(angular.noop);
          return rejected;
        },
        perform: function () { return service.perform.apply(service, arguments); }
      });
    }
  }
})();
