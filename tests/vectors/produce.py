"""Writes all files of vectors, the same ones for the same seed (README).

`produce.py --seed N --out DIR`
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from formats.kinds import FORMAT
from formats.shape import Case
from scenes import changes, edges, hostile, insiders, logbook, logs_refused, people, published, talks, writing
from scenes.tape import Tape

SCENES: dict[str, Callable[[Tape], list[Case]]] = {
    "logs": logbook.valid,
    "logs-refused": logs_refused.refused,
    "logins": published.logins,
    "prekeys": published.prekeys,
    "prekey-rules": published.prekey_rules,
    "requests": published.requests,
    "headers": published.headers,
    "headers-refused": published.headers_refused,
    "safety-numbers": people.safety_numbers,
    "qr": people.qr,
    "codes": people.codes,
    "links": people.links,
    "recovery": people.recovery,
    "recovery-refused": people.recovery_refused,
    "contents": writing.contents,
    "contents-refused": writing.contents_refused,
    "paddings": lambda _: writing.paddings(),
    "padme": writing.padme,
    "files": writing.files,
    "files-refused": writing.files_refused,
    "reports": writing.reports,
    "reports-refused": writing.reports_refused,
    "xwing": published.xwing,
    "signatures": edges.signatures,
    "identity-keys": edges.identity_keys,
    "exchanges": edges.exchanges,
}

TALKS: dict[str, Callable[[Tape], list[Case]]] = {
    "talks-suite-1": lambda tape: _talks(tape, 1),
    "talks-suite-2": lambda tape: _talks(tape, 2),
    "talks-suite-3": lambda tape: _talks(tape, 3),
    "talks-16-devices": lambda tape: [talks.eight_and_eight(tape, 1)],
    "epochs-refused": hostile.epochs,
    "messages-refused": insiders.messages,
}


def _talks(tape: Tape, suite: int) -> list[Case]:
    makers = [talks.one_and_one, talks.two_and_two, talks.siblings, talks.either]
    makers += [talks.gaps, talks.alone, talks.growing]
    return [maker(tape, suite) for maker in makers]


def files(seed: int) -> dict[str, Case]:
    """Every file by its name."""
    made: dict[str, Case] = {}

    def file(name: str, kind: str, cases: list[Case]) -> None:
        head = {"format": FORMAT, "kind": kind, "made_by": f"python seed {seed}"}
        made[f"{name}.json"] = {**head, "cases": cases}

    for kind, scene in SCENES.items():
        file(kind, kind, scene(Tape(seed, kind)))
    for name, talk in TALKS.items():
        file(name, "conversations", talk(Tape(seed, name)))
    file("mutations", "mutations", changes.mutations(Tape(seed, "mutations"), dict(made)))
    return made


def text(file: Case) -> str:
    return json.dumps(file, indent=1, ensure_ascii=True) + "\n"


def write(seed: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files(seed).items():
        (folder / name).write_text(text(file), encoding="ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes all files of vectors.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    write(asked.seed, asked.out)


if __name__ == "__main__":
    main()
