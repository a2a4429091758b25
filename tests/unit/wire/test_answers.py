# SPDX-License-Identifier: Apache-2.0
"""What reading an engine's list costs."""

import json
import time

from oslotest import base

from magnum_swarm_mode.wire import answers

_PIECE = 64 * 1024
# Of processor; what is linear takes less than a tenth of it.
_MOST_SECONDS = 1.0


class CostTest(base.BaseTestCase):
    def test_after_a_long_item(self):
        """A long item does not make the thousands of items after it expensive."""
        small = [{"ID": f"{number:0100}"} for number in range(10_000)]
        body = json.dumps([{"ID": "x" * 1_100_000}, *small]).encode()
        pieces = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
        bound = answers.Bound(2 * len(body), len(small) + 1, {"ID": answers.exact})

        began = time.process_time()
        found = answers.listing(pieces, bound)

        self.assertGreater(_MOST_SECONDS, time.process_time() - began)
        self.assertEqual(small, found[1:])

    def test_many_parts_after_a_long_item(self):
        """A later item of too many parts is refused, wherever in the text it begins."""
        first = b'[{"ID": "' + b"x" * 100_000 + b'"}, '
        body = first + b'{"a": [' + b"{}," * 200_000 + b"0]}]"
        pieces = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
        bound = answers.Bound(2 * len(body), 10, {})
        error = self.assertRaises(answers.BadAnswerError, answers.listing, pieces, bound)
        self.assertIn("more parts", str(error))


class PartsTest(base.BaseTestCase):
    def test_document(self):
        """A document of more parts than an honest one has is refused before it is parsed."""
        for body in (b"[" + b"{}," * 60_000 + b"0]", b"[" + b"0," * 200_000 + b"0]"):
            error = self.assertRaises(answers.BadAnswerError, answers.document, body)
            self.assertIn("more parts", str(error))
