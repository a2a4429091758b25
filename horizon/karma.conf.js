// SPDX-License-Identifier: Apache-2.0
// Runs the specs in Debian's chromium. SITE_PACKAGES is where Horizon and magnum-ui are installed;
// tools/test sets it.
const path = require('path');
const results = require('./tests/jasmine/results.reporter.js');

const site = process.env.SITE_PACKAGES + '/';
const xstatic = site + 'xstatic/pkg/';
const regex = process.env.TEST_REGEX;
process.env.CHROME_BIN = process.env.CHROME_BIN || '/usr/bin/chromium';

function scripts(place) {
  return [place + '/**/*.module.js', place + '/**/!(*.spec|*.mock).js'];
}

const libraries = [
  'jquery/data/jquery.js', 'angular/data/angular.js', 'angular/data/angular-route.js',
  'angular/data/angular-mocks.js', 'angular/data/angular-cookies.js',
  'angular/data/angular-sanitize.js', 'angular_bootstrap/data/angular-bootstrap.js',
  'angular_gettext/data/angular-gettext.js', 'd3/data/d3.js', 'rickshaw/data/rickshaw.js',
  'angular_smart_table/data/smart-table.js', 'angular_lrdragndrop/data/lrdragndrop.js',
  'tv4/data/tv4.js', 'objectpath/data/ObjectPath.js',
  'angular_schema_form/data/schema-form.js', 'angular_fileupload/data/ng-file-upload-all.js'
].map(name => xstatic + name);
const templates = [
  site + 'horizon/static/framework/**/*.html',
  __dirname + '/magnum_swarm_mode_ui/static/**/*.html'
].map(pattern => ({pattern: pattern, included: false, served: true}));

module.exports = function (config) {
  config.set({
    basePath: '/',
    frameworks: ['jasmine'],
    plugins: ['karma-jasmine', 'karma-chrome-launcher', results],
    reporters: ['dots', 'results'],
    failOnEmptyTestSuite: !regex,
    failOnSkippedTests: !regex,
    browsers: ['Chromium'],
    customLaunchers: {
      Chromium: {
        base: 'ChromeHeadless',
        flags: ['--no-sandbox', '--disable-gpu', '--no-proxy-server']
      }
    },
    singleRun: true,
    client: {jasmine: {random: true}, args: regex ? ['--grep', '/' + regex + '/'] : []},
    // Where Horizon serves them.
    proxies: {
      '/static/framework/': '/absolute' + site + 'horizon/static/framework/',
      '/static/dashboard/container-infra-swarm-mode/': '/absolute' + path.join(
        __dirname,
        'magnum_swarm_mode_ui/static/dashboard/container-infra-swarm-mode/'
      )
    },
    files: [
      __dirname + '/tests/jasmine/django.shim.js',
      ...libraries,
      site + 'horizon/static/horizon/js/horizon.js',
      ...scripts(site + 'horizon/static/framework'),
      ...scripts(site + 'openstack_dashboard/static'),
      ...scripts(site + 'openstack_dashboard/dashboards/**/static'),
      ...scripts(site + 'magnum_ui/static'),
      ...scripts(__dirname + '/magnum_swarm_mode_ui/static'),
      __dirname + '/tests/jasmine/*.helper.js',
      __dirname + '/tests/jasmine/*.spec.js',
      ...templates
    ]
  });
};
