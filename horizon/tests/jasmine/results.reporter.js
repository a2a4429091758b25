// SPDX-License-Identifier: Apache-2.0
// Notes how each spec ended, as tests/django/runner.py does: a line of JSON in the file that
// TEST_RESULTS names.
const fs = require('fs');

function Results() {
  const path = process.env.TEST_RESULTS;
  // Of specs that a regular expression leaves out nothing is said.
  const filtered = Boolean(process.env.TEST_REGEX);

  this.onSpecComplete = function (browser, spec) {
    if (!path || filtered && spec.disabled) { return; }
    const ended = spec.success ? 'success' : 'fail';
    const line = {
      id: ['jasmine', ...spec.suite, spec.description].join(' '),
      status: spec.skipped ? 'skip' : ended,
      seconds: spec.time / 1000,
      text: spec.log.join('\n')
    };
    fs.appendFileSync(path, JSON.stringify(line) + '\n');
  };
}

module.exports = {'reporter:results': ['type', Results]};
