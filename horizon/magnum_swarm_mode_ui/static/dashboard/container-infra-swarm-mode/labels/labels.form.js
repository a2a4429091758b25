// SPDX-License-Identifier: Apache-2.0
/**
 * The labels of clusters as fields of a form, and back. What they are is in labels.data.js.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.labels.form', form);

  form.$inject = [
    MODULE + '.labels.data',
    'horizon.framework.util.i18n.gettext'
  ];

  function form(data, gettext) {
    // A label that is in none of the groups is among the others: none is left out.
    var groups = [
      {id: 'network', title: gettext('Networks and ports'), names: [
        'swarm_address_pool', 'swarm_address_pool_mask', 'data_path_port', 'network_mtu',
        'published_ports', 'published_ports_allowed_cidrs', 'api_allowed_cidrs',
        'ssh_allowed_cidrs', 'worker_floating_ip_enabled']},
      {id: 'care', title: gettext('Healing and deadlines'), names: [
        'auto_healing_enabled', 'auto_healing_delay', 'drain_timeout', 'join_timeout']},
      {id: 'placement', title: gettext('Placement and disks'), names: [
        'availability_zone', 'manager_availability', 'server_group_policy',
        'worker_server_group_policy', 'boot_volume_size', 'boot_volume_type',
        'docker_volume_type']},
      {id: 'engine', title: gettext('Docker Engine'), names: [
        'docker_version', 'docker_repository', 'docker_repository_key', 'registry_mirrors',
        'log_driver', 'log_address', 'log_max_size', 'log_max_file']},
      {id: 'other', title: gettext('Other labels'), names: []}
    ];
    var byName = {};

    data.forEach(function (label) {
      byName[label.name] = label;
      var isGrouped = groups.some(function (group) {
        return group.names.indexOf(label.name) >= 0;
      });
      if (!isGrouped) { groups[groups.length - 1].names.push(label.name); }
    });

    return {
      names: Object.keys(byName),
      schema: schema,
      fieldsets: fieldsets,
      toModel: toModel,
      fromModel: fromModel
    };

    /** Returns the schema of an object with all labels. */
    function schema() {
      var properties = {};
      data.forEach(function (label) { properties[label.name] = property(label); });
      return {type: 'object', properties: properties};
    }

    function property(label) {
      if (label.type !== 'integer') { return {type: 'string', title: label.title}; }
      return {
        type: 'integer',
        title: label.title,
        minimum: label.minimum,
        maximum: label.maximum
      };
    }

    /**
     * Returns the labels as items of a form.
     *
     * @param {string} path - where the object is in the model, such as "swarm.labels"
     * @param {Array} ids - the groups to return; all when left out
     * @param {Object} options - "isOffered" says which labels of them, all when left out; "unset"
     *   is what a label has that is left empty, its default when left out
     */
    function fieldsets(path, ids, options) {
      var isOffered = options && options.isOffered;
      var unset = options && options.unset;
      return groups.filter(function (group) {
        return !ids || ids.indexOf(group.id) >= 0;
      }).map(function (group) {
        var names = group.names.filter(function (name) {
          return byName[name] && (!isOffered || isOffered(byName[name]));
        });
        return {
          type: 'fieldset',
          title: group.title,
          items: names.map(function (name) { return field(path, byName[name], unset); })
        };
      }).filter(function (fieldset) { return fieldset.items.length; });
    }

    function field(path, label, unset) {
      var item = {
        key: path + '.' + label.name,
        title: label.unit ? label.title + ' (' + label.unit + ')' : label.title,
        description: description(label),
        placeholder: unset || label.default,
        destroyStrategy: 'retain',
        feedback: false
      };
      if (label.type === 'boolean') { return select(item, truths(label, unset)); }
      if (label.type === 'choice') { return select(item, choices(label, unset)); }
      if (label.least) { setLeast(item, label); }
      return item;
    }

    function setLeast(item, label) {
      item.$validators = {
        tooSmall: function (value) { return !value || value >= label.least; }
      };
      item.validationMessage = {tooSmall: label.expected};
    }

    function select(item, titleMap) {
      return angular.extend(item, {type: 'select', titleMap: titleMap});
    }

    function unchosen(label, unset) {
      return {
        value: '',
        name: unset || interpolate(gettext('Default (%(value)s)'), {value: label.default}, true)
      };
    }

    function truths(label, unset) {
      return [
        unchosen(label, unset),
        {value: 'true', name: gettext('Yes')},
        {value: 'false', name: gettext('No')}
      ];
    }

    function choices(label, unset) {
      return [unchosen(label, unset)].concat(label.choices.map(function (choice) {
        return {value: choice.value, name: choice.value + ': ' + choice.about};
      }));
    }

    function description(label) {
      var text = gettext('%(help)s Label %(name)s: %(expected)s. Default: %(value)s.');
      return interpolate(text, {
        help: label.help,
        name: label.name,
        expected: label.expected,
        value: label.default || gettext('empty')
      }, true);
    }

    /** Returns what a form shows of labels as Magnum keeps them. */
    function toModel(labels) {
      var model = {};
      data.forEach(function (label) {
        // A select shows its first choice for empty text only.
        if (label.type === 'boolean' || label.type === 'choice') { model[label.name] = ''; }
      });
      angular.forEach(labels, function (text, name) {
        var label = byName[name];
        if (!label) {
          model[name] = text;
        } else if (label.type === 'integer') {
          model[name] = Number(text);
        } else {
          model[name] = label.type === 'boolean' ? truth(text) : String(text);
        }
      });
      return model;
    }

    function truth(text) {
      return ['1', 't', 'true', 'on', 'y', 'yes'].indexOf(String(text).toLowerCase()) >= 0
        ? 'true' : 'false';
    }

    /** Returns labels as Magnum takes them; what was left empty is left out. */
    function fromModel(model) {
      var labels = {};
      angular.forEach(model, function (value, name) {
        if (value !== '' && value !== null && angular.isDefined(value)) {
          labels[name] = String(value);
        }
      });
      return labels;
    }
  }
})();
