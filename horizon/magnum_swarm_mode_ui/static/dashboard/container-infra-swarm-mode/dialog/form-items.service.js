// SPDX-License-Identifier: Apache-2.0
/**
 * Changes forms of magnum-ui, which fills some of their items by index: items are hidden or
 * appended, never inserted or removed.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.dialog.form-items', formItems);

  function formItems() {
    // The same one each time: another list would be a change for what watches it.
    var NONE = [];

    return {find: find, hide: hide, mirror: mirror, tabOf: tabOf};

    /** Returns the item of a key in a form; undefined where there is none. */
    function find(items, key) {
      var found;
      (items || []).some(function (item) {
        found = keyOf(item) === key ? item : find(item.tabs || item.items, key);
        return found;
      });
      return found;
    }

    function keyOf(item) {
      return angular.isArray(item.key) ? item.key.join('.') : item.key;
    }

    /** Shows an item only where a condition is met, besides what it had. */
    function hide(item, condition) {
      item.condition = item.condition ? '(' + item.condition + ') && ' + condition : condition;
      // What another engine would have there is kept while this one is chosen.
      item.destroyStrategy = item.destroyStrategy || 'retain';
    }

    /**
     * Returns an item that offers what another one does, whenever that is filled.
     *
     * @param {Object} source - item whose titleMap is shared
     * @param {Object} item - the new one; its "first" replaces what the empty choice is called
     * @param {Function} current - returns the present value, which is offered even where it is
     *   not in the list: templates name things by names, too, and lists have ids
     */
    function mirror(source, item, current) {
      var first = item.first;
      var memory = {};
      delete item.first;
      item.type = 'select';
      item.destroyStrategy = 'retain';
      item.feedback = false;
      Object.defineProperty(item, 'titleMap', {
        enumerable: true,
        get: function () { return offered(source.titleMap || NONE, first, current(), memory); },
        // schema-form writes back what it read.
        set: angular.noop
      });
      return item;
    }

    function offered(list, first, value, memory) {
      var title = angular.isFunction(first) ? first() : first;
      if (memory.list === list && memory.length === list.length && memory.value === value &&
          memory.title === title) {
        return memory.result;
      }
      var result = list.map(function (entry) {
        return entry.value === '' && title ? angular.extend({}, entry, {name: title}) : entry;
      });
      if (title && !has(result, '')) { result.unshift({value: '', name: title}); }
      if (value && !has(result, value)) { result.push({value: value, name: String(value)}); }
      angular.extend(memory, {
        list: list, length: list.length, value: value, title: title, result: result
      });
      return result;
    }

    function has(list, value) {
      return list.some(function (entry) { return entry.value === value; });
    }

    /** Returns the index of the tab that an item is in; undefined where it is in none. */
    function tabOf(form, key) {
      var index;
      (form[0] && form[0].tabs || []).some(function (tab, position) {
        index = find(tab.items, key) ? position : undefined;
        return angular.isDefined(index);
      });
      return index;
    }
  }
})();
