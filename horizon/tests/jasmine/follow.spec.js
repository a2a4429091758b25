// SPDX-License-Identifier: Apache-2.0
describe('a page of details', function () {
  'use strict';
  var $rootScope, $timeout, api, follow, page, scope, seen;

  beforeEach(pages.load);
  beforeEach(function () {
    $rootScope = pages.get('$rootScope');
    $timeout = pages.get('$timeout');
    api = pages.get('.api');
    follow = pages.get('.clusters.follow');
    page = {itemData: {}, resourceType: {}};
    scope = angular.extend($rootScope.$new(), {ctrl: page}).$new();
    seen = [];
  });

  function begin(status, reason) {
    var shown = {id: 'c1', status: status, status_reason: reason};
    follow.start(scope, shown, function (cluster, steps) {
      seen.push(cluster.status);
      scope.steps = steps.map(function (step) { return step.text; });
    });
  }

  function answer(status, reason) {
    api.getCluster = jasmine.createSpy('getCluster').and.returnValue(
      pages.answer({id: 'c1', status: status, status_reason: reason}));
  }

  it('reads its cluster again, more often while something is under way', function () {
    begin('UPDATE_IN_PROGRESS', 'Draining.');
    answer('UPDATE_COMPLETE', 'Done.');
    $timeout.flush(4000);
    expect(seen).toEqual(['UPDATE_IN_PROGRESS', 'UPDATE_COMPLETE']);
    answer('UPDATE_COMPLETE', 'Done.');
    $timeout.flush(4000);
    expect(api.getCluster).not.toHaveBeenCalled();
    $timeout.flush(16000);
    expect(api.getCluster).toHaveBeenCalled();
  });

  it('keeps each step once', function () {
    begin('UPDATE_IN_PROGRESS', 'Draining.');
    answer('UPDATE_IN_PROGRESS', 'Draining.');
    $timeout.flush(4000);
    answer('UPDATE_COMPLETE', 'Done.');
    $timeout.flush(4000);
    expect(scope.steps).toEqual(['Draining.', 'Done.']);
  });

  it('makes its actions again when the status has changed', function () {
    var given = [];
    begin('UPDATE_IN_PROGRESS', '');
    Object.defineProperty(page, 'itemData', {set: function (value) { given.push(value); }});
    answer('UPDATE_COMPLETE', '');
    $timeout.flush(4000);
    expect(given).toEqual([null, jasmine.objectContaining({status: 'UPDATE_COMPLETE'})]);
  });

  it('asks once for all of its views, and for none when they are gone', function () {
    begin('UPDATE_IN_PROGRESS', '');
    begin('UPDATE_IN_PROGRESS', '');
    answer('UPDATE_IN_PROGRESS', '');
    $timeout.flush(4000);
    expect(api.getCluster.calls.count()).toBe(1);
    scope.$destroy();
    $timeout.verifyNoPendingTasks();
  });

  it('goes on after Horizon was away', function () {
    begin('UPDATE_COMPLETE', '');
    api.getCluster = function () { return pages.get('$q').reject({status: 502}); };
    $timeout.flush(20000);
    answer('UPDATE_FAILED', '');
    $timeout.flush(20000);
    expect(seen.pop()).toBe('UPDATE_FAILED');
  });
});
