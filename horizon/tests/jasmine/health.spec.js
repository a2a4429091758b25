// SPDX-License-Identifier: Apache-2.0
describe('health', function () {
  'use strict';
  var health;

  beforeEach(pages.load);
  beforeEach(function () { health = pages.get('.clusters.health'); });

  it('is read line by line', function () {
    var found = health.read({
      api: 'ok',
      managers: '3 of 3 reachable; quorum holds, 1 more may fail',
      workers: '1 of 2 ready',
      'c-manager-0': 'ready, active, leader, engine 26.1.5',
      'c-manager-1': 'ready, drain, manager unreachable, engine 26.1.5',
      'c-worker-0': 'down (heartbeat failure, or none), active, engine 20.10.24+dfsg1',
      'reason:c-worker-0': 'NodeDown',
      'reason:c-manager-1': 'ManagerUnreachable'
    });
    expect(found.workers).toBe('1 of 2 ready');
    expect(found.nodes[0]).toEqual({
      name: 'c-manager-0', state: 'ready', availability: 'active', isManager: true,
      role: 'manager (leader)', engine: '26.1.5', code: '', reason: '', isWell: true
    });
    expect(found.nodes[1].role).toBe('manager, unreachable');
    expect(found.nodes[2]).toEqual(jasmine.objectContaining({
      state: 'down (heartbeat failure, or none)', availability: 'active', role: 'worker',
      engine: '20.10.24+dfsg1', reason: 'The swarm has lost the node.', isWell: false
    }));
  });

  it('that is of another form is shown as it is', function () {
    expect(health.read({'c-worker-0': 'something else'}).nodes[0].state).toBe('something else');
    expect(health.read({'reason:x': 'New', x: 'ready, active'}).nodes[0].reason).toBe('New');
    expect(health.read(null).nodes).toEqual([]);
    expect(health.read('text').nodes).toEqual([]);
  });
});
