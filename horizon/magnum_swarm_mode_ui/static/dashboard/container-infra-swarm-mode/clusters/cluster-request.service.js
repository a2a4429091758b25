// SPDX-License-Identifier: Apache-2.0
/**
 * What the dialog of clusters sends for swarm-mode.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.request', request);

  request.$inject = [
    '$location',
    'horizon.dashboard.container-infra.clusters.resourceType',
    'horizon.framework.util.actions.action-result.service',
    'horizon.framework.util.i18n.gettext',
    'horizon.framework.widgets.toast.service',
    MODULE + '.api',
    MODULE + '.labels.form'
  ];

  function request($location, resourceType, actionResult, gettext, toast, api, labels) {
    var NAMES = ['master_count', 'node_count', 'master_flavor_id', 'flavor_id', 'keypair',
      'docker_volume_size', 'fixed_network', 'fixed_subnet', 'create_timeout'];

    return {names: NAMES, fromModel: fromModel, submit: submit};

    /**
     * Returns the fields of a cluster. What was left empty is left out, so that the cluster has it
     * from its template, also after an upgrade.
     */
    function fromModel(model) {
      var fields = {
        name: model.name,
        cluster_template_id: model.cluster_template_id,
        labels: labels.fromModel(model.swarm.labels),
        merge_labels: true
      };
      NAMES.forEach(function (name) {
        var value = model.swarm[name];
        if (value !== '' && value !== null && angular.isDefined(value)) { fields[name] = value; }
      });
      if (model.swarm.floating_ip_enabled) {
        fields.floating_ip_enabled = model.swarm.floating_ip_enabled === 'true';
      }
      return fields;
    }

    function submit(model) {
      var fields = fromModel(model);
      return api.createCluster(fields).then(function (answer) {
        var text = gettext('Cluster %(name)s is being created.');
        toast.add('success', interpolate(text, {name: fields.name}, true));
        $location.path('/project/clusters');
        return actionResult.getActionResult().created(resourceType, answer.data.id).result;
      });
    }
  }
})();
