// SPDX-License-Identifier: Apache-2.0
/**
 * The arithmetic of a swarm's managers, and its sentences.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.managers', managers);

  managers.$inject = ['horizon.framework.util.i18n.gettext'];

  function managers(gettext) {
    return {counts: [1, 3, 5, 7], survives: survives, sentence: sentence, choices: choices};

    /** Returns how many managers may fail: Raft decides with a majority. */
    function survives(count) {
      return Math.floor((count - 1) / 2);
    }

    function sentence(count) {
      if (count === 1) {
        return gettext('1 manager: survives no loss; the swarm is lost with it');
      }
      var text = ngettext(
        '%(count)s managers: survive the loss of %(lost)s manager',
        '%(count)s managers: survive the loss of %(lost)s managers',
        survives(count)
      );
      return interpolate(text, {count: count, lost: survives(count)}, true);
    }

    /** Returns the numbers that are offered, and the present one, as choices of a form. */
    function choices(present) {
      var offered = [1, 3, 5, 7];
      if (present && offered.indexOf(present) < 0) { offered.push(present); }
      return offered.map(function (count) { return {value: count, name: sentence(count)}; });
    }
  }
})();
