// SPDX-License-Identifier: Apache-2.0
// What Horizon's pages have from Django: translations (none here) and addresses.
(function () {
  'use strict';

  window.STATIC_URL = '/static/';
  window.WEBROOT = '/';
  window.gettext = function (text) { return text; };
  window.ngettext = function (one, many, count) { return count === 1 ? one : many; };
  window.pgettext = function (context, text) { return text; };
  window.npgettext = function (context, one, many, count) { return count === 1 ? one : many; };
  window.interpolate = function (format, values, isNamed) {
    return isNamed
      ? format.replace(/%\((\w+)\)s/g, function (all, name) { return String(values[name]); })
      : format.replace(/%s/g, function () { return String(values.shift()); });
  };
  window.django = {gettext: window.gettext, ngettext: window.ngettext, catalog: {}};
  window.horizon = {};
  window.horizonPlugInModules = [];
})();
