// SPDX-License-Identifier: Apache-2.0
/**
 * Reads a cluster again and again while a page shows it.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.follow', follow);

  follow.$inject = ['$route', '$timeout', MODULE + '.api', MODULE + '.clusters.status'];

  function follow($route, $timeout, api, status) {
    // Milliseconds: while something is under way, and otherwise.
    var BUSY = 4000;
    var IDLE = 20000;
    var current = null;

    return {start: start, refresh: refresh};

    /**
     * Calls a function with the cluster now and whenever it was read, until the scope is destroyed.
     *
     * All views of one page share the requests. When an operation has ended the page is made
     * again, as other actions apply then.
     */
    function start(scope, cluster, show) {
      if (!current || current.cluster.id !== cluster.id) {
        current = {cluster: cluster, shows: [], steps: []};
        note(current);
        schedule(current);
      }
      var entry = current;
      entry.shows.push(show);
      show(entry.cluster, entry.steps);
      scope.$on('$destroy', function () {
        entry.shows.splice(entry.shows.indexOf(show), 1);
        if (!entry.shows.length) {
          $timeout.cancel(entry.timer);
          if (current === entry) { current = null; }
        }
      });
    }

    /** Reads the cluster that is shown at once. */
    function refresh() {
      if (!current) { return; }
      $timeout.cancel(current.timer);
      read(current);
    }

    function schedule(entry) {
      var delay = status.isChanging(entry.cluster) ? BUSY : IDLE;
      entry.timer = $timeout(function () { read(entry); }, delay);
    }

    function read(entry) {
      api.getCluster(entry.cluster.id).then(function (answer) {
        if (!entry.shows.length) { return; }
        var hasEnded = status.isChanging(entry.cluster) && !status.isChanging(answer.data);
        entry.cluster = answer.data;
        note(entry);
        entry.shows.forEach(function (show) { show(entry.cluster, entry.steps); });
        if (hasEnded) { $route.reload(); }
        schedule(entry);
      }, function () {
        // It may be gone, or Horizon away for a moment; the last that was seen stays.
        if (entry.shows.length) { schedule(entry); }
      });
    }

    function note(entry) {
      var text = entry.cluster.status_reason;
      var last = entry.steps[entry.steps.length - 1];
      if (text && (!last || last.text !== text)) {
        entry.steps.push({time: new Date(), text: text});
      }
    }
  }
})();
