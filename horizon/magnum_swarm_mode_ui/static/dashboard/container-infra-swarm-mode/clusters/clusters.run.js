// SPDX-License-Identifier: Apache-2.0
/**
 * The list and the details of clusters.
 */
(function () {
  'use strict';

  var MODULE = 'horizon.dashboard.container-infra.swarm-mode';
  var MAGNUM_UI = 'horizon.dashboard.container-infra';

  angular.module(MODULE).run(run);

  run.$inject = [
    'horizon.framework.conf.resource-type-registry.service',
    'horizon.framework.util.i18n.gettext',
    'horizon.framework.widgets.toast.service',
    MAGNUM_UI + '.clusters.resourceType',
    MODULE + '.api',
    MODULE + '.basePath',
    MODULE + '.coe',
    MODULE + '.clusters.status',
    MODULE + '.dialog.refusal',
    MODULE + '.views'
  ];

  function run(
    registry, gettext, toast, resourceType, api, basePath, COE, status, refusal, views
  ) {
    var clusters = registry.getResourceType(resourceType);
    var drawer = clusters.summaryTemplateUrl;

    clusters
      .setProperty('coe', {
        label: gettext('Engine'),
        values: {'swarm-mode': gettext('Docker Swarm mode'), kubernetes: gettext('Kubernetes')}
      })
      .setProperty('coe_version', {label: gettext('Engine Version')})
      .setProperty('swarm_mode_step', {label: gettext('Current Step')})
      .setListFunction(list)
      .setItemInTransitionFunction(isInTransition)
      .setSummaryTemplateUrl(basePath + 'clusters/drawer.html');
    clusters.tableColumns
      .append({id: 'coe', priority: 2})
      .append({
        id: 'swarm_mode_step',
        priority: 1,
        template: '<span class="swarm-mode-step">{$ item.swarm_mode_step $}</span>'
      });
    // Names of columns are copied from properties when a column is first shown.
    clusters.tableColumns.concat(clusters.filterFacets).forEach(function (item) {
      if (item.name === 'coe_version') { item.label = gettext('Engine Version'); }
    });

    views.replaceFor(clusters, COE, [
      view('Overview', gettext('Overview')),
      view('Nodes', gettext('Nodes')),
      view('NodeGroups', gettext('Node Groups')),
      view('Connect', gettext('Connect')),
      view('Events', gettext('Events'))
    ], load);

    function view(name, title) {
      var file = name.replace(/([a-z])([A-Z])/g, '$1-$2').toLowerCase();
      return {
        id: 'swarmMode' + name,
        name: title,
        template: basePath + 'clusters/details/' + file + '.html'
      };
    }

    function list() {
      return api.getClusters().then(function (answer) {
        answer.data.items.forEach(complete);
        return answer;
      }, function (answer) {
        toast.add('error', refusal.sentence(answer));
        return {data: {items: []}};
      });
    }

    function complete(cluster) {
      cluster.swarmModeStockDrawer = drawer;
      if (cluster.coe === COE) {
        cluster.swarm_mode_step = cluster.status_reason;
        // Whatever else changes is shown without making the row again, which closes its menu.
        cluster.trackBy = [cluster.id, cluster.status, cluster.health_status].join();
      } else {
        cluster.trackBy = cluster.id + (cluster.updated_at || cluster.created_at);
      }
    }

    function isInTransition(cluster) {
      return cluster.coe === COE &&
        (status.isChanging(cluster) || status.isExpected(cluster) || awaitsHealth(cluster));
    }

    // Magnum looks at the health of a new cluster within a minute, where it does at all.
    function awaitsHealth(cluster) {
      var seconds = (Date.now() - Date.parse(cluster.created_at)) / 1000;
      return cluster.status === 'CREATE_COMPLETE' && !cluster.health_status && seconds < 900;
    }

    function load(id) {
      return api.getCluster(id).catch(function (answer) {
        toast.add('error', refusal.sentence(answer));
        throw answer;
      });
    }
  }
})();
