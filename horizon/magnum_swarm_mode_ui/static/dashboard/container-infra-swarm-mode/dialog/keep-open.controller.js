// SPDX-License-Identifier: Apache-2.0
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular
    .module(MODULE)
    .controller(MODULE + '.dialog.KeepOpenController', KeepOpenController);

  KeepOpenController.$inject = [
    '$scope',
    '$document',
    '$parse',
    '$timeout',
    '$uibModalInstance',
    'context',
    MODULE + '.dialog.form-items',
    MODULE + '.dialog.refusal'
  ];

  function KeepOpenController(
    $scope, $document, $parse, $timeout, $uibModalInstance, context, formItems, refusal
  ) {
    var ctrl = this;
    var swarmMode = context.swarmMode;
    var marked = angular.noop;

    ctrl.title = context.title;
    ctrl.intro = context.intro;
    ctrl.form = context.form;
    ctrl.schema = context.schema;
    ctrl.model = context.model;
    ctrl.helpUrl = context.helpUrl;
    ctrl.submitText = context.submitText;
    ctrl.submitIcon = context.submitIcon;
    ctrl.isDanger = context.isDanger;
    ctrl.isBusy = false;
    ctrl.refusal = null;
    ctrl.applies = applies;
    ctrl.summary = summary;
    ctrl.submit = submit;
    ctrl.cancel = function () { return $uibModalInstance.dismiss('cancel'); };
    if (swarmMode.onOpen) { swarmMode.onOpen($scope); }

    function applies() {
      return swarmMode.applies(ctrl.model);
    }

    function summary() {
      return applies() && swarmMode.summary ? swarmMode.summary(ctrl.model) : [];
    }

    function submit($event, form) {
      $event.preventDefault();
      $event.stopPropagation();
      if (form.$invalid || ctrl.isBusy) { return undefined; }
      if (!applies()) { return $uibModalInstance.close({context: context}); }
      ctrl.isBusy = true;
      ctrl.refusal = null;
      return swarmMode.submit(ctrl.model).then(
        function (result) { $uibModalInstance.close({result: result}); },
        refuse
      );
    }

    function refuse(answer) {
      ctrl.isBusy = false;
      ctrl.refusal = refusal.sentence(answer);
      var keys = swarmMode.keys || {};
      var key = keys[refusal.field(ctrl.refusal, Object.keys(keys))];
      if (key && formItems.find(ctrl.form, key)) { mark(key); }
    }

    /** Marks a field with the sentence, until its value changes, and shows its tab. */
    function mark(key) {
      var text = refusal.escaped(ctrl.refusal);
      var tab = formItems.tabOf(ctrl.form, key);
      marked();
      if (angular.isDefined(tab) && ctrl.model.tabs) { ctrl.model.tabs.selected = tab; }
      // A function: of plain text, schema-form would evaluate expressions.
      $scope.$broadcast('schemaForm.error.' + key, 'refused', function () { return text; });
      var before = valueOf(key);
      var stop = $scope.$watch(function () { return valueOf(key); }, function (value) {
        if (value !== before) { marked(); }
      });
      $timeout(function () { focus(key); });
      marked = function () {
        stop();
        marked = angular.noop;
        $scope.$broadcast('schemaForm.error.' + key, 'refused', true);
      };
    }

    /** Brings a field into sight; Horizon names it by the last part of its key. */
    function focus(key) {
      var name = key.split('.').pop();
      var field = $document[0].querySelector('.swarm-mode-dialog [name="' + name + '"]');
      if (field) { field.focus(); }
    }

    function valueOf(key) {
      return $parse(key)(ctrl.model);
    }
  }
})();
