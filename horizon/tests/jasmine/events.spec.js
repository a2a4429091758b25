// SPDX-License-Identifier: Apache-2.0
describe('events of a cluster', function () {
  'use strict';
  var api, scope;

  beforeEach(pages.load);
  beforeEach(function () {
    api = pages.get('.api');
    spyOn(api, 'getEvents').and.returnValue(pages.answer({items: [{id: 'e1'}]}));
    inject(function ($controller, $rootScope) {
      scope = angular.extend($rootScope.$new(), {ctrl: {}});
      scope.events = $controller(pages.MODULE + '.clusters.EventsController', {$scope: scope});
    });
  });

  function show(status, reason) {
    scope.ctrl.cluster = {id: 'c1', status: status, status_reason: reason};
    scope.$apply();
    return api.getEvents.calls.count();
  }

  it('are read when the cluster has changed, and again while something is under way', function () {
    scope.$apply();
    expect(api.getEvents).not.toHaveBeenCalled();
    expect(show('UPDATE_IN_PROGRESS', 'Draining.')).toBe(1);
    expect(show('UPDATE_IN_PROGRESS', 'Draining.')).toBe(2);
    expect(show('UPDATE_COMPLETE', 'Done.')).toBe(3);
    expect(show('UPDATE_COMPLETE', 'Done.')).toBe(3);
    expect(scope.events.items).toEqual([{id: 'e1'}]);
  });

  it('stay while Heat does not answer, with what it says', function () {
    show('UPDATE_COMPLETE', 'Done.');
    api.getEvents.and.callFake(function () {
      return pages.get('$q').reject({status: 503, data: 'Heat does not answer.'});
    });
    show('UPDATE_IN_PROGRESS', 'Draining.');
    expect(scope.events.items).toEqual([{id: 'e1'}]);
    expect(scope.events.refusal).toBe('Heat does not answer.');
    api.getEvents.and.returnValue(pages.answer({items: []}));
    show('UPDATE_IN_PROGRESS', 'Draining.');
    expect(scope.events.refusal).toBe('');
  });
});
