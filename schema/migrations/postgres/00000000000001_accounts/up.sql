-- Accounts, contacts and epochs. Ids and keys are BYTEA, times are milliseconds since 1970.
-- No table holds a message, or has a column that could.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- `v` rises with each change that the user's devices are told of, `keys_v` with each change of
-- the user's log or prekeys. An account that was deleted keeps its row and its keys' rows, so that
-- neither comes again. Requests are counted by the day (days since 1970).
CREATE TABLE users (
    log_id BYTEA NOT NULL PRIMARY KEY CHECK (length(log_id) = 32),
    handle TEXT NOT NULL UNIQUE,
    v BIGINT NOT NULL,
    keys_v BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    gone_ms  BIGINT,
    asked_day BIGINT NOT NULL DEFAULT 0,
    asked_count BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE log_entries (
    log_id BYTEA NOT NULL REFERENCES users (log_id),
    seq BIGINT NOT NULL,
    head BYTEA NOT NULL CHECK (length(head) = 32),
    wire BYTEA NOT NULL,
    PRIMARY KEY (log_id, seq)
);

-- Every identity and recovery key that any log ever knew: none may come again.
CREATE TABLE log_keys (
    key BYTEA NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    key_id BYTEA NOT NULL UNIQUE CHECK (length(key_id) = 16),
    log_id BYTEA NOT NULL REFERENCES users (log_id)
);

-- `prekey_id` is the current prekey's; `revoked_seq` the entry that took the device out.
CREATE TABLE devices (
    device_id BYTEA NOT NULL PRIMARY KEY CHECK (length(device_id) = 16),
    log_id BYTEA NOT NULL REFERENCES users (log_id),
    ik BYTEA NOT NULL UNIQUE REFERENCES log_keys (key),
    since_ms BIGINT NOT NULL,
    prekey_id BIGINT NOT NULL,
    revoked_seq BIGINT
);

CREATE INDEX devices_of_user ON devices (log_id);

-- The current prekey of each device, and older ones that a kept epoch names.
CREATE TABLE prekeys (
    device_id BYTEA NOT NULL REFERENCES devices (device_id),
    id BIGINT NOT NULL CHECK (id > 0),
    record BYTEA NOT NULL,
    xwing     BYTEA,
    PRIMARY KEY (device_id, id)
);

-- One open request per asker and username. `answerer` is empty where nobody is to be told:
-- the username is unknown, or asking leads nowhere. The asker cannot tell the difference.
CREATE TABLE requests (
    request_id BYTEA NOT NULL PRIMARY KEY CHECK (length(request_id) = 32),
    asker BYTEA NOT NULL REFERENCES users (log_id),
    handle TEXT NOT NULL,
    answerer BYTEA REFERENCES users (log_id),
    request BYTEA NOT NULL,
    asked_ms BIGINT NOT NULL,
    UNIQUE (asker, handle)
);

CREATE INDEX requests_in ON requests (answerer) WHERE answerer IS NOT NULL;

-- Accepted contacts (a < b) and self-pairs (a = b, no request), with the newest epoch. A contact
-- that ended keeps its row: its epochs go, and their numbers go on.
CREATE TABLE pairs (
    a BYTEA NOT NULL REFERENCES users (log_id),
    b BYTEA NOT NULL REFERENCES users (log_id),
    request_id BYTEA UNIQUE,
    request      BYTEA,
    since_ms BIGINT NOT NULL,
    newest_n BIGINT NOT NULL,
    newest_epoch BYTEA NOT NULL,
    ended_ms     BIGINT,
    PRIMARY KEY (a, b),
    CHECK (a < b AND request_id IS NOT NULL AND request IS NOT NULL
        OR a = b AND request_id IS NULL AND request IS NULL)
);

CREATE INDEX pairs_of_b ON pairs (b);

CREATE TABLE epochs (
    epoch_id BYTEA NOT NULL PRIMARY KEY CHECK (length(epoch_id) = 32),
    a BYTEA NOT NULL,
    b BYTEA NOT NULL,
    n BIGINT NOT NULL,
    creator BYTEA NOT NULL REFERENCES users (log_id),
    header BYTEA NOT NULL,
    posted_ms BIGINT NOT NULL,
    superseded_ms BIGINT,
    UNIQUE (a, b, n),
    FOREIGN KEY (a, b) REFERENCES pairs (a, b)
);

CREATE INDEX epochs_superseded ON epochs (superseded_ms) WHERE superseded_ms IS NOT NULL;

-- Which prekey records an epoch names: they stay as long as it does.
CREATE TABLE epoch_prekeys (
    epoch_id BYTEA NOT NULL REFERENCES epochs (epoch_id) ON DELETE CASCADE,
    device_id BYTEA NOT NULL,
    prekey_id BIGINT NOT NULL,
    PRIMARY KEY (epoch_id, device_id),
    FOREIGN KEY (device_id, prekey_id) REFERENCES prekeys (device_id, id)
);

CREATE INDEX epoch_prekeys_of_device ON epoch_prekeys (device_id, prekey_id);

-- Epoch keys, sealed to one device each: gone when the device says that it has persisted it.
CREATE TABLE wraps (
    epoch_id BYTEA NOT NULL REFERENCES epochs (epoch_id) ON DELETE CASCADE,
    device_id BYTEA NOT NULL REFERENCES devices (device_id),
    wrap BYTEA NOT NULL,
    posted_ms BIGINT NOT NULL,
    PRIMARY KEY (epoch_id, device_id)
);

CREATE INDEX wraps_posted ON wraps (posted_ms);
-- A device asks for all that waits for it when it puts a prekey.
CREATE INDEX wraps_of_device ON wraps (device_id);

CREATE TABLE blocks (
    blocker BYTEA NOT NULL REFERENCES users (log_id),
    blocked BYTEA NOT NULL REFERENCES users (log_id),
    request BYTEA NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (blocker, blocked)
);

CREATE INDEX blocks_of_blocked ON blocks (blocked);

-- One row for each rise of `users.v`, so that a device that was away misses none. `kind` is 1
-- request, 2 accepted, 3 epoch, 4 log, 5 block, 6 removed.
CREATE TABLE changes (
    log_id BYTEA NOT NULL REFERENCES users (log_id),
    v BIGINT NOT NULL,
    kind BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 6),
    peer BYTEA CHECK (length(peer) = 32),
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (log_id, v)
);

CREATE INDEX changes_at ON changes (at_ms);
