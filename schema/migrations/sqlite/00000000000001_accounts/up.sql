-- Accounts, contacts and epochs. Ids and keys are BLOBs, times are milliseconds since 1970.
-- No table holds a message, or has a column that could.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `v` rises with each change that the user's devices are told of, `keys_v` with each change of
-- the user's log or prekeys.
CREATE TABLE users (
    log_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(log_id) = 32),
    handle   TEXT    NOT NULL UNIQUE,
    v        INTEGER NOT NULL,
    keys_v   INTEGER NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_entries (
    log_id BLOB    NOT NULL REFERENCES users (log_id),
    seq    INTEGER NOT NULL,
    head   BLOB    NOT NULL CHECK (length(head) = 32),
    wire   BLOB    NOT NULL,
    PRIMARY KEY (log_id, seq)
) STRICT, WITHOUT ROWID;

-- Every identity and recovery key that any log ever knew: none may come again.
CREATE TABLE log_keys (
    key    BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    key_id BLOB NOT NULL UNIQUE CHECK (length(key_id) = 16),
    log_id BLOB NOT NULL REFERENCES users (log_id)
) STRICT, WITHOUT ROWID;

-- `prekey_id` is the current prekey's; `revoked_seq` the entry that took the device out.
CREATE TABLE devices (
    device_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(device_id) = 16),
    log_id      BLOB    NOT NULL REFERENCES users (log_id),
    ik          BLOB    NOT NULL UNIQUE REFERENCES log_keys (key),
    since_ms    INTEGER NOT NULL,
    prekey_id   INTEGER NOT NULL,
    revoked_seq INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_of_user ON devices (log_id);

-- The current prekey of each device, and older ones that a kept epoch names.
CREATE TABLE prekeys (
    device_id BLOB    NOT NULL REFERENCES devices (device_id),
    id        INTEGER NOT NULL CHECK (id > 0),
    record    BLOB    NOT NULL,
    xwing     BLOB,
    PRIMARY KEY (device_id, id)
) STRICT;

-- One open request per asker and username. `answerer` is empty where nobody is to be told:
-- the username is unknown, or asking leads nowhere. The asker cannot tell the difference.
CREATE TABLE requests (
    request_id BLOB    NOT NULL PRIMARY KEY CHECK (length(request_id) = 32),
    asker      BLOB    NOT NULL REFERENCES users (log_id),
    handle     TEXT    NOT NULL,
    answerer   BLOB    REFERENCES users (log_id),
    request    BLOB    NOT NULL,
    asked_ms   INTEGER NOT NULL,
    UNIQUE (asker, handle)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_in ON requests (answerer) WHERE answerer IS NOT NULL;

-- Accepted contacts (a < b) and self-pairs (a = b, no request), with the newest epoch.
CREATE TABLE pairs (
    a            BLOB    NOT NULL REFERENCES users (log_id),
    b            BLOB    NOT NULL REFERENCES users (log_id),
    request_id   BLOB    UNIQUE,
    request      BLOB,
    since_ms     INTEGER NOT NULL,
    newest_n     INTEGER NOT NULL,
    newest_epoch BLOB    NOT NULL,
    PRIMARY KEY (a, b),
    CHECK (a < b AND request_id IS NOT NULL AND request IS NOT NULL
        OR a = b AND request_id IS NULL AND request IS NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX pairs_of_b ON pairs (b);

CREATE TABLE epochs (
    epoch_id      BLOB    NOT NULL PRIMARY KEY CHECK (length(epoch_id) = 32),
    a             BLOB    NOT NULL,
    b             BLOB    NOT NULL,
    n             INTEGER NOT NULL,
    creator       BLOB    NOT NULL REFERENCES users (log_id),
    header        BLOB    NOT NULL,
    posted_ms     INTEGER NOT NULL,
    superseded_ms INTEGER,
    UNIQUE (a, b, n),
    FOREIGN KEY (a, b) REFERENCES pairs (a, b)
) STRICT;

CREATE INDEX epochs_superseded ON epochs (superseded_ms) WHERE superseded_ms IS NOT NULL;

-- Which prekey records an epoch names: they stay as long as it does.
CREATE TABLE epoch_prekeys (
    epoch_id  BLOB    NOT NULL REFERENCES epochs (epoch_id) ON DELETE CASCADE,
    device_id BLOB    NOT NULL,
    prekey_id INTEGER NOT NULL,
    PRIMARY KEY (epoch_id, device_id),
    FOREIGN KEY (device_id, prekey_id) REFERENCES prekeys (device_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX epoch_prekeys_of_device ON epoch_prekeys (device_id, prekey_id);

-- Epoch keys, sealed to one device each: gone when the device says that it has persisted it.
CREATE TABLE wraps (
    epoch_id  BLOB    NOT NULL REFERENCES epochs (epoch_id) ON DELETE CASCADE,
    device_id BLOB    NOT NULL REFERENCES devices (device_id),
    wrap      BLOB    NOT NULL,
    posted_ms INTEGER NOT NULL,
    PRIMARY KEY (epoch_id, device_id)
) STRICT;

CREATE INDEX wraps_posted ON wraps (posted_ms);
