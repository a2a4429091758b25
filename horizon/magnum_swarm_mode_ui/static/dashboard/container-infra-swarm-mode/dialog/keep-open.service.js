// SPDX-License-Identifier: Apache-2.0
/**
 * A form in a dialog that stays open, with all that was entered, when Magnum refuses the request.
 *
 * As Horizon's ModalFormService, but the configuration has a member "swarmMode":
 *
 * - applies(model): whether the dialog sends the request; another engine's is sent as before
 * - submit(model): sends it; its promise resolves with the result of the action
 * - keys: names of fields and labels, as Magnum says them, to keys of the form
 * - summary(model): lines above the button; optional
 * - onOpen(scope): called with the dialog's scope; optional
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular
    .module(MODULE)
    .factory(MODULE + '.dialog.keep-open', keepOpen)
    .config(decorate);

  keepOpen.$inject = ['$uibModal', MODULE + '.basePath', 'horizon.framework.util.i18n.gettext'];

  function keepOpen($uibModal, basePath, gettext) {
    return {open: open};

    /**
     * Opens the dialog. The promise resolves with {result} when the request was accepted, or with
     * {context} when another engine's is to be sent.
     */
    function open(config) {
      return $uibModal.open({
        backdrop: 'static',
        size: config.size || 'lg',
        resolve: {
          context: function () {
            return angular.extend({submitText: gettext('Submit'), submitIcon: 'check'}, config);
          }
        },
        controller: MODULE + '.dialog.KeepOpenController as ctrl',
        templateUrl: basePath + 'dialog/keep-open.html',
        ariaLabelledBy: 'swarm-mode-dialog-title',
        windowClass: 'swarm-mode-dialog'
      }).result;
    }
  }

  decorate.$inject = ['$provide'];

  /**
   * magnum-ui's services open a dialog and send the request when it is closed. Those that have
   * been served already come back as a rejection, as one that was cancelled does.
   */
  function decorate($provide) {
    $provide.decorator('horizon.framework.widgets.form.ModalFormService', modalForm);
  }

  modalForm.$inject = ['$delegate', '$q', MODULE + '.dialog.keep-open'];

  function modalForm($delegate, $q, dialog) {
    var open = $delegate.open;
    $delegate.open = function (config) {
      if (!config.swarmMode) { return open.apply($delegate, arguments); }
      return dialog.open(config).then(function (outcome) {
        return outcome.context || $q.reject({swarmModeResult: outcome.result});
      });
    };
    return $delegate;
  }
})();
