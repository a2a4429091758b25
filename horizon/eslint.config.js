// SPDX-License-Identifier: Apache-2.0
// What scripts must not do; tools/test lint runs it.
const js = require('@eslint/js');

function readonly(names) {
  return Object.fromEntries(names.split(' ').map(name => [name, 'readonly']));
}

const PAGES = 'angular document interpolate ngettext window ArrayBuffer Blob TextDecoder ' +
  'TextEncoder XMLHttpRequest';

module.exports = [
  {ignores: ['build/', 'node_modules/', '.venv/', '.run/']},
  js.configs.recommended,
  {
    linterOptions: {reportUnusedDisableDirectives: 'error'},
    rules: {
      eqeqeq: 'error',
      'max-len': ['error', 100],
      'no-shadow': 'error',
      'no-unused-vars': ['error', {caughtErrors: 'none'}]
    }
  },
  {
    files: ['magnum_swarm_mode_ui/**/*.js'],
    // As magnum-ui's and Horizon's own.
    languageOptions: {ecmaVersion: 5, sourceType: 'script', globals: readonly(PAGES)}
  },
  {
    files: ['tests/jasmine/*.{spec,helper,shim}.js'],
    languageOptions: {
      sourceType: 'script',
      globals: readonly(PAGES + ' beforeEach describe expect inject it jasmine module pages spyOn')
    }
  },
  {
    files: ['*.js', 'tests/jasmine/*.reporter.js'],
    languageOptions: {
      sourceType: 'commonjs', globals: readonly('__dirname console module process require')
    }
  }
];
