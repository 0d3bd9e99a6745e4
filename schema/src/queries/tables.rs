//! The tables as Diesel sees them; `migrations/sqlite/` is what makes them.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    meta (name) { name -> Text, value -> Text, }
}
table! {
    users (log_id) {
        log_id -> Binary, handle -> Text, v -> BigInt, keys_v -> BigInt, since_ms -> BigInt,
        gone_ms -> Nullable<BigInt>, asked_day -> BigInt, asked_count -> BigInt,
    }
}
table! {
    log_entries (log_id, seq) { log_id -> Binary, seq -> BigInt, head -> Binary, wire -> Binary, }
}
table! {
    log_keys (key) { key -> Binary, key_id -> Binary, log_id -> Binary, }
}
table! {
    devices (device_id) {
        device_id -> Binary, log_id -> Binary, ik -> Binary, since_ms -> BigInt,
        prekey_id -> BigInt, revoked_seq -> Nullable<BigInt>,
    }
}
table! {
    prekeys (device_id, id) {
        device_id -> Binary, id -> BigInt, record -> Binary, xwing -> Nullable<Binary>,
    }
}
table! {
    requests (request_id) {
        request_id -> Binary, asker -> Binary, handle -> Text, answerer -> Nullable<Binary>,
        request -> Binary, asked_ms -> BigInt,
    }
}
table! {
    pairs (a, b) {
        a -> Binary, b -> Binary, request_id -> Nullable<Binary>, request -> Nullable<Binary>,
        since_ms -> BigInt, newest_n -> BigInt, newest_epoch -> Binary,
        ended_ms -> Nullable<BigInt>,
    }
}
table! {
    blocks (blocker, blocked) {
        blocker -> Binary, blocked -> Binary, request -> Binary, since_ms -> BigInt,
    }
}
table! {
    changes (log_id, v) {
        log_id -> Binary, v -> BigInt, kind -> BigInt, peer -> Nullable<Binary>, at_ms -> BigInt,
    }
}
table! {
    epochs (epoch_id) {
        epoch_id -> Binary, a -> Binary, b -> Binary, n -> BigInt, creator -> Binary,
        header -> Binary, posted_ms -> BigInt, superseded_ms -> Nullable<BigInt>,
    }
}
table! {
    epoch_prekeys (epoch_id, device_id) {
        epoch_id -> Binary, device_id -> Binary, prekey_id -> BigInt,
    }
}
table! {
    wraps (epoch_id, device_id) {
        epoch_id -> Binary, device_id -> Binary, wrap -> Binary, posted_ms -> BigInt,
    }
}

joinable!(devices -> users (log_id));
joinable!(prekeys -> devices (device_id));
joinable!(wraps -> epochs (epoch_id));
joinable!(epoch_prekeys -> epochs (epoch_id));
allow_tables_to_appear_in_same_query!(
    users,
    log_entries,
    log_keys,
    devices,
    prekeys,
    requests,
    pairs,
    blocks,
    changes,
    epochs,
    epoch_prekeys,
    wraps,
);
