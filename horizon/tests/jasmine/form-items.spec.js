// SPDX-License-Identifier: Apache-2.0
describe('form items', function () {
  'use strict';
  var formItems, form;

  beforeEach(pages.load);
  beforeEach(function () {
    formItems = pages.get('.dialog.form-items');
    form = [{type: 'tabs', tabs: [
      {items: [{key: 'name'}]},
      {items: [{type: 'section', items: [{key: ['swarm', 'image'], condition: 'a'}]}]}
    ]}];
  });

  it('are found by key below tabs and sections', function () {
    expect(formItems.find(form, 'swarm.image').condition).toBe('a');
    expect(formItems.find(form, 'nothing')).toBeUndefined();
    expect(formItems.tabOf(form, 'swarm.image')).toBe(1);
  });

  it('are hidden besides the condition that they have', function () {
    var item = formItems.find(form, 'swarm.image');
    formItems.hide(item, 'b');
    expect(item.condition).toBe('(a) && b');
  });

  it('that mirror another one offer what that is filled with later', function () {
    var source = {titleMap: [{value: '', name: 'Choose'}]};
    var item = formItems.mirror(source, {key: 'x', first: 'None'}, angular.noop);
    source.titleMap = [{value: '', name: 'Choose'}, {value: 'a', name: 'A'}];
    expect(item.titleMap).toEqual([{value: '', name: 'None'}, {value: 'a', name: 'A'}]);
    expect(item.titleMap).toBe(item.titleMap);
  });

  it('that mirror another one are the same each time, also before it is filled', function () {
    var item = formItems.mirror({}, {key: 'x'}, function () { return 'a'; });
    expect(item.titleMap).toEqual([{value: 'a', name: 'a'}]);
    expect(item.titleMap).toBe(item.titleMap);
  });

  it('that mirror another one offer the present value, too', function () {
    var source = {titleMap: [{value: 'id', name: 'private'}]};
    var item = formItems.mirror(source, {key: 'x'}, function () { return 'private'; });
    expect(item.titleMap).toEqual([
      {value: 'id', name: 'private'}, {value: 'private', name: 'private'}
    ]);
  });
});
