"""Chains (CRYPTO 6, decision 2): one for each sending device and lane of an epoch.

A receiver keeps SK_c of what it skipped, never CK_c. `reach` works on a copy: a message that fails
later has changed nothing.
"""

from dataclasses import dataclass, field, replace

from hw1.hash import kdf
from hw1.refused import require

SKIP = (1024, 4096)
MAX_SKIPPED = 2048


def next_key(ck: bytes) -> bytes:
    return kdf(ck, "next")


def single_key(ck: bytes) -> bytes:
    """SK_c: opens message c, and says nothing of the chain."""
    return kdf(ck, "msg")


@dataclass(frozen=True)
class Chain:
    """`next` is the counter of `ck`; `skipped` has SK of what has not come; `lost` what was given up."""

    ck: bytes
    next: int = 0
    skipped: dict[int, bytes] = field(default_factory=dict)
    lost: frozenset[int] = frozenset()

    def advance(self, count: int = 1) -> "Chain":
        """The sender's step, without keeping anything."""
        ck = self.ck
        for _ in range(count):
            ck = next_key(ck)
        return replace(self, ck=ck, next=self.next + count)

    def reach(self, lane: int, counter: int) -> tuple[bytes, "Chain"]:
        """(SK of the counter, the chain after it). Refuses with REPLAY or SKIP_LIMIT."""
        if counter < self.next:
            require(counter in self.skipped, "REPLAY", "counter used")
            left = dict(self.skipped)
            return left.pop(counter), replace(self, skipped=left)
        require(counter - self.next <= SKIP[lane], "SKIP_LIMIT", "too many skipped")
        ck, skipped = self.ck, dict(self.skipped)
        for passed in range(self.next, counter):
            skipped[passed] = single_key(ck)
            ck = next_key(ck)
        return single_key(ck), replace(self, ck=next_key(ck), next=counter + 1, skipped=skipped)

    def give_up(self, counter: int) -> "Chain":
        """Drops the key of a skipped counter."""
        left = dict(self.skipped)
        del left[counter]
        return replace(self, skipped=left, lost=self.lost | {counter})

    def contiguous(self) -> int:
        """How many were received from counter 0 on, without a gap."""
        return min([self.next, *self.skipped, *self.lost])
