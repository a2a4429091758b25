// SPDX-License-Identifier: Apache-2.0
/**
 * Reads what Magnum says of a swarm's health: health_status_reason has a line for each node, and
 * some for the whole.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.clusters.health', health);

  health.$inject = ['horizon.framework.util.i18n.gettext'];

  function health(gettext) {
    // Lines of the whole; no node takes their names.
    var WHOLE = ['api', 'managers', 'workers', 'more', 'healing'];
    var REASON = 'reason:';
    var codes = {
      NodeDown: gettext('The swarm has lost the node.'),
      NodeStateUnknown: gettext('The leader has not heard of the node yet.'),
      ManagerUnreachable: gettext('The other managers do not reach it.'),
      RoleChanging: gettext('It is being promoted or demoted.'),
      WorkerPromoted: gettext('A user promoted it; it becomes a worker again.'),
      ManagerDemoted: gettext('A user demoted it; it becomes a manager again.'),
      NodeForeign: gettext('It is none of the cluster\'s servers.'),
      NodeDuplicate: gettext('Another engine on the same server is in the swarm as well.')
    };

    return {read: read};

    /**
     * Returns {api, managers, workers, more, healing, nodes}. Each node has a name, state,
     * availability, role, engine, whether it is well, and a reason where it is not.
     */
    function read(reason) {
      var lines = angular.isObject(reason) ? reason : {};
      var found = {nodes: []};
      WHOLE.forEach(function (name) { found[name] = lines[name]; });
      Object.keys(lines).forEach(function (name) {
        if (WHOLE.indexOf(name) < 0 && name.indexOf(REASON) !== 0) {
          found.nodes.push(node(name, String(lines[name]), lines[REASON + name]));
        }
      });
      return found;
    }

    function node(name, line, code) {
      // The state may have a message in parentheses behind it, with commas.
      var state = /^(.*?), (active|pause|drain)(?:, |$)/.exec(line);
      var rest = state ? line.slice(state[0].length) : '';
      var role = /^(leader|manager \w+)(?:, |$)/.exec(rest);
      var engine = /(?:^|, )engine (.+)$/.exec(rest);
      return {
        name: name,
        state: state ? state[1] : line,
        availability: state ? state[2] : '',
        isManager: Boolean(role),
        role: role ? roleName(role[1]) : gettext('worker'),
        engine: engine ? engine[1] : '',
        code: code || '',
        reason: code ? codes[code] || code : '',
        isWell: !code
      };
    }

    function roleName(text) {
      if (text === 'leader') { return gettext('manager (leader)'); }
      return text === 'manager reachable' ? gettext('manager') : gettext('manager, unreachable');
    }
  }
})();
