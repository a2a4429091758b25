// SPDX-License-Identifier: Apache-2.0
/**
 * Views of details for one engine: Horizon's registry knows views for a type of resources only, and
 * asks what is shown of them when the resource is loaded.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.views', views);

  function views() {
    return {replaceFor: replaceFor};

    /**
     * Shows other views for resources of an engine.
     *
     * @param {Object} type - of the registry
     * @param {string} coe - the engine
     * @param {Array} own - views instead of those that are registered
     * @param {Function} load - returns a promise of the resource, whose data has a member "coe"
     */
    function replaceFor(type, coe, own, load) {
      var shown = type.detailsViews;
      var others = shown.slice();

      type.setLoadFunction(function (id) {
        return load(id).then(function (answer) {
          // magnum-ui's functions resolve with nothing where they failed.
          var isOwn = Boolean(answer) && answer.data.coe === coe;
          // What another plug-in has registered since is shown for other engines.
          shown.forEach(function (view) {
            if (own.indexOf(view) < 0 && others.indexOf(view) < 0) { others.push(view); }
          });
          shown.splice.apply(shown, [0, shown.length].concat(isOwn ? own : others));
          return answer;
        });
      });
    }
  }
})();
