# SPDX-License-Identifier: Apache-2.0
from devcloud import files, passwords, state
from tests.unit.devcloud import base


class WriteTest(base.TestCase):
    def test_changes_once(self) -> None:
        """Writing the same text again changes nothing."""
        path = self.home / "a" / "file"
        self.assertEqual((True, False, True), tuple(files.write(path, text) for text in "xxy"))
        self.assertEqual("y", path.read_text(encoding="utf-8"))

    def test_mode(self) -> None:
        """A secret is readable by its owner only, whatever it was before."""
        path = self.home / "secret"
        path.write_text("x", encoding="utf-8")
        path.chmod(0o644)
        self.assertTrue(files.write(path, "x", 0o600))
        self.assertEqual(0o600, path.stat().st_mode & 0o777)

    def test_leaves_nothing_beside(self) -> None:
        """The temporary file is gone afterwards."""
        files.write(self.home / "data" / "file", "x")
        self.assertEqual(["file"], [path.name for path in (self.home / "data").iterdir()])


class HashTest(base.TestCase):
    def test_texts_keep_their_borders(self) -> None:
        """Moving text from one input to the next makes another hash."""
        self.assertNotEqual(files.hash_text("ab", "c"), files.hash_text("a", "bc"))

    def test_tree(self) -> None:
        """Content and names of files count; byte code, order and what is missing do not."""
        top = self.home / "tree"
        files.write(top / "p" / "a.py", "1")
        files.write(top / "p" / "b.txt", "2")
        first = files.hash_tree(top, ("p", "missing"))
        files.write(top / "p" / "__pycache__" / "a.pyc", "3")
        self.assertEqual(first, files.hash_tree(top, ("missing", "p")))
        files.write(top / "p" / "a.py", "4")
        self.assertNotEqual(first, files.hash_tree(top, ("p",)))

    def test_tree_by_suffix(self) -> None:
        """With suffixes only such files count."""
        top = self.home / "tree"
        files.write(top / "p" / "a.py", "1")
        first = files.hash_tree(top, ("p",), (".py",))
        files.write(top / "p" / "b.txt", "2")
        self.assertEqual(first, files.hash_tree(top, ("p",), (".py",)))


class PasswordsTest(base.TestCase):
    def test_made_once(self) -> None:
        """The second call gives what the first one made, in a file for the owner only."""
        path = self.home / "data" / "secrets.json"
        first = passwords.make(path)
        self.assertEqual(first, passwords.make(path))
        self.assertEqual(0o600, path.stat().st_mode & 0o777)

    def test_new_names_are_added(self) -> None:
        """A password that an older cloud lacks is made, the others stay."""
        made = passwords.complete({"database": "old"})
        self.assertEqual("old", made["database"])
        self.assertEqual(32, len(made["rabbit"]))

    def test_none_yet(self) -> None:
        """Before the first start there are none."""
        self.assertEqual({}, passwords.read(self.home / "missing.json"))


class StateTest(base.TestCase):
    def test_done_from_the_same_inputs(self) -> None:
        """A stage is done only for the inputs it was done from."""
        self.assertFalse(state.is_done("tables", "1"))
        state.mark_done("tables", "1")
        state.mark_done("identity", "1")
        self.assertTrue(state.is_done("tables", "1"))
        self.assertFalse(state.is_done("tables", "2"))

    def test_broken_file(self) -> None:
        """A file that cannot be read says that nothing is done."""
        files.write(self.home / "data" / "done.json", "{")
        self.assertEqual({}, state.read())
