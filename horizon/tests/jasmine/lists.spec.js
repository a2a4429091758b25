// SPDX-License-Identifier: Apache-2.0
describe('lists and details', function () {
  'use strict';
  var registry, clusters, api;

  beforeEach(pages.load);
  beforeEach(function () {
    registry = pages.get('horizon.framework.conf.resource-type-registry.service');
    clusters = registry.getResourceType('OS::Magnum::Cluster');
    api = pages.get('.api');
  });

  function list(items) {
    var found;
    spyOn(api, 'getClusters').and.returnValue(pages.answer({items: items}));
    clusters.list().then(function (answer) { found = answer.data.items; });
    pages.get('$rootScope').$apply();
    return found;
  }

  function views(coe) {
    api.getCluster = function () { return pages.answer({id: 'c', coe: coe, node_groups: []}); };
    clusters.load('c');
    pages.get('$rootScope').$apply();
    return clusters.detailsViews.map(function (view) { return view.id; });
  }

  it('of templates have a column of the engine', function () {
    var columns = registry.getResourceType('OS::Magnum::ClusterTemplate').getTableColumns();
    var engine = columns.filter(function (column) { return column.id === 'coe'; })[0];
    expect(engine.title).toBe('Engine');
    expect(engine.values['swarm-mode']).toBe('Docker Swarm mode');
  });

  it('of clusters have the engine, its version and the current step', function () {
    var titles = clusters.getTableColumns().map(function (column) { return column.title; });
    expect(titles).toContain('Engine');
    expect(titles).toContain('Engine Version');
    expect(titles).toContain('Current Step');
    expect(titles).not.toContain('Kubernetes Version');
  });

  it('show the current step of a swarm only, and refresh while there is one', function () {
    var items = list([
      {id: 'a', coe: 'swarm-mode', status: 'UPDATE_IN_PROGRESS', status_reason: 'Draining.'},
      {id: 'b', coe: 'swarm-mode', status: 'UPDATE_COMPLETE'},
      {id: 'c', coe: 'kubernetes', status: 'UPDATE_IN_PROGRESS', status_reason: 'x'}
    ]);
    expect(items[0].swarm_mode_step).toBe('Draining.');
    expect(items[2].swarm_mode_step).toBeUndefined();
    expect(items.map(clusters.itemInTransitionFunction)).toEqual([true, false, false]);
  });

  it('refresh also while a new swarm has no health yet', function () {
    function isRefreshed(minutes, health) {
      var created = new Date(Date.now() - minutes * 60000).toISOString();
      return clusters.itemInTransitionFunction({
        coe: 'swarm-mode', status: 'CREATE_COMPLETE', created_at: created, health_status: health
      });
    }
    expect(isRefreshed(2, null)).toBe(true);
    expect(isRefreshed(2, 'HEALTHY')).toBe(false);
    expect(isRefreshed(60, null)).toBe(false);
  });

  it('refresh from the moment when Magnum has accepted an operation', function () {
    var cluster = {id: 'a', coe: 'swarm-mode', status: 'CREATE_COMPLETE', health_status: 'HEALTHY'};
    var status = pages.get('.clusters.status');
    var isRefreshed = function (fields) {
      return clusters.itemInTransitionFunction(angular.extend({}, cluster, fields));
    };
    expect(isRefreshed()).toBe(false);
    status.expect(cluster);
    expect(isRefreshed()).toBe(true);
    expect(isRefreshed({id: 'b'})).toBe(false);
    expect(isRefreshed({status: 'UPDATE_COMPLETE'})).toBe(false);
    status.expect(cluster);
    spyOn(Date, 'now').and.returnValue(Date.now() + 31000);
    expect(isRefreshed()).toBe(false);
  });

  it('make a row again when other actions may apply, else as magnum-ui does', function () {
    var items = list([
      {id: 'a', coe: 'swarm-mode', status: 'UPDATE_COMPLETE', health_status: 'HEALTHY'},
      {id: 'c', coe: 'kubernetes', updated_at: '2026'}
    ]);
    expect(items[0].trackBy).toBe('a,UPDATE_COMPLETE,HEALTHY');
    expect(items[1].trackBy).toBe('c2026');
  });

  it('say so when the list cannot be read', function () {
    var toast = pages.get('horizon.framework.widgets.toast.service');
    var items;
    spyOn(toast, 'add');
    spyOn(api, 'getClusters').and.returnValue(pages.get('$q').reject({data: 'Magnum is away.'}));
    clusters.list().then(function (answer) { items = answer.data.items; });
    pages.get('$rootScope').$apply();
    expect(items).toEqual([]);
    expect(toast.add).toHaveBeenCalledWith('error', 'Magnum is away.');
  });

  it('have views of their own for swarms, and those of magnum-ui for other engines', function () {
    var own = ['swarmModeOverview', 'swarmModeNodes', 'swarmModeNodeGroups', 'swarmModeConnect',
      'swarmModeEvents'];
    expect(views('swarm-mode')).toEqual(own);
    expect(views('kubernetes')).toEqual(['clusterDetailsOverview']);
    expect(views('swarm-mode')).toEqual(own);
  });

  it('keep views that another plug-in adds', function () {
    views('swarm-mode');
    clusters.detailsViews.append({id: 'another', name: 'x', template: 'y'});
    expect(views('swarm-mode').indexOf('another')).toBe(-1);
    expect(views('kubernetes')).toEqual(['clusterDetailsOverview', 'another']);
  });
});

describe('the list of availability zones', function () {
  'use strict';

  beforeEach(pages.load);

  function zones(items) {
    var found;
    var http = pages.get('horizon.framework.util.http.service');
    spyOn(http, 'get').and.returnValue(pages.answer({items: items}));
    pages.get('horizon.app.core.openstack-service-api.nova').getAvailabilityZones()
      .then(function (answer) { found = answer.data.items; });
    pages.get('$rootScope').$apply();
    return found;
  }

  it('has the names that magnum-ui reads, whatever Horizon calls them', function () {
    expect(zones([{name: 'nova'}])[0].zoneName).toBe('nova');
  });

  it('is as it was where Horizon has these names itself', function () {
    expect(zones([{zoneName: 'nova'}])).toEqual([{zoneName: 'nova'}]);
  });
});
