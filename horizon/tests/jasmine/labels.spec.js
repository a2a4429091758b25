// SPDX-License-Identifier: Apache-2.0
describe('labels in a form', function () {
  'use strict';
  var form;

  beforeEach(pages.load);
  beforeEach(function () { form = pages.get('.labels.form'); });

  function field(name) {
    return pages.get('.dialog.form-items').find(form.fieldsets('labels'), 'labels.' + name);
  }

  it('have type, bounds, default and help', function () {
    expect(form.schema().properties.data_path_port).toEqual(
      jasmine.objectContaining({type: 'integer', minimum: 1024, maximum: 49151}));
    expect(field('data_path_port').placeholder).toBe('4789');
    expect(field('data_path_port').description).toContain('an integer from 1024 to 49151');
    expect(field('join_timeout').title).toBe('Join timeout (seconds)');
  });

  it('offer their choices, with what each means', function () {
    expect(field('log_driver').titleMap[0]).toEqual({value: '', name: 'Default (json-file)'});
    expect(field('log_driver').titleMap).toContain(
      {value: 'none', name: 'none: nowhere'});
    expect(field('auto_healing_enabled').titleMap.map(function (one) { return one.value; }))
      .toEqual(['', 'true', 'false']);
  });

  it('say what holds where they are left empty', function () {
    var items = form.fieldsets('labels', null, {unset: 'As the template says'});
    var find = pages.get('.dialog.form-items').find;
    expect(find(items, 'labels.data_path_port').placeholder).toBe('As the template says');
    ['labels.log_driver', 'labels.auto_healing_enabled'].forEach(function (key) {
      expect(find(items, key).titleMap[0]).toEqual({value: '', name: 'As the template says'});
    });
  });

  it('take 0 or what is within bounds, where 0 is nothing', function () {
    var tooSmall = field('network_mtu').$validators.tooSmall;
    expect([0, 1280, undefined].every(tooSmall)).toBe(true);
    expect(tooSmall(500)).toBe(false);
  });

  it('are written as text, and those that are empty left out', function () {
    expect(form.fromModel({a: 0, b: '', c: null, d: undefined, e: 'x,y', f: 'false'}))
      .toEqual({a: '0', e: 'x,y', f: 'false'});
  });

  it('come back as they were', function () {
    var labels = {drain_timeout: '0', auto_healing_enabled: 'True', log_driver: 'local', own: 'x'};
    expect(form.fromModel(form.toModel(labels))).toEqual(
      {drain_timeout: '0', auto_healing_enabled: 'true', log_driver: 'local', own: 'x'});
  });
});

describe('a label that the plug-in does not know', function () {
  'use strict';

  beforeEach(pages.load);
  beforeEach(module(function ($provide) {
    $provide.decorator(pages.MODULE + '.labels.data', ['$delegate', function (data) {
      return data.concat([
        {name: 'brand_new', type: 'text', title: 'Brand new', help: 'x', expected: 'y', default: ''}
      ]);
    }]);
  }));

  it('is offered among the others', function () {
    var items = pages.get('.labels.form').fieldsets('labels', ['other'])[0].items;
    expect(items.map(function (item) { return item.title; })).toEqual(['Brand new']);
  });
});
