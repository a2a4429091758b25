// SPDX-License-Identifier: Apache-2.0
// What the specs share: the modules of the panel, and answers of the services that pages ask.
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  window.horizon.uuid = {generate: function () { return 'an-id'; }};
  window.pages = {
    MODULE: MODULE,
    load: load,
    get: get,
    answer: answer,
    openstack: openstack,
    template: template,
    dialogOf: dialogOf
  };

  function load() {
    module('gettext', 'schemaForm', 'horizon.app.core', 'horizon.framework',
      'horizon.dashboard.container-infra', MODULE);
    module(function ($provide) {
      $provide.value('horizon.app.core.detailRoute', 'ngdetails/');
    });
  }

  /** Returns a service; a name that begins with a full stop is one of the plug-in's. */
  function get(name) {
    var found;
    inject(function ($injector) {
      found = $injector.get(name.charAt(0) === '.' ? MODULE + name : name);
    });
    return found;
  }

  /** Returns a promise of an answer of Horizon's REST API. */
  function answer(data) {
    return get('$q').resolve({data: data});
  }

  function template(fields) {
    return angular.extend({
      id: 't1', name: 'swarm', coe: 'swarm-mode', image_id: 'debian-12', flavor_id: 'm1.small',
      master_flavor_id: null, keypair_id: 'fuel', labels: {}, external_network_id: 'public'
    }, fields);
  }

  /** Has the services that the dialogs ask answer; returns the service of magnum-ui. */
  function openstack(templates) {
    var service = 'horizon.app.core.openstack-service-api.';
    var magnum = get(service + 'magnum');
    var nova = get(service + 'nova');
    var list = templates || [template(), template({id: 'k1', name: 'k8s', coe: 'kubernetes'})];
    var networks = [
      {id: 'n1', name: 'private', subnets: [{id: 's1', name: 'private-subnet'}]},
      {id: 'n2', name: 'public', 'router:external': true, subnets: []}
    ];

    get('$templateCache').put('/static/dashboard/container-infra/clusters/panel.html', '');
    // Its page is made by Django.
    var spinner = get('horizon.framework.widgets.modal-wait-spinner.service');
    spyOn(spinner, 'showModalSpinner');
    spyOn(spinner, 'hideModalSpinner');
    spyOn(nova, 'getFlavors').and.returnValue(answer({items: [
      {name: 'm1.small', ram: 2048, vcpus: 2}, {name: 'm1.medium', ram: 4096, vcpus: 2}]}));
    spyOn(nova, 'getKeypairs').and.returnValue(
      // Horizon 26 and 27 have the name in two places.
      answer({items: [{name: 'fuel', keypair: {name: 'fuel'}}]}));
    spyOn(nova, 'getAvailabilityZones').and.returnValue(answer({items: [{zoneName: 'nova'}]}));
    spyOn(get(service + 'glance'), 'getImages').and.returnValue(answer({items: [
      {name: 'debian-12', properties: {os_distro: 'debian'}},
      {name: 'windows', properties: {os_distro: 'windows'}}]}));
    spyOn(get(service + 'neutron'), 'getNetworks').and.returnValue(answer({items: networks}));
    spyOn(magnum, 'getNetworks').and.returnValue(answer({items: networks}));
    spyOn(magnum, 'getClusterTemplates').and.returnValue(answer({items: list}));
    spyOn(magnum, 'getClusterTemplate').and.callFake(function (id) {
      return answer(list.filter(function (one) { return one.id === id; })[0]);
    });
    // Up to magnum-ui 18 there are none.
    if (magnum.getFlavorMinimums) {
      spyOn(magnum, 'getFlavorMinimums').and.returnValue(
        answer({flavorMinimumRam: 0, flavorMinimumVcpu: 0}));
    }
    spyOn(magnum, 'getAddons').and.returnValue(answer({addons: []}));
    spyOn(magnum, 'getIngressControllers').and.returnValue(answer({controllers: []}));
    return magnum;
  }

  /** Returns an open dialog as the page shows it: {scope, element, ctrl, config}. */
  function dialogOf(config) {
    var dialog;
    inject(function ($controller, $rootScope, $compile, $templateCache, $q) {
      var scope = $rootScope.$new();
      var closed = $q.defer();
      var ctrl = $controller(MODULE + '.dialog.KeepOpenController', {
        $scope: scope,
        $uibModalInstance: {close: closed.resolve, dismiss: closed.reject},
        context: config
      });
      scope.ctrl = ctrl;
      dialog = {scope: scope, ctrl: ctrl, config: config, closed: closed.promise};
    });
    return dialog;
  }
})();
