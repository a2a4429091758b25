// SPDX-License-Identifier: Apache-2.0
/**
 * Which cluster templates a swarm can be upgraded to: what was fixed when it was created must not
 * change. The driver decides when it is asked; these are its rules, for the choice that is offered.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.compatible', compatible);

  compatible.$inject = [MODULE + '.labels.data', 'horizon.framework.util.i18n.gettext'];

  function compatible(labels, gettext) {
    // Fields of a template, and what a cluster may have in their place.
    var FIXED = {
      external_network_id: '', fixed_network: 'fixed_network', fixed_subnet: 'fixed_subnet',
      dns_nameserver: '', floating_ip_enabled: 'floating_ip_enabled',
      docker_volume_size: 'docker_volume_size', keypair_id: 'keypair'
    };

    return {differing: differing, changes: changes};

    /** Returns the names of fields and labels for which a cluster cannot follow a template. */
    function differing(cluster, before, after) {
      var fields = Object.keys(FIXED).filter(function (name) {
        var own = cluster[FIXED[name]] || null;
        var old = before[name] || null;
        return followed(own, old, after[name] || null) !== (own || old);
      });
      return fields.concat(labels.filter(function (label) {
        var own = valueOf(cluster, label);
        var old = valueOf(before, label);
        return label.fixed && own === old && old !== valueOf(after, label);
      }).map(function (label) { return label.name; }));
    }

    function followed(own, before, after) {
      return own === null || own === before ? after : own;
    }

    function valueOf(thing, label) {
      var value = (thing.labels || {})[label.name];
      return angular.isUndefined(value) ? label.default : String(value);
    }

    /** Returns sentences of what nodes have otherwise after an upgrade. */
    function changes(before, after) {
      var lines = [];
      ['image_id', 'flavor_id', 'master_flavor_id'].forEach(function (name) {
        if (before[name] !== after[name]) { lines.push(line(name, before[name], after[name])); }
      });
      labels.forEach(function (label) {
        var old = valueOf(before, label);
        var value = valueOf(after, label);
        if (old !== value) { lines.push(line(label.name, old, value)); }
      });
      return lines.length ? lines
        : [gettext('Image, flavors and labels are the same: nodes that follow them already stay.')];
    }

    function line(name, before, after) {
      return interpolate(gettext('%(name)s: from %(before)s to %(after)s'), {
        name: name, before: before || gettext('nothing'), after: after || gettext('nothing')
      }, true);
    }
  }
})();
