// SPDX-License-Identifier: Apache-2.0
/**
 * Shows networks and subnets by their names: what was chosen in a dialog is kept by its id.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).filter('swarmModeNetworkName', networkName);

  networkName.$inject = ['horizon.app.core.openstack-service-api.magnum'];

  function networkName(magnum) {
    var ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
    var names = null;

    // Names come later than they are first shown.
    filter.$stateful = true;
    return filter;

    function filter(value) {
      if (!ID.test(value || '')) { return value; }
      if (!names) { load(); }
      return names[value] || value;
    }

    function load() {
      names = {};
      magnum.getNetworks().then(function (answer) {
        // magnum-ui's functions resolve with nothing where they failed.
        (answer ? answer.data.items : []).forEach(function (network) {
          note(network);
          (network.subnets || []).forEach(note);
        });
      });
    }

    function note(item) {
      names[item.id] = item.name;
    }
  }
})();
