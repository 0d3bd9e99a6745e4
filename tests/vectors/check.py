"""Verifies all files of vectors in a folder, and says what differs (README).

`check.py [DIR]`: without DIR, the committed ones, and that each mutation of them is refused.
"""

import sys
from pathlib import Path

from formats import mutation
from formats.kinds import CHECKS, read
from formats.shape import Case

HERE = Path(__file__).parent
# Of other formats, with checks of their own.
APART = frozenset(["hw1-first.json", "hw1-salamander.json"])


def failure(kind: str, case: Case) -> str | None:
    """Why a case does not verify; None if it does. Whatever is raised is a failure."""
    try:
        CHECKS[kind](case)
    except Exception as wrong:  # noqa: BLE001
        return f"{type(wrong).__name__}: {wrong}"
    return None


def check_file(path: Path) -> tuple[int, list[str]]:
    """(cases, what is wrong)."""
    try:
        file = read(path)
        if file["kind"] == mutation.KIND:
            return len(file["cases"]), mutation.accepted(path, file["cases"], failure)
        kind = file["kind"]
        if kind not in CHECKS:
            return 0, [f"{path.name}: unknown kind {kind}"]
    except Exception as wrong:  # noqa: BLE001
        return 0, [f"{path.name}: {type(wrong).__name__}: {wrong}"]
    failures = [(case["name"], failure(kind, case)) for case in file["cases"]]
    return len(failures), [f"{path.name}: {name}: {why}" for name, why in failures if why is not None]


def main(folder: Path) -> int:
    paths = sorted(path for path in folder.glob("*.json") if path.name not in APART)
    total, wrong = 0, []
    for path in paths:
        count, found = check_file(path)
        total += count
        wrong += found
        print(f"{path.name}: {count} cases, {len(found)} wrong")
    for line in wrong:
        print(line)
    print(f"{len(paths)} files, {total} cases, {len(wrong)} wrong")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
