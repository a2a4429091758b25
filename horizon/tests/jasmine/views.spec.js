// SPDX-License-Identifier: Apache-2.0
describe('pages', function () {
  'use strict';
  var HOSTILE = '<img src=x onerror="window.attacked = 1">{$ 7 * 7 $}{{ 7 * 7 }}';
  var BASE = '/static/dashboard/container-infra-swarm-mode/';
  var $compile, $rootScope;

  beforeEach(pages.load);
  beforeEach(function () {
    $compile = pages.get('$compile');
    $rootScope = pages.get('$rootScope');
    spyOn(pages.get('.api'), 'getCluster').and.returnValue(pages.get('$q').defer().promise);
    spyOn(pages.get('.api'), 'getEvents').and.returnValue(pages.answer({items: [
      {id: 'e1', time: HOSTILE, resource: HOSTILE, status: HOSTILE, reason: HOSTILE}]}));
    pages.openstack([pages.template({id: 't1', name: HOSTILE})]);
  });

  function source(url) {
    var request = new XMLHttpRequest();
    request.open('GET', url, false);
    request.send();
    expect(request.status).withContext(url).toBe(200);
    return request.responseText;
  }

  /** Has the pages that others include at hand, as Horizon's templates are. */
  function keep(urls) {
    urls.forEach(function (url) { pages.get('$templateCache').put(url, source(url)); });
  }

  function show(file, values) {
    var scope = angular.extend($rootScope.$new(), values);
    var element = $compile('<div>' + source(BASE + file) + '</div>')(scope);
    scope.$apply();
    return element;
  }

  function cluster() {
    return {
      id: 'c1', name: HOSTILE, coe: 'swarm-mode', status: 'UPDATE_FAILED',
      status_reason: HOSTILE, api_address: HOSTILE, cluster_template_id: 't1',
      cluster_template_name: HOSTILE, keypair: HOSTILE, labels: {a: HOSTILE}, master_count: 3,
      node_addresses: [HOSTILE], master_addresses: [HOSTILE], faults: {a: HOSTILE},
      health_status: 'UNHEALTHY',
      health_status_reason: {
        api: HOSTILE, managers: HOSTILE, node: HOSTILE + ', active', 'reason:node': HOSTILE
      },
      node_groups: [{id: 'g', name: HOSTILE, role: 'worker', node_count: 1, status: 'x',
        status_reason: HOSTILE, flavor_id: HOSTILE, image_id: HOSTILE,
        node_labels: {a: HOSTILE}}]
    };
  }

  function expectText(element, context) {
    expect(element.find('img').length).withContext(context).toBe(0);
    expect(element.text()).withContext(context).toContain(HOSTILE);
    expect(window.attacked).toBeUndefined();
  }

  it('of a cluster show what tenants write as text, never as HTML or an expression', function () {
    ['overview', 'nodes', 'node-groups', 'connect', 'events'].forEach(function (name) {
      var context = {loadPromise: pages.answer(cluster())};
      expectText(show('clusters/details/' + name + '.html', {context: context}), name);
    });
  });

  it('of a row do so as well', function () {
    expectText(show('clusters/drawer.html', {item: cluster()}), 'drawer');
  });

  it('of a cluster say nothing of Kubernetes', function () {
    ['overview', 'nodes', 'node-groups', 'connect', 'events'].forEach(function (name) {
      var context = {loadPromise: pages.answer(cluster())};
      var text = show('clusters/details/' + name + '.html', {context: context}).text();
      expect(text).not.toMatch(/kubernetes|discovery|master/i);
    });
  });

  describe('with a form', function () {
    var closed, dialog, element, sent;

    function open(config) {
      dialog = pages.dialogOf(config);
      closed = false;
      dialog.closed.finally(function () { closed = true; });
      element = $compile('<div class="swarm-mode-dialog">' +
        source(BASE + 'dialog/keep-open.html') + '</div>')(dialog.scope);
      dialog.scope.$apply();
    }

    beforeEach(function () {
      keep(['array', 'checkbox', 'checkboxes', 'default', 'fieldset', 'radios', 'section',
        'select', 'submit', 'tabs', 'textarea', 'help', 'radio-buttons', 'radios-inline',
        'tabarray', 'password-confirm'].map(function (name) {
        return '/static/framework/widgets/form/fields/' + name + '.html';
      }));
      keep(['/static/framework/widgets/help-panel/help-panel.html'].concat(
        ['clusters/template-summary.html', 'clusters/actions/nodes-to-remove.html',
          'clusters/help/details.html', 'clusters/help/size.html', 'clusters/help/network.html',
          'clusters/help/care.html', 'clusters/help/advanced.html'].map(function (name) {
          return BASE + name;
        })));
      // magnum-ui's, for its own fields and tabs.
      ['cluster-template', 'details.help', 'size.help', 'network.help', 'management.help',
        'advanced.help'].forEach(function (name) {
        pages.get('$templateCache').put(
          '/static/dashboard/container-infra/clusters/workflow/' + name + '.html', '<p></p>');
      });
      sent = pages.get('$q').defer();
      spyOn(pages.get('.api'), 'createCluster').and.returnValue(sent.promise);
      pages.get('horizon.dashboard.container-infra.clusters.workflow')
        .init('title', $rootScope.$new()).then(function (config) { dialog = config; });
      $rootScope.$apply();
      open(dialog);
      dialog.ctrl.model.cluster_template_id = 't1';
      dialog.ctrl.model.name = 'new';
      dialog.scope.$apply();
    });

    function submit() {
      element.find('.modal-footer .btn-primary').triggerHandler('click');
      dialog.scope.$apply();
    }

    it('show a refusal as text, above the button and at the field', function () {
      submit();
      sent.reject({data: 'node_count is ' + HOSTILE});
      dialog.scope.$apply();
      expect(closed).toBe(false);
      expect(element.find('.swarm-mode-refusal').text()).toContain(HOSTILE);
      expect(element.find('.has-error .help-block').text()).toContain(HOSTILE);
      expectText(element, 'refusal');
    });

    it('take the request again once the field has another value', function () {
      submit();
      sent.reject({data: 'node_count=1 is not possible.'});
      dialog.scope.$apply();
      expect(element.find('.modal-footer .btn-primary').prop('disabled')).toBe(true);
      element.find('[name="node_count"]').val('2').trigger('change');
      dialog.scope.$apply();
      expect(element.find('.modal-footer .btn-primary').prop('disabled')).toBe(false);
    });

    it('list the nodes that a resize can remove, by names as they are', function () {
      var name = HOSTILE + '-worker-0';
      var reason = {};
      reason[name] = HOSTILE + ', active';
      pages.get('.api').getCluster.and.returnValue(pages.answer({
        id: 'c1', name: HOSTILE, health_status_reason: reason,
        node_groups: [{id: 'g', name: 'default-worker', role: 'worker', node_count: 1}]
      }));
      var config;
      spyOn(pages.get('.dialog.keep-open'), 'open').and.callFake(function (value) {
        config = value;
        return pages.get('$q').defer().promise;
      });
      pages.get('.clusters.resize').perform({id: 'c1'});
      $rootScope.$apply();
      open(config);
      element.find('.checkbox input').prop('checked', true).trigger('change');
      dialog.scope.$apply();
      expect(dialog.ctrl.model.remove[name]).toBe(true);
      expectText(element, 'resize');
    });

    it('show the fields of a swarm, each with a name', function () {
      expect(element.find('[name="swarm.master_count"]').length).toBe(4);
      expect(element.find('[name="availability_zone"]').length).toBe(1);
      element.find('select').each(function () {
        var isInLabel = angular.element(this).siblings('label').find('span').first().text();
        expect(isInLabel).not.toBe('');
      });
    });
  });
});
