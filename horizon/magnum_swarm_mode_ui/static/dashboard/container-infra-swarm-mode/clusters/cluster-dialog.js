// SPDX-License-Identifier: Apache-2.0
/**
 * The dialog that creates a cluster, with fields of its own where the template is of swarm-mode.
 *
 * A dialog without the items that are looked for stays as it is.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';
  var MAGNUM_UI = 'horizon.dashboard.container-infra';

  angular.module(MODULE).config(decorate);

  decorate.$inject = ['$provide'];

  function decorate($provide) {
    $provide.decorator(MAGNUM_UI + '.clusters.workflow', workflow);
    $provide.decorator(MAGNUM_UI + '.clusters.create.service', createService);
  }

  createService.$inject = ['$delegate', MAGNUM_UI + '.clusters.workflow', MODULE + '.coe'];

  /** Begins with the template at which the dialog was opened. */
  function createService($delegate, dialogs, COE) {
    var perform = $delegate.perform;
    $delegate.perform = function (selected) {
      dialogs.swarmModeTemplate = selected && selected.coe === COE ? selected.id : '';
      return perform.apply($delegate, arguments);
    };
    return $delegate;
  }

  workflow.$inject = [
    '$delegate',
    '$q',
    'horizon.framework.util.i18n.gettext',
    'horizon.app.core.openstack-service-api.magnum',
    'horizon.app.core.openstack-service-api.nova',
    MODULE + '.basePath',
    MODULE + '.coe',
    MODULE + '.clusters.managers',
    MODULE + '.clusters.request',
    MODULE + '.dialog.form-items',
    MODULE + '.labels.form'
  ];

  function workflow(
    $delegate, $q, gettext, magnum, nova, basePath, COE, managers, request, formItems, labels
  ) {
    var init = $delegate.init;
    var IS_SWARM = "model.coe === '" + COE + "'";
    var IS_OTHER = "model.coe !== '" + COE + "'";
    // What both engines have in common, in the first tab.
    var SHARED = ['name', 'cluster_template_id'];
    var SOURCES = ['name', 'cluster_template_id', 'keypair', 'fixed_network', 'fixed_subnet'];

    $delegate.init = function () {
      var dialog = init.apply($delegate, arguments);
      var asked = [dialog, magnum.getClusterTemplates(), nova.getFlavors(false, false)];
      return $q.all(asked).then(function (answers) {
        var config = answers[0];
        var isKnown = SOURCES.every(function (key) { return formItems.find(config.form, key); });
        if (isKnown && answers[1] && answers[2]) {
          extend(config, answers[1].data.items, answers[2].data.items);
        }
        return config;
      });
    };

    return $delegate;

    function extend(dialog, list, flavors) {
      var model = dialog.model;
      // magnum-ui leaves out flavors that are too small for Kubernetes.
      var sizes = {titleMap: flavors.map(function (flavor) {
        return {value: flavor.name, name: flavor.name};
      })};
      var tabs = dialog.form[0].tabs;
      var templates = {};
      list.forEach(function (one) { templates[one.id] = one; });

      dialog.schema.properties.swarm = schema();
      dialog.schema.properties.coe = {type: 'string'};
      model.swarm = {
        master_count: 3, node_count: 1, master_flavor_id: '', flavor_id: '', keypair: '',
        fixed_network: '', fixed_subnet: '', floating_ip_enabled: '', labels: labels.toModel({})
      };

      if (templates[$delegate.swarmModeTemplate]) {
        model.cluster_template_id = $delegate.swarmModeTemplate;
      }
      hideOthers(tabs);
      append(tabs[0], 'details', details(dialog, template));
      append(tabs[1], 'size', size(dialog, template, sizes));
      append(tabs[2], 'network', network(dialog, template));
      append(tabs[3], 'care', labelsOf(['care']));
      append(tabs[4], 'advanced', labelsOf(['placement', 'engine', 'other'])
        .concat([timeout()]));

      dialog.swarmMode = {
        applies: function () { return model.coe === COE; },
        submit: request.submit,
        summary: function () { return summary(model, template()); },
        keys: keys(),
        onOpen: function (scope) {
          scope.$watch(function () { return model.cluster_template_id; }, function () {
            model.coe = (template() || {}).coe;
          });
        }
      };

      function template() {
        return templates[model.cluster_template_id];
      }

      function append(tab, help, items) {
        var other = tab.help;
        tab.items.push({
          type: 'section', htmlClass: 'col-md-8', condition: IS_SWARM, items: items
        });
        Object.defineProperty(tab, 'help', {
          enumerable: true,
          get: function () {
            return model.coe === COE ? basePath + 'clusters/help/' + help + '.html' : other;
          }
        });
      }
    }

    function hideOthers(tabs) {
      tabs[0].items[0].items.forEach(function (item) {
        if (SHARED.indexOf(item.key) < 0) { formItems.hide(item, IS_OTHER); }
      });
      tabs.slice(1).forEach(function (tab) {
        tab.items.forEach(function (item) { formItems.hide(item, IS_OTHER); });
      });
    }

    function details(dialog, template) {
      return [
        {type: 'template', templateUrl: basePath + 'clusters/template-summary.html'},
        choice(dialog, 'keypair', {
          title: gettext('SSH key pair'),
          first: as(template, 'keypair_id', gettext('none'))
        })
      ];
    }

    function size(dialog, template, sizes) {
      return [
        {
          key: 'swarm.master_count',
          type: 'radios',
          title: gettext('Managers'),
          titleMap: managers.choices(),
          destroyStrategy: 'retain',
          description: gettext('Managers keep the state of the swarm. More than half of them ' +
            'must be there for anything to be changed.')
        },
        choice(dialog, 'master_flavor_id', {
          title: gettext('Flavor of managers'),
          first: as(template, 'master_flavor_id', gettext('as the workers'))
        }, sizes),
        plain('node_count', {
          title: gettext('Workers'),
          description: gettext('Can be 0 and be changed later. Further node groups can have ' +
            'other flavors and images.')
        }),
        choice(dialog, 'flavor_id', {
          title: gettext('Flavor of workers'),
          first: as(template, 'flavor_id', '-')
        }, sizes),
        plain('docker_volume_size', {
          title: gettext('Docker volume of each node (GiB)'),
          placeholder: gettext('As the template says')
        })
      ];
    }

    function network(dialog, template) {
      var model = dialog.model;
      var fixed = formItems.find(dialog.form, 'fixed_network');
      return [
        choice(dialog, 'fixed_network', {
          title: gettext('Network of the nodes'),
          first: as(template, 'fixed_network', gettext('a new network'), fixed),
          onChange: function () {
            model.fixed_network = model.swarm.fixed_network;
            model.swarm.fixed_subnet = '';
            fixed.onChange();
          }
        }),
        choice(dialog, 'fixed_subnet', {
          title: gettext('Subnet of the nodes'),
          first: as(template, 'fixed_subnet', gettext('its only subnet'))
        }),
        {
          key: 'swarm.floating_ip_enabled',
          type: 'select',
          title: gettext('Floating IPs of managers'),
          destroyStrategy: 'retain',
          feedback: false,
          titleMap: [
            {value: '', name: gettext('As the template says')},
            {value: 'true', name: gettext('Yes')},
            {value: 'false', name: gettext('No')}
          ]
        }
      ].concat(labelsOf(['network']));
    }

    function labelsOf(groups) {
      return labels.fieldsets('swarm.labels', groups, {unset: gettext('As the template says')});
    }

    function timeout() {
      return plain('create_timeout', {
        title: gettext('Longest creation (minutes)'),
        placeholder: '60',
        description: gettext('After that the creation has failed.')
      });
    }

    /**
     * Returns a function that says what a cluster has where nothing is chosen for it.
     *
     * @param {Object} source - item whose choices name ids; optional
     */
    function as(template, name, nothing, source) {
      return function () {
        var value = (template() || {})[name] || nothing;
        (source && source.titleMap || []).forEach(function (entry) {
          // magnum-ui's choices of networks have their ids behind their names.
          if (entry.value === value) { value = entry.name.replace(' (' + value + ')', ''); }
        });
        return interpolate(gettext('As the template says: %(value)s'), {value: value}, true);
      };
    }

    function plain(name, item) {
      return angular.extend(
        {key: 'swarm.' + name, destroyStrategy: 'retain', feedback: false}, item
      );
    }

    function choice(dialog, name, item, source) {
      var shared = source || formItems.find(dialog.form, name);
      return formItems.mirror(shared, plain(name, item), function () {
        return dialog.model.swarm[name];
      });
    }

    function summary(model, template) {
      var swarm = model.swarm;
      var lines = [
        managers.sentence(swarm.master_count) + ' (' + (swarm.master_flavor_id ||
          template.master_flavor_id || swarm.flavor_id || template.flavor_id) + ')',
        interpolate(ngettext(
          '%(count)s worker (%(flavor)s)', '%(count)s workers (%(flavor)s)', swarm.node_count || 0
        ), {count: swarm.node_count || 0, flavor: swarm.flavor_id || template.flavor_id}, true)
      ];
      var key = swarm.keypair || template.keypair_id;
      lines.push(key ? interpolate(gettext('SSH key pair %(name)s'), {name: key}, true)
        : gettext('No SSH key pair'));
      lines.push(swarm.fixed_network || template.fixed_network
        ? gettext('In an existing network') : gettext('In a network of its own'));
      var names = Object.keys(labels.fromModel(swarm.labels));
      if (names.length) {
        lines.push(interpolate(gettext('Labels of its own: %(names)s'),
          {names: names.sort().join(', ')}, true));
      }
      return lines;
    }

    function schema() {
      var properties = {labels: labels.schema(), floating_ip_enabled: {type: 'string'}};
      request.names.forEach(function (name) { properties[name] = {type: 'string'}; });
      properties.master_count = {type: 'integer'};
      properties.node_count = {type: 'integer', minimum: 0};
      properties.docker_volume_size = {type: 'integer', minimum: 1};
      properties.create_timeout = {type: 'integer', minimum: 0};
      return {type: 'object', properties: properties};
    }

    function keys() {
      var found = {name: 'name', cluster_template_id: 'cluster_template_id'};
      request.names.concat(['floating_ip_enabled']).forEach(function (name) {
        found[name] = 'swarm.' + name;
      });
      labels.names.forEach(function (name) { found[name] = 'swarm.labels.' + name; });
      return found;
    }
  }
})();
