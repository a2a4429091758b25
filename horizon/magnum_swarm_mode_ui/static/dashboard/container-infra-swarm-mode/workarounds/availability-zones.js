// SPDX-License-Identifier: Apache-2.0
/**
 * Horizon 27 calls the name of an availability zone "name", and magnum-ui 19 reads "zoneName", so
 * that its dialog cannot be submitted. Where zones come with "zoneName" nothing is changed.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).config(decorate);

  decorate.$inject = ['$provide'];

  function decorate($provide) {
    $provide.decorator('horizon.app.core.openstack-service-api.nova', nova);
  }

  nova.$inject = ['$delegate'];

  function nova($delegate) {
    var getZones = $delegate.getAvailabilityZones;
    $delegate.getAvailabilityZones = function () {
      return getZones.apply($delegate, arguments).then(function (answer) {
        angular.forEach(answer && answer.data.items, function (zone) {
          if (angular.isUndefined(zone.zoneName)) { zone.zoneName = zone.name; }
        });
        return answer;
      });
    };
    return $delegate;
  }
})();
