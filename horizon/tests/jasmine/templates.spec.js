// SPDX-License-Identifier: Apache-2.0
describe('the dialog of cluster templates', function () {
  'use strict';
  var formItems, workflow;

  beforeEach(pages.load);
  beforeEach(function () {
    pages.openstack([pages.template({
      id: 't1', fixed_network: 'private', docker_volume_size: 5, external_network_id: 'public',
      labels: {published_ports: '80,443', drain_timeout: '60'}
    })]);
    formItems = pages.get('.dialog.form-items');
    workflow = pages.get('horizon.dashboard.container-infra.cluster-templates.workflow');
  });

  function open(action) {
    var dialog = workflow.init(action || 'create', 'title');
    pages.get('$rootScope').$apply();
    return dialog;
  }

  function choose(dialog, coe) {
    dialog.model.coe = coe;
    formItems.find(dialog.form, 'coe').onChange();
  }

  function isShown(dialog, key) {
    return isShownIn(dialog.form[0].tabs, key, dialog.model);
  }

  function isShownIn(items, key, model) {
    return (items || []).some(function (item) {
      if (item.condition && !pages.get('$rootScope').$eval(item.condition, {model: model})) {
        return false;
      }
      var name = angular.isArray(item.key) ? item.key.join('.') : item.key;
      return name === key || isShownIn(item.items, key, model);
    });
  }

  function engines(dialog) {
    return formItems.find(dialog.form, 'coe').titleMap.map(function (entry) {
      return entry.value;
    });
  }

  it('offers swarm-mode once, besides what magnum-ui offers', function () {
    var offered = engines(open());
    expect(offered.filter(function (value) { return value === 'swarm-mode'; }).length).toBe(1);
    expect(offered).toContain('kubernetes');
    expect(offered[0]).toBe('');
  });

  it('offers nothing that a swarm cannot do', function () {
    var dialog = open();
    choose(dialog, 'swarm-mode');
    ['registry_enabled', 'tls_disabled', 'volume_driver', 'network_driver', 'master_lb_enabled',
      'docker_storage_driver', 'labels'].forEach(function (key) {
      expect(isShown(dialog, key)).withContext(key).toBe(false);
    });
    ['name', 'coe', 'public', 'swarm.image_id', 'swarm.flavor_id', 'swarm.labels.log_driver']
      .forEach(function (key) {
        expect(isShown(dialog, key)).withContext(key).toBe(true);
      });
  });

  it('leaves Kubernetes as it is', function () {
    var dialog = open();
    choose(dialog, 'swarm-mode');
    choose(dialog, 'kubernetes');
    ['registry_enabled', 'tls_disabled', 'volume_driver', 'network_driver', 'master_lb_enabled',
      'image_id', 'labels'].forEach(function (key) {
      expect(isShown(dialog, key)).withContext(key).toBe(true);
    });
    expect(isShown(dialog, 'swarm.image_id')).toBe(false);
    ['network_driver', 'volume_driver'].forEach(function (key) {
      expect(dialog.model[key]).withContext(key).toBe(
        formItems.find(dialog.form, key).titleMap[0].value);
    });
    expect(dialog.swarmMode.applies(dialog.model)).toBe(false);
  });

  it('offers images of the distributions that nodes can have', function () {
    var dialog = open();
    var values = formItems.find(dialog.form, 'swarm.image_id').titleMap.map(function (entry) {
      return entry.value;
    });
    expect(values).toEqual(['', 'debian-12']);
  });

  it('offers each label of the driver', function () {
    var dialog = open();
    pages.get('.labels.data').forEach(function (label) {
      expect(formItems.find(dialog.form, 'swarm.labels.' + label.name))
        .withContext(label.name).toBeDefined();
    });
  });

  it('sends what was entered, and nothing that was left empty', function () {
    var api = pages.get('.api');
    spyOn(api, 'createTemplate').and.returnValue(pages.answer({id: 't2'}));
    var dialog = open();
    choose(dialog, 'swarm-mode');
    dialog.model.name = 'new';
    angular.extend(dialog.model.swarm, {
      image_id: 'debian-12', flavor_id: 'm1.small', external_network_id: 'n2', keypair_id: ''
    });
    dialog.model.swarm.labels = {published_ports: '80,443', data_path_port: 4790, log_driver: ''};
    var result;
    dialog.swarmMode.submit(dialog.model).then(function (value) { result = value; });
    pages.get('$rootScope').$apply();
    expect(api.createTemplate.calls.mostRecent().args[0]).toEqual({
      name: 'new', public: false, hidden: false, image_id: 'debian-12', flavor_id: 'm1.small',
      external_network_id: 'n2', floating_ip_enabled: true,
      labels: {published_ports: '80,443', data_path_port: '4790'}
    });
    expect(result.created).toEqual([{type: 'OS::Magnum::ClusterTemplate', id: 't2'}]);
  });

  it('shows the values of a template that is changed, and sends them', function () {
    var api = pages.get('.api');
    spyOn(api, 'changeTemplate').and.returnValue(pages.answer({id: 't1'}));
    var dialog = open('update');
    angular.extend(dialog.model, {id: 't1', name: 'swarm', coe: 'swarm-mode'});
    workflow.update(dialog);
    pages.get('$rootScope').$apply();
    expect(formItems.find(dialog.form, 'coe').readonly).toBe(true);
    expect(dialog.model.swarm.labels).toEqual(
      jasmine.objectContaining({published_ports: '80,443', drain_timeout: 60, log_driver: ''}));
    // A network that is named by its name is not among the ids.
    expect(formItems.find(dialog.form, 'swarm.fixed_network').titleMap).toContain(
      {value: 'private', name: 'private'});
    dialog.swarmMode.submit(dialog.model);
    expect(api.changeTemplate).toHaveBeenCalledWith('t1', jasmine.objectContaining({
      name: 'swarm', fixed_network: 'private', docker_volume_size: 5,
      labels: {published_ports: '80,443', drain_timeout: '60'}
    }));
  });

  it('stays as it is where magnum-ui has other fields', function () {
    var original = formItems.find;
    spyOn(formItems, 'find').and.callFake(function (form, key) {
      return key === 'fixed_subnet' ? undefined : original(form, key);
    });
    var dialog = open();
    expect(dialog.swarmMode).toBeUndefined();
    expect(dialog.model.swarm).toBeUndefined();
    expect(original(dialog.form, 'image_id').condition).toBeUndefined();
  });
});
