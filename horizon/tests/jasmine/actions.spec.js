// SPDX-License-Identifier: Apache-2.0
describe('actions', function () {
  'use strict';
  var $rootScope, actions, api, keepOpen;

  beforeEach(pages.load);
  beforeEach(function () {
    var registry = pages.get('horizon.framework.conf.resource-type-registry.service');
    $rootScope = pages.get('$rootScope');
    actions = registry.getResourceType('OS::Magnum::Cluster').itemActions;
    api = pages.get('.api');
    keepOpen = pages.get('.dialog.keep-open');
  });

  function swarm(fields) {
    return angular.extend({
      id: 'c1', name: 'swarm', coe: 'swarm-mode', status: 'CREATE_COMPLETE', labels: {},
      api_address: 'tcp://192.0.2.1:2376', cluster_template_id: 't1', template: pages.template(),
      health_status_reason: {
        'swarm-manager-0': 'ready, active, leader', 'swarm-worker-0': 'ready, active',
        'swarm-worker-1': 'ready, active', 'swarm-gpu-g0': 'ready, active'
      },
      node_groups: [
        {id: 'g0', name: 'default-master', role: 'master', node_count: 1, is_default: true},
        {id: 'g1', name: 'default-worker', role: 'worker', node_count: 2, is_default: true},
        {id: 'g2', name: 'gpu', role: 'worker', node_count: 1, is_default: false,
          min_node_count: 0, max_node_count: null, node_labels: {disk: 'ssd'}}
      ]
    }, fields);
  }

  function offered(cluster) {
    var found = [];
    actions.forEach(function (action) {
      action.service.allowed(cluster).then(function () { found.push(action.id); }, angular.noop);
    });
    $rootScope.$apply();
    return found;
  }

  /** Opens the dialog of an action; returns its configuration. */
  function open(perform) {
    var config;
    spyOn(keepOpen, 'open').and.callFake(function (value) {
      config = value;
      return pages.get('$q').defer().promise;
    });
    perform();
    $rootScope.$apply();
    return config;
  }

  function answers(cluster) {
    spyOn(api, 'getCluster').and.returnValue(pages.answer(cluster));
  }

  it('of magnum-ui are offered for other engines only', function () {
    expect(offered({id: 'k', coe: 'kubernetes', status: 'CREATE_COMPLETE'})).toEqual([
      'showCertificateAction', 'signCertificateAction', 'getClusterConfigAction',
      'resizeClusterAction', 'rollingUpgradeClusterAction', 'rotateCredentialAction',
      'deleteClusterAction'
    ]);
    expect(offered(swarm()).every(function (id) { return id.indexOf('swarmMode') === 0; }))
      .toBe(true);
  });

  it('are offered where they apply', function () {
    var all = ['swarmModeClientFilesAction', 'swarmModeResizeAction', 'swarmModeNodeGroupAction',
      'swarmModeUpgradeAction', 'swarmModeRotateAuthorityAction',
      'swarmModeRotateCredentialAction', 'swarmModeDeleteAction'];
    expect(offered(swarm())).toEqual(all);
    expect(offered(swarm({status: 'CREATE_IN_PROGRESS'}))).toEqual(['swarmModeDeleteAction']);
    expect(offered(swarm({status: 'CREATE_FAILED'}))).toEqual(['swarmModeDeleteAction']);
    expect(offered(swarm({status: 'UPDATE_IN_PROGRESS'}))).toEqual([
      'swarmModeClientFilesAction', 'swarmModeResizeAction', 'swarmModeDeleteAction']);
    expect(offered(swarm({status: 'UPDATE_FAILED'}))).toEqual(all.filter(function (id) {
      return id !== 'swarmModeRotateAuthorityAction';
    }));
    expect(offered(swarm({status: 'DELETE_IN_PROGRESS'}))).toEqual([]);
  });

  describe('to resize', function () {
    var config;

    beforeEach(function () {
      answers(swarm());
      spyOn(api, 'resize').and.returnValue(pages.answer(null));
      config = open(function () { pages.get('.clusters.resize').perform(swarm()); });
    });

    function choose(group) {
      config.model.group = group;
      config.form[0].onChange();
    }

    it('say what happens to which nodes', function () {
      config.model.workers = 4;
      expect(config.swarmMode.summary()).toEqual(['2 nodes are added to default-worker.']);
      config.model.workers = 2;
      expect(config.swarmMode.summary()).toEqual(
        ['default-worker keeps its number of nodes and is repaired.']);
      config.model.workers = 1;
      config.model.remove['swarm-worker-0'] = true;
      expect(config.swarmMode.summary()).toEqual([
        '1 node of default-worker is drained and deleted.',
        'Among those that go: swarm-worker-0.'
      ]);
    });

    it('offer the nodes of the group', function () {
      var names = function () {
        return config.form[3].members().map(function (node) { return node.name; });
      };
      expect(names()).toEqual(['swarm-worker-0', 'swarm-worker-1']);
      choose('g2');
      expect(names()).toEqual(['swarm-gpu-g0']);
      choose('g0');
      expect(names()).toEqual(['swarm-manager-0']);
    });

    it('send the group, the number and the names', function () {
      config.model.workers = 1;
      config.model.remove['swarm-worker-0'] = true;
      config.swarmMode.submit(config.model);
      expect(api.resize).toHaveBeenCalledWith('c1',
        {node_count: 1, nodegroup: 'g1', nodes_to_remove: ['swarm-worker-0']});
    });

    it('offer managers in odd numbers, and say what they survive', function () {
      choose('g0');
      config.model.managers = 3;
      expect(config.swarmMode.summary()[1]).toBe('3 managers: survive the loss of 1 manager.');
      config.swarmMode.submit(config.model);
      expect(api.resize).toHaveBeenCalledWith('c1', {node_count: 3, nodegroup: 'g0'});
    });
  });

  describe('to upgrade', function () {
    var config;

    beforeEach(function () {
      answers(swarm());
      pages.openstack([
        pages.template(),
        pages.template({id: 't2', name: 'newer', image_id: 'debian-13',
          labels: {drain_timeout: '0'}}),
        pages.template({id: 't3', name: 'elsewhere', external_network_id: 'other'}),
        pages.template({id: 't4', name: 'port', labels: {data_path_port: '4790'}}),
        pages.template({id: 'k1', name: 'k8s', coe: 'kubernetes'})
      ]);
      spyOn(api, 'upgrade').and.returnValue(pages.answer(null));
      config = open(function () { pages.get('.clusters.upgrade').perform(swarm()); });
    });

    it('offer each compatible template, and say why others are not', function () {
      expect(config.form[1].titleMap.map(function (one) { return one.name; })).toEqual(
        ['Choose a cluster template', 'swarm (the present one)', 'newer']);
      expect(config.intro.slice(-2)).toEqual([
        'Not offered, as it differs in what is fixed: elsewhere (external_network_id).',
        'Not offered, as it differs in what is fixed: port (data_path_port).'
      ]);
    });

    it('say what changes', function () {
      config.model.template = 't2';
      expect(config.swarmMode.summary()).toEqual([
        'image_id: from debian-12 to debian-13', 'drain_timeout: from 300 to 0']);
    });

    it('are for the whole cluster or one group', function () {
      config.model.template = 't2';
      config.swarmMode.submit(config.model);
      expect(api.upgrade).toHaveBeenCalledWith('c1', {cluster_template: 't2', max_batch_size: 1});
      config.model.group = 'g1';
      config.swarmMode.submit(config.model);
      expect(api.upgrade.calls.mostRecent().args[1].nodegroup).toBe('g1');
    });

    it('let a further group follow only what the cluster has', function () {
      config.model.group = 'g2';
      config.form[0].onChange();
      expect(config.model.template).toBe('t1');
      expect(config.form[1].$validators.further('t2')).toBe(false);
      expect(config.form[1].$validators.further('t1')).toBe(true);
    });
  });

  it('to create a node group send what was entered', function () {
    pages.openstack();
    spyOn(api, 'createNodeGroup').and.returnValue(pages.answer({id: 'g3'}));
    var config = open(function () { pages.get('.clusters.node-group').create.perform(swarm()); });
    angular.extend(config.model, {
      name: 'gpu', node_count: 0, flavor_id: 'm1.medium', node_labels: 'disk=ssd\nzone=a=b\n'
    });
    config.model.labels.availability_zone = 'nova';
    config.swarmMode.submit(config.model);
    expect(api.createNodeGroup).toHaveBeenCalledWith('c1', {
      name: 'gpu', node_count: 0, flavor_id: 'm1.medium', merge_labels: true,
      labels: {availability_zone: 'nova'}, node_labels: {disk: 'ssd', zone: 'a=b'}
    });
  });

  it('to create a node group offer only labels that a group may have', function () {
    pages.openstack();
    var config = open(function () { pages.get('.clusters.node-group').create.perform(swarm()); });
    var find = pages.get('.dialog.form-items').find;
    expect(find(config.form, 'labels.availability_zone')).toBeDefined();
    expect(find(config.form, 'labels.log_driver')).toBeUndefined();
  });

  it('to label a node group show and send its labels and bounds', function () {
    spyOn(api, 'changeNodeGroup').and.returnValue(pages.answer({id: 'g2'}));
    var cluster = swarm();
    var config = open(function () {
      pages.get('.clusters.node-group').change(cluster, cluster.node_groups[2]);
    });
    expect(config.model.node_labels).toBe('disk=ssd');
    config.model.node_labels = '';
    config.model.max_node_count = 4;
    config.swarmMode.submit(config.model);
    expect(api.changeNodeGroup).toHaveBeenCalledWith('c1', 'g2',
      {min_node_count: 0, max_node_count: 4, node_labels: {}});
  });

  it('to delete a node group say how many nodes go', function () {
    spyOn(api, 'deleteNodeGroup').and.returnValue(pages.answer(null));
    var cluster = swarm();
    var config = open(function () {
      pages.get('.clusters.node-group').remove(cluster, cluster.node_groups[2]);
    });
    expect(config.intro).toEqual(['Its 1 node is drained and deleted, with its volumes.']);
    config.swarmMode.submit(config.model);
    expect(api.deleteNodeGroup).toHaveBeenCalledWith('c1', 'g2');
  });

  it('to rotate say what it means, and send one request', function () {
    spyOn(api, 'rotateAuthority').and.returnValue(pages.answer(null));
    var config = open(function () { pages.get('.clusters.rotate-authority').perform(swarm()); });
    expect(config.intro.join(' ')).toContain('Client files from before stop working');
    config.swarmMode.submit(config.model);
    expect(api.rotateAuthority).toHaveBeenCalledWith('c1');
  });

  it('to download take the name from the answer', function () {
    var nameOf = pages.get('.clusters.client-files').nameOf;
    expect(nameOf('attachment; filename="swarm.zip"')).toBe('swarm.zip');
    expect(nameOf('attachment; filename="../x.zip"')).toBe('swarm.zip');
    expect(nameOf(null)).toBe('swarm.zip');
  });

  it('to download are shown with the name that the archive has', function () {
    var contextOf = pages.get('.clusters.client-files').contextOf;
    expect(contextOf({id: 'c1', name: 'swarm_1.a'})).toBe('swarm_1.a');
    expect(contextOf({id: 'c1', name: 'Schwärme'})).toBe('c1');
  });

  it('to delete say what is lost', function () {
    var magnum = pages.openstack();
    spyOn(magnum, 'deleteCluster').and.returnValue(pages.answer(null));
    var config = open(function () {
      pages.get('.clusters.delete').perform(swarm({master_count: 1, node_count: 3}));
    });
    expect(config.intro[0]).toContain('(managers: 1, workers: 3)');
    config.swarmMode.submit(config.model);
    expect(magnum.deleteCluster).toHaveBeenCalledWith('c1', true);
    $rootScope.$apply();
    expect(pages.get('.clusters.status').isExpected(swarm())).toBe(true);
  });

  describe('to delete what is chosen of a list', function () {
    var batch, stock;

    beforeEach(function () {
      stock = {perform: jasmine.createSpy('perform')};
      batch = pages.get('.clusters.delete-several').forSwarms(stock);
    });

    it('are magnum-ui\'s for other engines', function () {
      var clusters = [{id: 'k', coe: 'kubernetes'}];
      batch.perform(clusters, 'scope');
      expect(stock.perform).toHaveBeenCalledWith(clusters, 'scope');
    });

    it('name each cluster with its nodes, and delete them all', function () {
      var magnum = pages.openstack();
      var clusters = [
        swarm({master_count: 3, node_count: 8}),
        {id: 'k', name: 'k8s', coe: 'kubernetes', master_count: 1, node_count: 2}
      ];
      spyOn(magnum, 'deleteCluster').and.returnValue(pages.answer(null));
      var config = open(function () { batch.perform(clusters); });
      expect(stock.perform).not.toHaveBeenCalled();
      expect(config.intro.slice(0, 2)).toEqual(
        ['swarm (managers: 3, workers: 8)', 'k8s (managers: 1, workers: 2)']);
      var result;
      config.swarmMode.submit(config.model).then(function (outcome) { result = outcome; });
      $rootScope.$apply();
      expect(magnum.deleteCluster.calls.allArgs()).toEqual([['c1', true], ['k', true]]);
      expect(result.updated.map(function (one) { return one.id; })).toEqual(['c1', 'k']);
      expect(pages.get('.clusters.status').isExpected(clusters[0])).toBe(true);
    });

    it('stay with Magnum\'s sentence where it refuses one', function () {
      var magnum = pages.openstack();
      spyOn(magnum, 'deleteCluster').and.callFake(function () {
        return pages.get('$q').reject({status: 409, data: 'It is locked.'});
      });
      var config = open(function () { batch.perform([swarm(), swarm({id: 'c2'})]); });
      var refused;
      config.swarmMode.submit(config.model).catch(function (answer) { refused = answer.data; });
      $rootScope.$apply();
      expect(refused).toBe('It is locked.');
    });

    it('are in place in the list', function () {
      var registry = pages.get('horizon.framework.conf.resource-type-registry.service');
      var [action] = registry.getResourceType('OS::Magnum::Cluster').batchActions.filter(
        function (one) { return one.id === 'batchDeleteClusterAction'; });
      var config = open(function () { action.service.perform([swarm()]); });
      expect(config.title).toBe('Delete clusters');
    });
  });
});
