// SPDX-License-Identifier: Apache-2.0
/**
 * Gives selects of the plug-in's dialogs a name for screen readers: Horizon's labels of selects
 * belong to no field.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).directive('schemaValidate', selectNames);

  selectNames.$inject = ['$parse'];

  function selectNames($parse) {
    return {restrict: 'A', link: link};

    function link(scope, element, attributes) {
      var isSelect = element[0].tagName === 'SELECT';
      if (!isSelect || !element[0].closest || element.attr('aria-label')) { return; }
      var item = $parse(attributes.schemaValidate)(scope);
      if (item && item.title) { element.attr('aria-label', item.title); }
    }
  }
})();
