// SPDX-License-Identifier: Apache-2.0
describe('the dialog of clusters', function () {
  'use strict';
  var formItems, workflow;

  beforeEach(pages.load);
  beforeEach(function () {
    pages.openstack([
      pages.template({fixed_network: 'n1', labels: {log_driver: 'local'}}),
      pages.template({id: 'k1', name: 'k8s', coe: 'kubernetes'})
    ]);
    formItems = pages.get('.dialog.form-items');
    workflow = pages.get('horizon.dashboard.container-infra.clusters.workflow');
  });

  function open() {
    var config;
    var scope = pages.get('$rootScope').$new();
    workflow.init('title', scope).then(function (value) { config = value; });
    scope.$apply();
    return pages.dialogOf(config);
  }

  function choose(dialog, template) {
    dialog.ctrl.model.cluster_template_id = template;
    dialog.scope.$apply();
  }

  function shown(dialog) {
    var keys = [];
    collect(dialog.ctrl.form[0].tabs);
    return keys;

    function collect(items) {
      (items || []).forEach(function (item) {
        if (item.condition && !dialog.scope.$eval(item.condition, {model: dialog.ctrl.model})) {
          return;
        }
        if (item.key) { keys.push(angular.isArray(item.key) ? item.key.join('.') : item.key); }
        collect(item.items);
      });
    }
  }

  it('offers 1, 3, 5 or 7 managers and says what each survives', function () {
    var dialog = open();
    expect(formItems.find(dialog.ctrl.form, 'swarm.master_count').titleMap).toEqual([
      {value: 1, name: '1 manager: survives no loss; the swarm is lost with it'},
      {value: 3, name: '3 managers: survive the loss of 1 manager'},
      {value: 5, name: '5 managers: survive the loss of 2 managers'},
      {value: 7, name: '7 managers: survive the loss of 3 managers'}
    ]);
  });

  it('shows nothing of Kubernetes for a swarm', function () {
    var dialog = open();
    choose(dialog, 't1');
    expect(shown(dialog).filter(function (key) { return key.indexOf('swarm.') < 0; }))
      .toEqual(['name', 'cluster_template_id']);
    expect(shown(dialog)).toContain('swarm.labels.auto_healing_enabled');
  });

  it('leaves Kubernetes as it is', function () {
    var dialog = open();
    choose(dialog, 't1');
    choose(dialog, 'k1');
    expect(shown(dialog)).toEqual(jasmine.arrayContaining([
      'name', 'cluster_template_id', 'availability_zone', 'keypair', 'addons', 'master_count',
      'master_flavor_id', 'node_count', 'flavor_id', 'auto_scaling_enabled', 'create_network',
      'master_lb_enabled', 'ingress_controller', 'auto_healing_enabled', 'labels'
    ]));
    var own = shown(dialog).filter(function (key) { return key.indexOf('swarm.') === 0; });
    expect(own).toEqual([]);
    expect(dialog.ctrl.applies()).toBe(false);
    expect(dialog.ctrl.summary()).toEqual([]);
  });

  it('says what a cluster has from its template', function () {
    var dialog = open();
    choose(dialog, 't1');
    expect(formItems.find(dialog.ctrl.form, 'swarm.flavor_id').titleMap[0].name)
      .toBe('As the template says: m1.small');
    expect(formItems.find(dialog.ctrl.form, 'swarm.fixed_network').titleMap[0].name)
      .toBe('As the template says: private');
  });

  it('offers all flavors, also those that are too small for Kubernetes', function () {
    var magnum = pages.get('horizon.app.core.openstack-service-api.magnum');
    magnum.getFlavorMinimums = function () {
      return pages.answer({flavorMinimumRam: 4000, flavorMinimumVcpu: 1});
    };
    function offered(key) {
      return formItems.find(open().ctrl.form, key).titleMap.map(function (one) {
        return one.value;
      });
    }
    expect(offered('swarm.flavor_id')).toEqual(['', 'm1.small', 'm1.medium']);
    expect(offered('flavor_id')).toContain('m1.medium');
  });

  it('summarizes what will be made', function () {
    var dialog = open();
    choose(dialog, 't1');
    angular.extend(dialog.ctrl.model.swarm, {node_count: 2, flavor_id: 'm1.medium'});
    dialog.ctrl.model.swarm.labels.drain_timeout = 0;
    expect(dialog.ctrl.summary()).toEqual([
      '3 managers: survive the loss of 1 manager (m1.medium)',
      '2 workers (m1.medium)',
      'SSH key pair fuel',
      'In an existing network',
      'Labels of its own: drain_timeout'
    ]);
  });

  it('sends only what was chosen', function () {
    var api = pages.get('.api');
    spyOn(api, 'createCluster').and.returnValue(pages.answer({id: 'c1'}));
    var dialog = open();
    choose(dialog, 't1');
    dialog.ctrl.model.name = 'new';
    angular.extend(dialog.ctrl.model.swarm, {master_count: 1, floating_ip_enabled: 'false'});
    dialog.ctrl.model.swarm.labels.drain_timeout = 0;
    dialog.config.swarmMode.submit(dialog.ctrl.model);
    expect(api.createCluster).toHaveBeenCalledWith({
      name: 'new', cluster_template_id: 't1', master_count: 1, node_count: 1,
      floating_ip_enabled: false, labels: {drain_timeout: '0'}, merge_labels: true
    });
  });

  it('knows where each field of a refusal is', function () {
    var dialog = open();
    angular.forEach(dialog.config.swarmMode.keys, function (key, name) {
      if (name !== 'create_timeout' || key) {
        expect(formItems.find(dialog.ctrl.form, key)).withContext(name).toBeDefined();
      }
    });
  });

  it('begins with the template of the row at which it was opened', function () {
    var form = pages.get('horizon.framework.widgets.form.ModalFormService');
    var service = pages.get('horizon.dashboard.container-infra.clusters.create.service');
    var opened;
    spyOn(form, 'open').and.callFake(function (config) {
      opened = config.model.cluster_template_id;
      return pages.get('$q').defer().promise;
    });
    function performAt(selected) {
      service.perform(selected, pages.get('$rootScope').$new());
      pages.get('$rootScope').$apply();
      return opened;
    }
    expect(performAt(pages.template())).toBe('t1');
    expect(performAt(pages.template({id: 'k1', coe: 'kubernetes'}))).toBe('');
    expect(performAt(undefined)).toBe('');
  });

  it('stays as it is where magnum-ui has other fields', function () {
    var original = formItems.find;
    spyOn(formItems, 'find').and.callFake(function (form, key) {
      return key === 'keypair' ? undefined : original(form, key);
    });
    var config;
    workflow.init('title', pages.get('$rootScope').$new()).then(function (value) {
      config = value;
    });
    pages.get('$rootScope').$apply();
    expect(config.swarmMode).toBeUndefined();
  });
});
