// SPDX-License-Identifier: Apache-2.0
/**
 * What the dialog of cluster templates sends for swarm-mode.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.templates.request', request);

  request.$inject = [
    'horizon.dashboard.container-infra.cluster-templates.resourceType',
    'horizon.framework.util.actions.action-result.service',
    'horizon.framework.util.i18n.gettext',
    'horizon.framework.widgets.toast.service',
    MODULE + '.api',
    MODULE + '.labels.form'
  ];

  function request(resourceType, actionResult, gettext, toast, api, labels) {
    var NAMES = ['image_id', 'flavor_id', 'master_flavor_id', 'keypair_id', 'docker_volume_size',
      'insecure_registry', 'external_network_id', 'fixed_network', 'fixed_subnet',
      'dns_nameserver', 'floating_ip_enabled', 'http_proxy', 'https_proxy', 'no_proxy'];

    return {names: NAMES, fromModel: fromModel, toModel: toModel, submit: submit};

    /** Returns the fields of a template; what was left empty is left out. */
    function fromModel(model) {
      var fields = {
        name: model.name,
        public: Boolean(model.public),
        hidden: Boolean(model.hidden),
        labels: labels.fromModel(model.swarm.labels)
      };
      NAMES.forEach(function (name) {
        var value = model.swarm[name];
        if (value !== '' && value !== null && angular.isDefined(value)) { fields[name] = value; }
      });
      return fields;
    }

    /** Returns what the dialog shows of a template. */
    function toModel(template) {
      var model = {labels: labels.toModel(template.labels)};
      NAMES.forEach(function (name) {
        var value = template[name];
        model[name] = value === null || angular.isUndefined(value) ? '' : value;
      });
      if (model.docker_volume_size === '') { delete model.docker_volume_size; }
      return model;
    }

    function submit(model) {
      var fields = fromModel(model);
      var isNew = !model.id;
      var sent = isNew ? api.createTemplate(fields) : api.changeTemplate(model.id, fields);
      return sent.then(function (answer) {
        var text = isNew ? gettext('Cluster template %(name)s was created.')
          : gettext('Cluster template %(name)s was changed.');
        toast.add('success', interpolate(text, {name: fields.name}, true));
        var result = actionResult.getActionResult();
        return result[isNew ? 'created' : 'updated'](resourceType, answer.data.id).result;
      });
    }
  }
})();
