// SPDX-License-Identifier: Apache-2.0
describe('names of networks', function () {
  'use strict';
  var ID = '5d12f6fd-a196-4bf0-ae4c-1f639a523a52';
  var SUBNET = '0562d357-8641-4759-8fed-8173f02c9633';
  var UNKNOWN = 'a1136b04-5f36-4dca-a4ab-b7ca0ebcbb6b';
  var $rootScope, filter, magnum;

  beforeEach(pages.load);
  beforeEach(function () {
    magnum = pages.openstack();
    magnum.getNetworks.and.returnValue(pages.answer({items: [
      {id: ID, name: 'private', subnets: [{id: SUBNET, name: 'private-subnet'}]},
      {id: UNKNOWN, name: ''}
    ]}));
    $rootScope = pages.get('$rootScope');
    filter = pages.get('swarmModeNetworkNameFilter');
  });

  it('are shown instead of ids, as soon as they are known', function () {
    expect(filter(ID)).toBe(ID);
    $rootScope.$apply();
    expect([ID, SUBNET, UNKNOWN].map(filter)).toEqual(['private', 'private-subnet', UNKNOWN]);
    expect(magnum.getNetworks.calls.count()).toBe(1);
  });

  it('are not asked for where there are no ids', function () {
    expect(['private', '', null, undefined].map(filter)).toEqual(['private', '', null, undefined]);
    expect(magnum.getNetworks).not.toHaveBeenCalled();
  });

  it('leave the ids where they cannot be had', function () {
    magnum.getNetworks.and.returnValue(pages.get('$q').resolve(undefined));
    filter(ID);
    $rootScope.$apply();
    expect(filter(ID)).toBe(ID);
  });
});
