// SPDX-License-Identifier: Apache-2.0
/**
 * Node groups of a swarm, and which of its nodes belong to each.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.node-groups', nodeGroups);

  function nodeGroups() {
    return {
      isManagers: isManagers,
      choices: choices,
      byId: byId,
      nodesOf: nodesOf,
      labelsToText: labelsToText,
      labelsFromText: labelsFromText,
      isLabels: isLabels
    };

    function isManagers(group) {
      return group.role === 'master';
    }

    function choices(groups) {
      return groups.map(function (group) {
        var text = ngettext('%(name)s (%(count)s node)', '%(name)s (%(count)s nodes)',
          group.node_count);
        return {
          value: group.id,
          name: interpolate(text, {name: group.name, count: group.node_count}, true)
        };
      });
    }

    function byId(groups, id) {
      return groups.filter(function (group) { return group.id === id; })[0];
    }

    /** Returns the nodes of a group, known by their names: CLUSTER-GROUP-NUMBER. */
    function nodesOf(group, nodes) {
      if (isManagers(group)) {
        return nodes.filter(function (node) { return /-manager-g?\d+$/.test(node.name); });
      }
      var name = group.name === 'default-worker' ? 'worker' : plain(group.name);
      var pattern = new RegExp('-' + name + '(-[a-z0-9]{8})?-g?\\d+$');
      return nodes.filter(function (node) {
        return !/-manager-g?\d+$/.test(node.name) && pattern.test(node.name);
      });
    }

    // What is left of a group's name in host names.
    function plain(name) {
      return name.normalize('NFKD').toLowerCase().replace(/[\u0300-\u036f]/g, '')
        .replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
    }

    function labelsToText(labels) {
      return Object.keys(labels || {}).sort().map(function (name) {
        return name + '=' + labels[name];
      }).join('\n');
    }

    function isLabels(text) {
      return lines(text).every(function (line) { return /^[^=\s]+=.*$/.test(line); });
    }

    function labelsFromText(text) {
      var labels = {};
      lines(text).forEach(function (line) {
        var end = line.indexOf('=');
        labels[line.slice(0, end)] = line.slice(end + 1);
      });
      return labels;
    }

    function lines(text) {
      return (text || '').split('\n').map(function (line) { return line.trim(); })
        .filter(Boolean);
    }
  }
})();
