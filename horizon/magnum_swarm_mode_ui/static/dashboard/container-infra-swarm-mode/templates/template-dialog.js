// SPDX-License-Identifier: Apache-2.0
/**
 * The dialog that creates or changes a cluster template, with Docker Swarm mode among the engines.
 *
 * What another engine has there is shown while that is chosen; for swarm-mode there are fields of
 * its own, in model.swarm. A dialog without the items that are looked for stays as it is.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';
  var MAGNUM_UI = 'horizon.dashboard.container-infra';
  var WORKFLOW = MAGNUM_UI + '.cluster-templates.workflow';

  angular.module(MODULE).config(decorate);

  decorate.$inject = ['$provide', MAGNUM_UI + '.cluster-templates.distros'];

  function decorate($provide, distros) {
    if (distros.indexOf('debian') < 0) { distros.push('debian'); }
    $provide.decorator(WORKFLOW, workflow);
  }

  workflow.$inject = [
    '$delegate',
    'horizon.framework.util.i18n.gettext',
    'horizon.app.core.openstack-service-api.magnum',
    MODULE + '.coe',
    MODULE + '.basePath',
    MODULE + '.dialog.form-items',
    MODULE + '.labels.form',
    MODULE + '.templates.request'
  ];

  function workflow(
    $delegate, gettext, magnum, COE, basePath, formItems, labels, request
  ) {
    var init = $delegate.init;
    var update = $delegate.update;
    var IS_SWARM = "model.coe === '" + COE + "'";
    var IS_OTHER = "model.coe !== '" + COE + "'";
    var SOURCES = ['coe', 'image_id', 'flavor_id', 'keypair_id', 'external_network_id',
      'fixed_network', 'fixed_subnet', 'labels'];

    $delegate.init = function (action) {
      var dialog = init.apply($delegate, arguments);
      var isKnown = SOURCES.every(function (key) { return formItems.find(dialog.form, key); });
      if (isKnown) { extend(dialog, action === 'update'); }
      return dialog;
    };

    // Called with a template that has been read.
    $delegate.update = function (dialog) {
      update.apply($delegate, arguments);
      if (dialog.swarmMode && dialog.model.id && dialog.model.coe === COE) { load(dialog); }
    };

    return $delegate;

    function load(dialog) {
      magnum.getClusterTemplate(dialog.model.id).then(function (answer) {
        angular.extend(dialog.model.swarm, request.toModel(answer.data));
      });
    }

    function extend(dialog, isUpdate) {
      var form = dialog.form;
      var model = dialog.model;
      var tabs = form[0].tabs;
      var coe = formItems.find(form, 'coe');
      var changed = coe.onChange;

      dialog.schema.properties.swarm = schema();
      model.swarm = request.toModel({floating_ip_enabled: true, labels: {}});
      offer(coe.titleMap);
      coe.onChange = function () {
        // For an engine that it does not know, magnum-ui's function fails.
        if (model.coe !== COE) { changed.apply(coe, arguments); }
      };
      if (isUpdate) { coe.readonly = true; }

      hideOthers(form, tabs);
      append(tabs[1], model, 'nodes', nodes(form, model));
      append(tabs[2], model, 'network', network(form, model));
      append(tabs[3], model, 'labels', labels.fieldsets('swarm.labels'));

      dialog.swarmMode = {
        applies: function () { return model.coe === COE; },
        submit: request.submit,
        keys: keys()
      };
    }

    function offer(engines) {
      var name = gettext('Docker Swarm mode');
      // magnum-ui 18 has it, with fields of the driver that Magnum removed.
      var present = engines.filter(function (engine) { return engine.value === COE; })[0];
      if (present) {
        present.name = name;
      } else {
        engines.push({value: COE, name: name});
      }
    }

    function hideOthers(form, tabs) {
      ['registry_enabled', 'tls_disabled'].forEach(function (key) {
        var item = formItems.find(form, key);
        if (item) { formItems.hide(item, IS_OTHER); }
      });
      tabs.slice(1).forEach(function (tab) {
        tab.items.forEach(function (item) { formItems.hide(item, IS_OTHER); });
      });
    }

    function append(tab, model, help, items) {
      var other = tab.help;
      tab.items.push({type: 'section', htmlClass: 'col-xs-12', condition: IS_SWARM, items: items});
      // The help beside the form is that of the engine which is chosen.
      Object.defineProperty(tab, 'help', {
        enumerable: true,
        get: function () {
          return model.coe === COE ? basePath + 'templates/' + help + '.help.html' : other;
        }
      });
    }

    function nodes(form, model) {
      return [
        choice(form, model, 'image_id', {
          title: gettext('Image'),
          required: true,
          description: gettext('Image of all nodes. Its property os_distro must be debian or ' +
            'ubuntu. An image with a Docker Engine saves each node the installation.')
        }),
        choice(form, model, 'flavor_id', {
          title: gettext('Flavor of workers'),
          required: true,
          description: gettext('Also of managers, where they have none of their own.')
        }),
        choice(form, model, 'master_flavor_id', {
          title: gettext('Flavor of managers'),
          first: gettext('As the workers')
        }, 'flavor_id'),
        choice(form, model, 'keypair_id', {
          title: gettext('SSH key pair'),
          first: gettext('None'),
          description: gettext('For logging in to nodes. Port 22 is closed unless the label ' +
            'ssh_allowed_cidrs opens it.')
        }),
        plain('docker_volume_size', {
          title: gettext('Docker volume (GiB)'),
          placeholder: gettext('None: images and containers are on the server\'s own disk'),
          description: gettext('Size of a Cinder volume for images and containers of each node.')
        }),
        plain('insecure_registry', {
          title: gettext('Insecure registry'),
          placeholder: 'registry.example.com:5000',
          description: gettext('Registry that the engines talk to without checking its ' +
            'certificate.')
        })
      ];
    }

    function network(form, model) {
      var fixed = formItems.find(form, 'fixed_network');
      return [
        choice(form, model, 'external_network_id', {
          title: gettext('External network'),
          required: true,
          description: gettext('Network of floating IPs, and of the router of a new network.')
        }),
        choice(form, model, 'fixed_network', {
          title: gettext('Network of the nodes'),
          first: gettext('A new network for each cluster'),
          onChange: function () {
            // magnum-ui lists the subnets of what is chosen in its own field.
            model.fixed_network = model.swarm.fixed_network;
            model.swarm.fixed_subnet = '';
            fixed.onChange();
          }
        }),
        choice(form, model, 'fixed_subnet', {
          title: gettext('Subnet of the nodes'),
          first: gettext('The network\'s only subnet')
        }),
        plain('dns_nameserver', {
          title: gettext('DNS servers'),
          placeholder: '192.0.2.53,192.0.2.54',
          description: gettext('Of a network that is made, and of the engines.')
        }),
        {
          key: 'swarm.floating_ip_enabled',
          type: 'checkbox',
          title: gettext('Managers have floating IPs'),
          destroyStrategy: 'retain'
        },
        plain('http_proxy', {
          title: gettext('HTTP proxy of the engines'),
          placeholder: 'http://proxy.example.com:3128'
        }),
        plain('https_proxy', {
          title: gettext('HTTPS proxy of the engines'),
          placeholder: 'http://proxy.example.com:3128'
        }),
        plain('no_proxy', {
          title: gettext('Hosts that are reached without proxy'),
          placeholder: 'registry.example.com,10.0.0.0/8'
        })
      ];
    }

    function plain(name, item) {
      return angular.extend(
        {key: 'swarm.' + name, destroyStrategy: 'retain', feedback: false}, item
      );
    }

    function choice(form, model, name, item, source) {
      var own = plain(name, item);
      if (own.required) {
        own.first = gettext('Choose one.');
        own.$validators = {missing: function (value) { return Boolean(value); }};
        own.validationMessage = {missing: gettext('Choose one.')};
      }
      return formItems.mirror(formItems.find(form, source || name), own, function () {
        return model.swarm[name];
      });
    }

    function schema() {
      var properties = {labels: labels.schema()};
      request.names.forEach(function (name) { properties[name] = {type: 'string'}; });
      properties.docker_volume_size = {type: 'integer', minimum: 1};
      properties.floating_ip_enabled = {type: 'boolean'};
      return {type: 'object', properties: properties};
    }

    function keys() {
      var found = {name: 'name'};
      request.names.forEach(function (name) { found[name] = 'swarm.' + name; });
      labels.names.forEach(function (name) { found[name] = 'swarm.labels.' + name; });
      return found;
    }
  }
})();
