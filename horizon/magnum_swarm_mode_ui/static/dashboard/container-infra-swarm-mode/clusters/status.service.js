// SPDX-License-Identifier: Apache-2.0
/**
 * Which operations a swarm's status allows, as the driver decides when it is asked.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.status', status);

  function status() {
    var DONE = /^(CREATE|UPDATE|RESUME|RESTORE|ROLLBACK|SNAPSHOT|CHECK|ADOPT)_COMPLETE$/;

    // Seconds in which Magnum shows that it does what it accepted.
    var PATIENCE = 30;
    var expected = {};

    return {
      expect: expect,
      isExpected: isExpected,
      isChanging: isChanging,
      isFailed: function (cluster) { return /_FAILED$/.test(cluster.status || ''); },
      canResize: canResize,
      canUpgrade: function (cluster) { return canResize(cluster) && !isChanging(cluster); },
      canRotateAuthority: isSettled,
      canRotateCredential: function (cluster) {
        return canResize(cluster) && !isChanging(cluster);
      },
      canCreateGroup: function (cluster) { return canResize(cluster) && !isChanging(cluster); },
      canDelete: function (cluster) { return cluster.status !== 'DELETE_IN_PROGRESS'; },
      hasFiles: function (cluster) { return Boolean(cluster.api_address) && canResize(cluster); }
    };

    /** Notes that Magnum has accepted an operation on a cluster, which begins in its own time. */
    function expect(cluster) {
      expected[cluster.id] = {status: cluster.status, until: Date.now() + PATIENCE * 1000};
    }

    /** Returns whether an operation that was accepted is not to be seen yet. */
    function isExpected(cluster) {
      var entry = expected[cluster.id];
      if (!entry) { return false; }
      if (entry.status === cluster.status && Date.now() < entry.until) { return true; }
      delete expected[cluster.id];
      return false;
    }

    function isChanging(cluster) {
      return /_IN_PROGRESS$/.test(cluster.status || '');
    }

    function isSettled(cluster) {
      return DONE.test(cluster.status || '');
    }

    // A resize waits its turn, and repairs after a failure.
    function canResize(cluster) {
      return isSettled(cluster) || cluster.status === 'UPDATE_FAILED' ||
        cluster.status === 'UPDATE_IN_PROGRESS';
    }
  }
})();
