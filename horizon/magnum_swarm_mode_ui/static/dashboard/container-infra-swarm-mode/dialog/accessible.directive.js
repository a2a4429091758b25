// SPDX-License-Identifier: Apache-2.0
/**
 * Repairs for screen readers what Horizon's parts of a dialog leave out: names of selects and of
 * the button for help, and the list of tabs. What Horizon names itself is left alone.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).directive('swarmModeAccessible', accessible);

  accessible.$inject = ['$window', 'horizon.framework.util.i18n.gettext'];

  function accessible($window, gettext) {
    return {restrict: 'A', link: link};

    function link(scope, element) {
      var observer = new $window.MutationObserver(repair);
      observer.observe(element[0], {childList: true, subtree: true});
      scope.$on('$destroy', function () { observer.disconnect(); });
      repair();

      function repair() {
        each('select:not([aria-label])', nameSelect);
        each('.help-toggle:not([aria-label])', function (button) {
          button.setAttribute('aria-label', gettext('Help'));
        });
        each('.nav-pills > li[role="presentation"]', function (item) {
          item.removeAttribute('role');
        });
        each('.hz-radios:not([role])', nameRadios);
      }

      function each(css, work) {
        Array.prototype.forEach.call(element[0].querySelectorAll(css), work);
      }
    }

    function nameSelect(select) {
      var label = select.parentElement.querySelector('label > span');
      if (label && label.textContent.trim()) {
        select.setAttribute('aria-label', label.textContent.trim());
      }
    }

    function nameRadios(group) {
      var label = group.querySelector('label.control-label');
      if (label && label.textContent.trim()) {
        group.setAttribute('role', 'radiogroup');
        group.setAttribute('aria-label', label.textContent.trim());
      }
    }
  }
})();
