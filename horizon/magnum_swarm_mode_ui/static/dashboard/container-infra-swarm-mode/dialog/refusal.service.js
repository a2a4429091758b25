// SPDX-License-Identifier: Apache-2.0
/**
 * What Magnum says when it refuses a request, and which field that is about.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.dialog.refusal', refusal);

  refusal.$inject = ['horizon.framework.util.i18n.gettext'];

  function refusal(gettext) {
    var escapes = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;'};

    return {sentence: sentence, field: field, escaped: escaped};

    /** Returns the sentence of an answer of Horizon's REST API. */
    function sentence(answer) {
      var data = answer && answer.data;
      if (data instanceof ArrayBuffer) { data = decoded(data); }
      return angular.isString(data) && data ? data : gettext('Horizon did not answer.');
    }

    function decoded(buffer) {
      try {
        return angular.fromJson(new TextDecoder().decode(buffer));
      } catch (error) {
        return '';
      }
    }

    /**
     * Returns the name of the label or field that a sentence begins with, or else names first.
     *
     * @param {string} text - the sentence
     * @param {Array} names - names of the form's labels and fields
     */
    function field(text, names) {
      var label = /^Label (\w+)/.exec(text);
      if (label && names.indexOf(label[1]) >= 0) { return label[1]; }
      var words = text.match(/\w+/g) || [];
      return words.filter(function (word) {
        // A word of plain English that is a field's name, too, is no sign of it.
        return names.indexOf(word) >= 0 && (word.indexOf('_') > 0 || text.indexOf(word) === 0);
      })[0];
    }

    /** Returns text that is the same when it is taken for HTML: schema-form writes HTML. */
    function escaped(text) {
      return String(text).replace(/[&<>"']/g, function (sign) { return escapes[sign]; });
    }
  }
})();
