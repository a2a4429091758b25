// SPDX-License-Identifier: Apache-2.0
/**
 * Calls of the plug-in's own REST resources. A promise that is rejected carries Horizon's answer,
 * whose data is Magnum's sentence.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';

  angular.module(MODULE).factory(MODULE + '.api', api);

  api.$inject = ['horizon.framework.util.http.service'];

  function api(http) {
    var root = '/api/container_infra/swarm_mode';

    return {
      getClusters: function () { return http.get(root + '/clusters/'); },
      getCluster: function (id) { return http.get(cluster(id)); },
      getEvents: function (id) { return http.get(cluster(id) + '/events'); },
      createCluster: function (fields) { return http.post(root + '/clusters/', fields); },
      resize: function (id, fields) { return http.post(cluster(id) + '/resize', fields); },
      upgrade: function (id, fields) { return http.post(cluster(id) + '/upgrade', fields); },
      rotateAuthority: function (id) {
        return http.post(cluster(id) + '/certificate_authority', {});
      },
      rotateCredential: function (id) { return http.post(cluster(id) + '/credential', {}); },
      getClientFiles: function (id) {
        return http.post(cluster(id) + '/client_files', {}, {responseType: 'arraybuffer'});
      },
      createNodeGroup: function (id, fields) {
        return http.post(cluster(id) + '/node_groups/', fields);
      },
      changeNodeGroup: function (id, group, fields) {
        return http.patch(nodeGroup(id, group), fields);
      },
      deleteNodeGroup: function (id, group) { return http.delete(nodeGroup(id, group)); },
      createTemplate: function (fields) {
        return http.post(root + '/cluster_templates/', fields);
      },
      changeTemplate: function (id, fields) {
        return http.put(root + '/cluster_templates/' + encodeURIComponent(id), fields);
      }
    };

    function cluster(id) {
      return root + '/clusters/' + encodeURIComponent(id);
    }

    function nodeGroup(id, group) {
      return cluster(id) + '/node_groups/' + encodeURIComponent(group);
    }
  }
})();
