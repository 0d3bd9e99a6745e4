//! Every fixed bound of the protocol, once. Configurable limits live with the server's settings.

/// The largest frame either side sends, in bytes, judged by its declared length.
pub const FRAME_MAX: usize = 96 * 1024;
/// The largest frame before sign-in, in bytes.
pub const FRAME_MAX_UNSIGNED: usize = 4 * 1024;
/// The largest number of fragments of one message (RFC 6455, 5.4).
pub const FRAGMENTS_MAX: usize = 16;
/// Pings and pongs of one connection in [`CONTROL_FRAMES_WITHIN_MS`], at most.
pub const CONTROL_FRAMES_MAX: u32 = 20;
/// The span for [`CONTROL_FRAMES_MAX`], in milliseconds.
pub const CONTROL_FRAMES_WITHIN_MS: u64 = 10_000;
/// How long a new connection may take until `hello`, in milliseconds.
pub const HELLO_WITHIN_MS: u64 = 5_000;
/// How long a challenge can be answered, in milliseconds.
pub const NONCE_TTL_MS: u64 = 60_000;
/// How long a session token lasts, in milliseconds.
pub const TOKEN_TTL_MS: u64 = 3_600_000;
/// The largest integer in JSON (2^53 - 1), and so the largest `sn`.
pub const INT_MAX: u64 = (1 << 53) - 1;
/// Messages sent to a device and not yet acknowledged, at most.
pub const WINDOW_MESSAGES: usize = 32;
/// Bytes sent to a device and not yet acknowledged, at most (one message may exceed it alone).
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Durable sends of one device that wait for their answer, at most.
pub const SENDS_UNANSWERED: usize = 8;
/// How often the server pings, in milliseconds.
pub const HEARTBEAT_MS: u64 = 25_000;
/// How long a pong may take, in milliseconds.
pub const PONG_WITHIN_MS: u64 = 10_000;
/// A username: at least so many characters of `a-z 0-9 _ .`.
pub const HANDLE_MIN: usize = 3;
/// A username: at most so many characters.
pub const HANDLE_MAX: usize = 32;
/// The longest `client` text in `hello`, in bytes.
pub const CLIENT_NAME_MAX: usize = 64;
/// The most `features` in `hello`, each of at most [`CLIENT_NAME_MAX`] bytes.
pub const FEATURES_MAX: usize = 16;
/// The most codes in `ack.failed`: everything that may be in the window, messages and notices.
pub const ACK_FAILED_MAX: usize = 2 * WINDOW_MESSAGES;
/// The JSON bodies of HTTP requests, in bytes.
pub const HTTP_BODY_MAX: usize = 64 * 1024;
/// The most mids in `send.withdraw`.
pub const WITHDRAW_MAX: usize = 16;
/// The most users in `presence.to`.
pub const PRESENCE_MAX: usize = 256;
/// The content of an ephemeral message other than a call's, in bytes, padded.
pub const EPHEMERAL_CONTENT_MAX: usize = 256;
/// The content of a call's signal, in bytes, padded.
pub const CALL_CONTENT_MAX: usize = 16 * 1024;
/// The oldest version of the protocol that is spoken.
pub const VERSION_OLDEST: u16 = 1;
/// The newest version of the protocol that is spoken.
pub const VERSION_NEWEST: u16 = 1;
