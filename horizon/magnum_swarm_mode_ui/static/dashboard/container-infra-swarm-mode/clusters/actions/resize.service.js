// SPDX-License-Identifier: Apache-2.0
/**
 * Resizes a node group, with the nodes that shall go.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.resize', resize);

  resize.$inject = [
    'horizon.framework.util.i18n.gettext',
    MODULE + '.api',
    MODULE + '.basePath',
    MODULE + '.clusters.action',
    MODULE + '.clusters.health',
    MODULE + '.clusters.managers',
    MODULE + '.clusters.node-groups',
    MODULE + '.clusters.status'
  ];

  function resize(
    gettext, api, basePath, action, health, managers, nodeGroups, status
  ) {
    var service = action.make(status.canResize, perform);
    service.effects = effects;
    return service;

    /** Opens the dialog; a group can be given that it begins with. */
    function perform(cluster, scope, group) {
      return api.getCluster(cluster.id).then(function (answer) {
        return open(answer.data, group);
      });
    }

    function open(cluster, first) {
      var groups = cluster.node_groups;
      var nodes = health.read(cluster.health_status_reason).nodes;
      var workers = groups.filter(function (group) { return !nodeGroups.isManagers(group); });
      var model = {group: (first || workers[0] || groups[0]).id, remove: {}};
      reset();

      return action.ask({
        title: interpolate(gettext('Resize %(name)s'), {name: cluster.name}, true),
        intro: [
          gettext('Before a node goes its tasks move to other nodes. Without names, nodes that ' +
            'are down go first, then those with the fewest tasks.'),
          gettext('The present number repairs: nodes that are down or missing are replaced.')
        ],
        schema: schema(),
        form: form(),
        model: model,
        submitText: gettext('Resize'),
        keys: {
          node_count: isOfManagers() ? 'managers' : 'workers', master_count: 'managers'
        },
        summary: function () { return effects(chosen(), count(), names()); },
        send: function () {
          var fields = {node_count: count(), nodegroup: chosen().id};
          if (names().length) { fields.nodes_to_remove = names(); }
          return api.resize(cluster.id, fields);
        },
        done: function () {
          return interpolate(gettext('Cluster %(name)s is being resized.'),
            {name: cluster.name}, true);
        },
        operatesOn: cluster,
        result: action.updated(cluster)
      });

      function chosen() {
        return nodeGroups.byId(groups, model.group);
      }

      function isOfManagers() {
        return nodeGroups.isManagers(chosen());
      }

      function count() {
        return isOfManagers() ? model.managers : model.workers;
      }

      function names() {
        return members().map(function (node) { return node.name; }).filter(function (name) {
          return model.remove[name];
        });
      }

      function members() {
        return nodeGroups.nodesOf(chosen(), nodes);
      }

      function reset() {
        model.isOfManagers = isOfManagers();
        model.managers = model.workers = chosen().node_count;
        model.remove = {};
      }

      function schema() {
        return {type: 'object', properties: {
          group: {type: 'string'},
          managers: {type: 'integer'},
          workers: {type: 'integer', minimum: 0}
        }};
      }

      function form() {
        var managerGroup = groups.filter(nodeGroups.isManagers)[0] || {};
        return [
          {
            key: 'group', type: 'select', title: gettext('Node group'), feedback: false,
            titleMap: nodeGroups.choices(groups), onChange: reset
          },
          {
            key: 'managers', type: 'radios', title: gettext('Managers'),
            titleMap: managers.choices(managerGroup.node_count),
            condition: 'model.isOfManagers', destroyStrategy: 'retain'
          },
          {
            key: 'workers', title: gettext('Workers'), feedback: false, required: true,
            condition: '!model.isOfManagers', destroyStrategy: 'retain'
          },
          {
            type: 'template', templateUrl: basePath + 'clusters/actions/nodes-to-remove.html',
            members: members
          }
        ];
      }
    }

    /** Returns sentences of what a resize does. */
    function effects(group, count, names) {
      var lines = [];
      var change = count - group.node_count;
      if (!angular.isNumber(count) || isNaN(change)) { return lines; }
      var values = {count: Math.abs(change), group: group.name};
      if (change > 0) {
        lines.push(interpolate(ngettext('%(count)s node is added to %(group)s.',
          '%(count)s nodes are added to %(group)s.', change), values, true));
      } else if (change < 0) {
        lines.push(interpolate(ngettext('%(count)s node of %(group)s is drained and deleted.',
          '%(count)s nodes of %(group)s are drained and deleted.', -change), values, true));
      } else {
        lines.push(interpolate(gettext('%(group)s keeps its number of nodes and is repaired.'),
          values, true));
      }
      if (names.length) {
        lines.push(interpolate(gettext('Among those that go: %(names)s.'),
          {names: names.join(', ')}, true));
      }
      if (names.length > Math.max(0, -change)) {
        lines.push(gettext('More nodes are named than the number asks for: new ones come in ' +
          'their place.'));
      }
      if (nodeGroups.isManagers(group) && change) {
        lines.push(managers.sentence(count) + '.');
        lines.push(gettext('Managers come and go one at a time. The address of the Docker API ' +
          'may move: download the client files again afterwards.'));
      }
      return lines;
    }
  }
})();
