// SPDX-License-Identifier: Apache-2.0
/**
 * What the actions on a swarm share: when they are offered, and a dialog that says their effect.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.action', action);

  action.$inject = [
    '$document',
    '$q',
    'horizon.dashboard.container-infra.clusters.resourceType',
    'horizon.framework.util.actions.action-result.service',
    'horizon.framework.widgets.toast.service',
    MODULE + '.clusters.status',
    MODULE + '.coe',
    MODULE + '.dialog.keep-open'
  ];

  function action($document, $q, resourceType, actionResult, toast, status, COE, dialog) {
    return {make: make, ask: ask, updated: updated, deleted: deleted};

    /**
     * Returns a service for Horizon's registry.
     *
     * @param {Function} applies - whether the action applies to a cluster as it is now
     * @param {Function} perform - called with the cluster; returns a promise of the result
     */
    function make(applies, perform) {
      return {
        initAction: angular.noop,
        allowed: function (cluster) {
          var isOffered = cluster && cluster.coe === COE && applies(cluster);
          return isOffered ? $q.resolve() : reject();
        },
        perform: perform
      };
    }

    function reject() {
      var rejected = $q.reject();
      rejected.catch(angular.noop);
      return rejected;
    }

    /**
     * Opens a dialog whose button sends a request.
     *
     * @param {Object} config - as of the dialog that stays open; "send" returns the promise of the
     *   answer, "done" the sentence for the user, "result" the result of the action, and
     *   "operatesOn" the cluster whose status will change, or a list of them
     */
    function ask(config) {
      // Horizon leaves the menu of a row open.
      $document[0].body.click();
      return dialog.open(angular.extend({
        schema: {type: 'object', properties: {}},
        form: [],
        model: {},
        size: 'md',
        swarmMode: {
          applies: function () { return true; },
          submit: submit,
          summary: config.summary,
          keys: config.keys || {},
          onOpen: config.onOpen
        }
      }, config)).then(function (outcome) { return outcome.result; });

      function submit(model) {
        return config.send(model).then(function (answer) {
          [].concat(config.operatesOn || []).forEach(status.expect);
          if (config.done) { toast.add('success', config.done(model)); }
          return config.result(answer);
        });
      }
    }

    function updated(cluster) {
      return function () {
        return actionResult.getActionResult().updated(resourceType, cluster.id).result;
      };
    }

    function deleted(cluster) {
      return function () {
        return actionResult.getActionResult().deleted(resourceType, cluster.id).result;
      };
    }
  }
})();
