// SPDX-License-Identifier: Apache-2.0
/**
 * Creates, changes and deletes node groups of a cluster.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.node-group', nodeGroup);

  nodeGroup.$inject = [
    '$q',
    'horizon.app.core.openstack-service-api.glance',
    'horizon.app.core.openstack-service-api.nova',
    'horizon.framework.util.i18n.gettext',
    MODULE + '.api',
    MODULE + '.clusters.action',
    MODULE + '.clusters.node-groups',
    MODULE + '.clusters.status',
    MODULE + '.labels.form'
  ];

  function nodeGroup($q, glance, nova, gettext, api, action, nodeGroups, status, labels) {
    // Of the distributions that nodes can have.
    var DISTRIBUTIONS = ['debian', 'ubuntu'];

    return {
      create: action.make(status.canCreateGroup, create),
      change: change,
      remove: remove
    };

    function create(cluster) {
      return $q.all([nova.getFlavors(false, false), glance.getImages()]).then(function (both) {
        return openNew(cluster, both[0].data.items, both[1].data.items);
      });
    }

    function openNew(cluster, flavors, images) {
      var model = {
        node_count: 1, flavor_id: '', image_id: '', labels: labels.toModel({})
      };
      return action.ask({
        title: interpolate(gettext('New node group of %(name)s'), {name: cluster.name}, true),
        intro: [gettext('A node group has workers with a flavor, image, disks and labels of its ' +
          'own. Services can be placed on them by the node label magnum.node_group.')],
        schema: newSchema(),
        form: newForm(flavors, images),
        model: model,
        size: 'lg',
        submitText: gettext('Create'),
        keys: keys(),
        send: function () { return api.createNodeGroup(cluster.id, newFields(model)); },
        done: function () {
          return interpolate(gettext('Node group %(name)s is being created.'),
            {name: model.name}, true);
        },
        operatesOn: cluster,
        result: action.updated(cluster)
      });
    }

    function newSchema() {
      return {type: 'object', properties: {
        name: {type: 'string'},
        node_count: {type: 'integer', minimum: 0},
        min_node_count: {type: 'integer', minimum: 0},
        max_node_count: {type: 'integer', minimum: 1},
        flavor_id: {type: 'string'},
        image_id: {type: 'string'},
        docker_volume_size: {type: 'integer', minimum: 1},
        node_labels: {type: 'string'},
        labels: labels.schema()
      }};
    }

    function newForm(flavors, images) {
      var own = images.filter(function (image) {
        return DISTRIBUTIONS.indexOf((image.properties || {}).os_distro) >= 0;
      });
      return [
        {key: 'name', title: gettext('Name'), required: true, feedback: false},
        {key: 'node_count', title: gettext('Workers'), required: true, feedback: false},
        select('flavor_id', gettext('Flavor'), gettext('As the cluster\'s workers'), flavors),
        select('image_id', gettext('Image'), gettext('As the cluster template says'), own),
        {
          key: 'docker_volume_size', title: gettext('Docker volume (GiB)'), feedback: false,
          placeholder: gettext('As the cluster')
        }
      ].concat(bounds(), [labelsField()], labels.fieldsets('labels', null, {
        unset: gettext('As the cluster'),
        isOffered: function (label) { return label.perGroup; }
      }));
    }

    function select(key, title, first, items) {
      return {
        key: key, type: 'select', title: title, feedback: false,
        titleMap: [{value: '', name: first}].concat(items.map(function (item) {
          return {value: item.name, name: item.name};
        }))
      };
    }

    function bounds() {
      return [
        {
          key: 'min_node_count', title: gettext('Fewest workers'), feedback: false,
          description: gettext('A resize to fewer is refused.')
        },
        {
          key: 'max_node_count', title: gettext('Most workers'), feedback: false,
          description: gettext('A resize to more is refused. Empty is no limit.')
        }
      ];
    }

    function labelsField() {
      return {
        key: 'node_labels', type: 'textarea', title: gettext('Node labels in the swarm'),
        feedback: false, placeholder: 'disk=ssd',
        description: gettext('One KEY=VALUE a line, for placement constraints of services: ' +
          'node.labels.KEY==VALUE. Labels that users set with docker node update stay.'),
        $validators: {lines: nodeGroups.isLabels},
        validationMessage: {lines: gettext('Each line must be KEY=VALUE.')}
      };
    }

    function newFields(model) {
      var fields = {merge_labels: true, labels: labels.fromModel(model.labels)};
      ['name', 'node_count', 'min_node_count', 'max_node_count', 'flavor_id', 'image_id',
        'docker_volume_size'].forEach(function (name) {
        var value = model[name];
        if (value !== '' && value !== null && angular.isDefined(value)) { fields[name] = value; }
      });
      var nodeLabels = nodeGroups.labelsFromText(model.node_labels);
      if (Object.keys(nodeLabels).length) { fields.node_labels = nodeLabels; }
      return fields;
    }

    /** Changes bounds and node labels. */
    function change(cluster, group) {
      var model = {
        min_node_count: group.min_node_count,
        node_labels: nodeGroups.labelsToText(group.node_labels)
      };
      if (group.max_node_count) { model.max_node_count = group.max_node_count; }
      return action.ask({
        title: interpolate(gettext('Labels and bounds of %(name)s'), {name: group.name}, true),
        intro: [gettext('No node is replaced. The nodes\' labels in the swarm follow within a ' +
          'minute.')],
        schema: newSchema(),
        form: bounds().concat([labelsField()]),
        model: model,
        submitText: gettext('Change'),
        keys: keys(),
        send: function () {
          return api.changeNodeGroup(cluster.id, group.id, changedFields(model, group));
        },
        done: function () {
          return interpolate(gettext('Node group %(name)s was changed.'), {name: group.name}, true);
        },
        result: action.updated(cluster)
      });
    }

    function changedFields(model, group) {
      var fields = {};
      ['min_node_count', 'max_node_count'].forEach(function (name) {
        var isSet = angular.isNumber(model[name]);
        // Empty text removes a bound that there was.
        if (isSet || angular.isNumber(group[name])) { fields[name] = isSet ? model[name] : ''; }
      });
      // Magnum has node labels since 23.
      if (angular.isDefined(group.node_labels)) {
        fields.node_labels = nodeGroups.labelsFromText(model.node_labels);
      }
      return fields;
    }

    function remove(cluster, group) {
      return action.ask({
        title: interpolate(gettext('Delete node group %(name)s'), {name: group.name}, true),
        intro: [interpolate(ngettext(
          'Its %(count)s node is drained and deleted, with its volumes.',
          'Its %(count)s nodes are drained and deleted, with their volumes.', group.node_count
        ), {count: group.node_count}, true)],
        submitText: gettext('Delete'),
        submitIcon: 'trash',
        isDanger: true,
        send: function () { return api.deleteNodeGroup(cluster.id, group.id); },
        done: function () {
          return interpolate(gettext('Node group %(name)s is being deleted.'),
            {name: group.name}, true);
        },
        operatesOn: cluster,
        result: action.updated(cluster)
      });
    }

    function keys() {
      var found = {};
      ['name', 'node_count', 'min_node_count', 'max_node_count', 'flavor_id', 'image_id',
        'docker_volume_size', 'node_labels'].forEach(function (name) { found[name] = name; });
      labels.names.forEach(function (name) { found[name] = 'labels.' + name; });
      return found;
    }
  }
})();
