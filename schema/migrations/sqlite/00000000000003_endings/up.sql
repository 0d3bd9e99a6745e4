-- Contacts end, people are blocked, accounts are deleted, and what changed is listed.

-- A contact that ended keeps its row: its epochs go, and their numbers go on.
ALTER TABLE pairs ADD COLUMN ended_ms INTEGER;

-- An account that was deleted keeps its row and its keys' rows, so that neither comes again.
-- Requests are counted by the day (days since 1970).
ALTER TABLE users ADD COLUMN gone_ms INTEGER;
ALTER TABLE users ADD COLUMN asked_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN asked_count INTEGER NOT NULL DEFAULT 0;

CREATE TABLE blocks (
    blocker  BLOB    NOT NULL REFERENCES users (log_id),
    blocked  BLOB    NOT NULL REFERENCES users (log_id),
    request  BLOB    NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (blocker, blocked)
) STRICT, WITHOUT ROWID;

CREATE INDEX blocks_of_blocked ON blocks (blocked);

-- One row for each rise of `users.v`, so that a device that was away misses none. `kind` is 1
-- request, 2 accepted, 3 epoch, 4 log, 5 block, 6 removed.
CREATE TABLE changes (
    log_id BLOB    NOT NULL REFERENCES users (log_id),
    v      INTEGER NOT NULL,
    kind   INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 6),
    peer   BLOB    CHECK (length(peer) = 32),
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (log_id, v)
) STRICT, WITHOUT ROWID;

CREATE INDEX changes_at ON changes (at_ms);
