// SPDX-License-Identifier: Apache-2.0
/**
 * Takes the result of an action out of what magnum-ui's services make of the dialog's rejection.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';
  var MAGNUM_UI = 'horizon.dashboard.container-infra.';

  angular.module(MODULE).factory(MODULE + '.dialog.served', served).config(decorate);

  served.$inject = ['$q'];

  function served($q) {
    return {wrap: wrap};

    /** Lets a service's perform() resolve with the result of the dialog. */
    function wrap(service) {
      var perform = service.perform;
      service.perform = function () {
        return $q.when(perform.apply(service, arguments)).then(
          function (value) { return value && value.swarmModeResult || value; },
          function (reason) { return reason && reason.swarmModeResult || $q.reject(reason); }
        );
      };
      return service;
    }
  }

  decorate.$inject = ['$provide'];

  function decorate($provide) {
    ['cluster-templates.create', 'cluster-templates.update', 'clusters.create'].forEach(
      function (name) {
        $provide.decorator(MAGNUM_UI + name + '.service', [
          '$delegate', MODULE + '.dialog.served',
          function ($delegate, service) { return service.wrap($delegate); }
        ]);
      });
  }
})();
