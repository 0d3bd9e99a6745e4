"""The check can fail, the files are what `produce.py` writes, and other choices verify too."""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
import unittest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

import check
import produce
from formats.shape import Case
from hw1 import log, xwing
from scenes.logbook import Book
from scenes.tape import Tape

HERE = Path(__file__).parent
PUBLISHED = (
    "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
    "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
    "953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f",
)


def checked(folder: Path) -> tuple[int, str]:
    """(exit code, what was printed)."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        return check.main(folder), printed.getvalue()


class TheCheck(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def copy(self, name: str) -> Case:
        shutil.copy(HERE / name, self.folder / name)
        copied: Case = json.loads((HERE / name).read_text(encoding="ascii"))
        return copied

    def write(self, name: str, file: Case) -> None:
        (self.folder / name).write_text(json.dumps(file), encoding="ascii")

    def test_a_good_file_verifies(self) -> None:
        self.copy("logins.json")
        self.assertEqual(checked(self.folder)[0], 0)

    def test_an_empty_folder_fails(self) -> None:
        self.assertEqual(checked(self.folder)[0], 1)

    def test_one_flipped_digit_fails(self) -> None:
        file = self.copy("logins.json")
        signature = file["cases"][1]["signature"]
        file["cases"][1]["signature"] = ("1" if signature[0] == "0" else "0") + signature[1:]
        self.write("logins.json", file)
        code, printed = checked(self.folder)
        self.assertEqual(code, 1)
        self.assertIn(file["cases"][1]["name"], printed)

    def test_an_unknown_field_fails(self) -> None:
        file = self.copy("logins.json")
        file["cases"][0]["more"] = 1
        self.write("logins.json", file)
        self.assertEqual(checked(self.folder)[0], 1)

    def test_an_unknown_kind_fails(self) -> None:
        file = self.copy("logins.json")
        self.write("logins.json", {**file, "kind": "signins"})
        self.assertEqual(checked(self.folder)[0], 1)

    def test_a_file_without_cases_fails(self) -> None:
        file = self.copy("logins.json")
        self.write("logins.json", {**file, "cases": []})
        self.assertEqual(checked(self.folder)[0], 1)

    def test_a_refused_case_that_is_valid_fails(self) -> None:
        file = self.copy("logs-refused.json")
        case = file["cases"][-5]
        case["entries"] = case["entries"][:1]
        self.write("logs-refused.json", file)
        self.assertEqual(checked(self.folder)[0], 1)

    def test_a_mutation_that_verifies_fails(self) -> None:
        file = self.copy("mutations.json")
        self.copy("logins.json")
        case = {**file["cases"][0], "file": "logins.json", "case": "at localhost", "at": "/name"}
        self.write("mutations.json", {**file, "cases": [{**case, "how": "set", "with": "harmless"}]})
        code, printed = checked(self.folder)
        self.assertEqual(code, 1)
        self.assertIn("was accepted", printed)

    def test_a_mutation_that_changes_nothing_fails(self) -> None:
        file = self.copy("mutations.json")
        self.copy("logins.json")
        case = {**file["cases"][0], "file": "logins.json", "case": "at localhost", "at": "/name"}
        self.write("mutations.json", {**file, "cases": [{**case, "how": "set", "with": "at localhost"}]})
        code, printed = checked(self.folder)
        self.assertEqual(code, 1)
        self.assertIn("changes nothing", printed)

    def test_there_are_mutations_enough(self) -> None:
        file = json.loads((HERE / "mutations.json").read_text(encoding="ascii"))
        self.assertGreater(len(file["cases"]), 100)


class TheFiles(unittest.TestCase):
    def test_the_committed_ones_are_of_seed_1(self) -> None:
        for name, file in produce.files(1).items():
            self.assertEqual((HERE / name).read_text(encoding="ascii"), produce.text(file), name)

    def test_those_of_another_seed_verify(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            produce.write(2, Path(name))
            code, printed = checked(Path(name))
            self.assertEqual(code, 0, printed)
            ours, theirs = ((folder / "logs.json").read_bytes() for folder in (HERE, Path(name)))
            self.assertNotEqual(ours, theirs)


class OtherImplementations(unittest.TestCase):
    def test_x_wing_is_as_published(self) -> None:
        stream = hashlib.shake_128(b"").digest(96 * len(PUBLISHED))
        for index, expected in enumerate(PUBLISHED):
            seed, eseed = stream[96 * index :][:32], stream[96 * index + 32 :][:64]
            ct, ss = xwing.encapsulate(xwing.public_of_seed(seed), eseed)
            self.assertEqual(ss.hex(), expected)
            self.assertEqual(xwing.decapsulate(seed, ct), ss)

    def test_ml_kem_is_that_of_openssl(self) -> None:
        tape = Tape(1, "ml-kem")
        for _ in range(5):
            seed, eseed = tape.b(32), tape.b(64)
            pk = xwing.public_of_seed(seed)
            ct, _ = xwing.encapsulate(pk, eseed)
            theirs = MLKEM768PrivateKey.from_seed_bytes(hashlib.shake_256(seed).digest(64))
            self.assertEqual(theirs.public_key().public_bytes_raw(), pk[:1184])
            self.assertEqual(theirs.decapsulate(ct[:1088]), xwing.ml_kem_secret(seed, ct[:1088]))


class Bounds(unittest.TestCase):
    def test_a_log_has_1024_entries(self) -> None:
        book = Book(Tape(1, "long")).recovery("r1")
        for number in range(511):
            book.recovery(f"s{number}", by="r1").forget(f"s{number}", by="r1")
        entry = book.draft("add", "d1", new_seed=bytes(32).hex(), kind=1, suites=7)
        more, code = log.verify([*book.known.wires, bytes.fromhex(entry["wire"])])
        self.assertEqual((more.seq, code), (1023, "LOG_INVALID"))


if __name__ == "__main__":
    unittest.main()
