// SPDX-License-Identifier: Apache-2.0
/**
 * Reads a cluster again and again while a page shows it.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.follow', follow);

  follow.$inject = ['$timeout', MODULE + '.api', MODULE + '.clusters.status'];

  function follow($timeout, api, status) {
    // Milliseconds: while something is under way, and otherwise.
    var BUSY = 4000;
    var IDLE = 20000;
    var current = null;

    return {start: start, refresh: refresh};

    /**
     * Calls a function with the cluster now and whenever it was read, until the scope is destroyed.
     *
     * All views of one page share the requests. When the status has changed the page's actions are
     * made again, as others apply then.
     */
    function start(scope, cluster, show) {
      if (!current || current.cluster.id !== cluster.id) {
        current = {cluster: cluster, shows: [], steps: [], page: pageOf(scope)};
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
      var isBusy = status.isChanging(entry.cluster) || status.isExpected(entry.cluster);
      var delay = isBusy ? BUSY : IDLE;
      entry.timer = $timeout(function () { read(entry); }, delay);
    }

    function read(entry) {
      api.getCluster(entry.cluster.id).then(function (answer) {
        if (!entry.shows.length) { return; }
        var isOther = entry.cluster.status !== answer.data.status;
        entry.cluster = answer.data;
        note(entry);
        entry.shows.forEach(function (show) { show(entry.cluster, entry.steps); });
        if (isOther) { remakeActions(entry); }
        schedule(entry);
      }, function () {
        // It may be gone, or Horizon away for a moment; the last that was seen stays.
        if (entry.shows.length) { schedule(entry); }
      });
    }

    /** Returns the controller of Horizon's page of details that a view is in, if it is known. */
    function pageOf(scope) {
      for (var outer = scope; outer; outer = outer.$parent) {
        if (outer.ctrl && outer.ctrl.itemData && outer.ctrl.resourceType) { return outer.ctrl; }
      }
      return null;
    }

    // Horizon makes actions of a page once, when its resource is there.
    function remakeActions(entry) {
      var page = entry.page;
      if (!page) { return; }
      page.itemData = null;
      $timeout(function () { page.itemData = entry.cluster; });
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
