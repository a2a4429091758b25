// SPDX-License-Identifier: Apache-2.0
describe('a dialog that stays open', function () {
  'use strict';
  var $q, config, dialog, event, sent;

  beforeEach(pages.load);
  beforeEach(function () {
    $q = pages.get('$q');
    sent = null;
    event = {preventDefault: angular.noop, stopPropagation: angular.noop};
    config = {
      title: 'title',
      schema: {type: 'object', properties: {name: {type: 'string'}, count: {type: 'number'}}},
      form: [{type: 'tabs', tabs: [{items: [{key: 'name'}]}, {items: [{key: 'count'}]}]}],
      model: {coe: 'swarm-mode', tabs: {selected: 0}, count: 2},
      swarmMode: {
        applies: function (model) { return model.coe === 'swarm-mode'; },
        submit: function () { sent = $q.defer(); return sent.promise; },
        keys: {name: 'name', node_count: 'count'}
      }
    };
    dialog = pages.dialogOf(config);
  });

  function submit() {
    dialog.ctrl.submit(event, {$invalid: false});
  }

  function refuse(sentence) {
    sent.reject({status: 400, data: sentence});
    dialog.scope.$apply();
  }

  it('closes with the result when Magnum accepts', function () {
    var outcome;
    dialog.closed.then(function (value) { outcome = value; });
    submit();
    expect(dialog.ctrl.isBusy).toBe(true);
    sent.resolve('result');
    dialog.scope.$apply();
    expect(outcome).toEqual({result: 'result'});
  });

  it('keeps what was entered and shows Magnum\'s sentence when it refuses', function () {
    var closed = false;
    dialog.closed.finally(function () { closed = true; });
    submit();
    refuse('No room for 3 more servers.');
    expect(closed).toBe(false);
    expect(dialog.ctrl.refusal).toBe('No room for 3 more servers.');
    expect(dialog.ctrl.model.count).toBe(2);
    expect(dialog.ctrl.isBusy).toBe(false);
  });

  it('sends once, however often the button is pressed', function () {
    spyOn(config.swarmMode, 'submit').and.callThrough();
    submit();
    submit();
    expect(config.swarmMode.submit.calls.count()).toBe(1);
  });

  it('marks the field of a refusal, in its tab, until it is changed', function () {
    var told = [];
    dialog.scope.$on('schemaForm.error.count', function (_, code, message) {
      told.push(message === true ? 'good' : message());
    });
    submit();
    refuse('node_count=2 is <b>not</b> possible.');
    expect(told).toEqual(['node_count=2 is &lt;b&gt;not&lt;/b&gt; possible.']);
    expect(dialog.ctrl.model.tabs.selected).toBe(1);
    dialog.ctrl.model.count = 3;
    dialog.scope.$apply();
    expect(told.pop()).toBe('good');
  });

  it('leaves the request of another engine to magnum-ui', function () {
    var outcome;
    config.model.coe = 'kubernetes';
    dialog.closed.then(function (value) { outcome = value; });
    submit();
    dialog.scope.$apply();
    expect(sent).toBeNull();
    expect(outcome.context.model).toBe(config.model);
  });

  it('is opened in place of Horizon\'s for the plug-in only', inject(function ($uibModal) {
    var service = pages.get('horizon.framework.widgets.form.ModalFormService');
    spyOn($uibModal, 'open').and.returnValue({result: $q.defer().promise});
    service.open({title: 'another', form: [], schema: {}, model: {}});
    expect($uibModal.open.calls.mostRecent().args[0].controller).toMatch(/ModalFormController/);
    service.open(config);
    expect($uibModal.open.calls.mostRecent().args[0].controller).toMatch(/KeepOpenController/);
  }));

  it('hands its result to the list through magnum-ui\'s service', function () {
    var keepOpen = pages.get('.dialog.keep-open');
    var magnum = pages.openstack();
    var result;
    spyOn(magnum, 'createCluster');
    spyOn(keepOpen, 'open').and.returnValue($q.resolve({result: {created: ['c1']}}));
    pages.get('horizon.dashboard.container-infra.clusters.create.service')
      .perform(null, dialog.scope).then(function (value) { result = value; });
    dialog.scope.$apply();
    expect(result).toEqual({created: ['c1']});
    expect(magnum.createCluster).not.toHaveBeenCalled();
  });

  it('has magnum-ui send what is of another engine', function () {
    var keepOpen = pages.get('.dialog.keep-open');
    var magnum = pages.openstack();
    spyOn(magnum, 'createCluster').and.returnValue(pages.answer({uuid: 'c2'}));
    spyOn(keepOpen, 'open').and.callFake(function (opened) {
      return $q.resolve({context: opened});
    });
    pages.get('horizon.dashboard.container-infra.clusters.create.service')
      .perform(null, dialog.scope);
    dialog.scope.$apply();
    expect(magnum.createCluster).toHaveBeenCalled();
  });
});

describe('a refusal', function () {
  'use strict';
  var refusal;

  beforeEach(pages.load);
  beforeEach(function () { refusal = pages.get('.dialog.refusal'); });

  it('is about the label or field that it names', function () {
    var names = ['name', 'node_count', 'flavor_id', 'log_driver', 'log_address'];
    expect(refusal.field('Label log_driver=gelf needs log_address.', names)).toBe('log_driver');
    expect(refusal.field('node_count=3 is refused.', names)).toBe('node_count');
    expect(refusal.field('Choose another flavor_id.', names)).toBe('flavor_id');
    expect(refusal.field('A cluster of that name exists.', names)).toBeUndefined();
    expect(refusal.field('name holds a control character.', names)).toBe('name');
    expect(refusal.field('Label colour=red is not known.', names)).toBeUndefined();
  });

  it('of a download is read from bytes', function () {
    var bytes = new TextEncoder().encode('"No address yet."').buffer;
    expect(refusal.sentence({data: bytes})).toBe('No address yet.');
  });

  it('without words has some', function () {
    expect(refusal.sentence({data: null})).toBe('Horizon did not answer.');
    expect(refusal.sentence(undefined)).toBe('Horizon did not answer.');
  });
});
