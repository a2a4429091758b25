// SPDX-License-Identifier: Apache-2.0
/**
 * Upgrades a cluster, or one of its node groups, to another cluster template.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.upgrade', upgrade);

  upgrade.$inject = [
    '$q',
    'horizon.app.core.openstack-service-api.magnum',
    'horizon.framework.util.i18n.gettext',
    MODULE + '.api',
    MODULE + '.clusters.action',
    MODULE + '.clusters.compatible',
    MODULE + '.clusters.node-groups',
    MODULE + '.clusters.status',
    MODULE + '.coe'
  ];

  function upgrade(
    $q, magnum, gettext, api, action, compatible, nodeGroups, status, COE
  ) {
    return action.make(status.canUpgrade, perform);

    function perform(cluster) {
      return $q.all([api.getCluster(cluster.id), magnum.getClusterTemplates()]).then(
        function (both) { return open(both[0].data, both[1].data.items); });
    }

    function open(cluster, list) {
      var swarms = list.filter(function (template) { return template.coe === COE; });
      var offered = [];
      var refused = [];
      swarms.forEach(function (template) {
        var differing = compatible.differing(cluster, cluster.template, template);
        (differing.length ? refused : offered).push({template: template, differing: differing});
      });
      var model = {template: '', group: '', batch: 1};

      return action.ask({
        title: interpolate(gettext('Upgrade %(name)s'), {name: cluster.name}, true),
        intro: intro(refused),
        schema: {type: 'object', properties: {
          template: {type: 'string'},
          group: {type: 'string'},
          batch: {type: 'integer', minimum: 1}
        }},
        form: [
          {
            key: 'group', type: 'select', title: gettext('What is upgraded'), feedback: false,
            titleMap: [{value: '', name: gettext('Managers, then the first group of workers')}]
              .concat(nodeGroups.choices(cluster.node_groups)),
            // A further group follows only the template that the cluster has.
            onChange: function () {
              if (isFurther()) { model.template = cluster.cluster_template_id; }
            }
          },
          {
            key: 'template', type: 'select', title: gettext('Cluster template'), feedback: false,
            required: true, titleMap: templates(),
            $validators: {
              missing: Boolean,
              further: function (value) {
                return !isFurther() || value === cluster.cluster_template_id;
              }
            },
            validationMessage: {
              missing: gettext('Choose one.'),
              further: gettext('A further node group follows only the template that the cluster ' +
                'has already.')
            }
          },
          {
            key: 'batch', title: gettext('Workers at a time'), feedback: false, required: true
          }
        ],
        model: model,
        submitText: gettext('Upgrade'),
        keys: {
          max_batch_size: 'batch', cluster_template: 'template', nodegroup: 'group',
          image_id: 'template', flavor_id: 'template'
        },
        summary: summary,
        send: function () {
          var fields = {cluster_template: model.template, max_batch_size: model.batch};
          if (model.group) { fields.nodegroup = model.group; }
          return api.upgrade(cluster.id, fields);
        },
        done: function () {
          return interpolate(gettext('Cluster %(name)s is being upgraded.'),
            {name: cluster.name}, true);
        },
        operatesOn: cluster,
        result: action.updated(cluster)
      });

      function isFurther() {
        var group = nodeGroups.byId(cluster.node_groups, model.group);
        return Boolean(group) && !group.is_default;
      }

      function templates() {
        return [{value: '', name: gettext('Choose a cluster template')}].concat(
          offered.map(function (entry) {
            var isPresent = entry.template.id === cluster.cluster_template_id;
            return {
              value: entry.template.id,
              name: entry.template.name + (isPresent ? ' ' + gettext('(the present one)') : '')
            };
          }));
      }

      function summary() {
        var entry = offered.filter(function (one) {
          return one.template.id === model.template;
        })[0];
        return entry ? compatible.changes(cluster.template, entry.template) : [];
      }
    }

    function intro(refused) {
      var lines = [
        gettext('Workers: new ones are ready before as many old ones are drained and deleted. ' +
          'Managers are replaced one at a time, the leader last. Services with more than one ' +
          'task go on.'),
        gettext('A single manager gets a new address: download the client files again afterwards.')
      ];
      refused.forEach(function (entry) {
        lines.push(interpolate(gettext('Not offered, as it differs in what is fixed: %(name)s ' +
          '(%(fields)s).'), {name: entry.template.name, fields: entry.differing.join(', ')}, true));
      });
      return lines;
    }
  }
})();
