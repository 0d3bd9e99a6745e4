//! Fuzz targets for every parser of what a stranger can send.
//!
//! A target is a function that takes any bytes, says whether they were accepted, and panics where
//! an invariant breaks: what is accepted is written back as it came, what is refused changes
//! nothing. The same table serves the replay of the committed corpora (`tests/corpus.rs`) and long
//! runs under libFuzzer (`make fuzz`). It is linked into nothing else.
#![deny(missing_docs)]

mod chain;
mod device_log;
mod epoch;
mod file;
mod fixture;
mod frame;
mod layout;
mod record;
mod script;
pub mod seeds;
mod text;

/// One parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, which is that of its folder under `corpus/`.
    pub name: &'static str,
    /// Takes any bytes and says whether they were accepted.
    ///
    /// # Panics
    /// If an invariant breaks: that is a finding.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    // Layouts that are hashed and signed.
    Target { name: "entry", run: layout::entry },
    Target { name: "prekey", run: layout::prekey },
    Target { name: "signed_prekey", run: layout::signed_prekey },
    Target { name: "epoch_header", run: layout::epoch_header },
    Target { name: "contact_request", run: layout::contact_request },
    Target { name: "upload", run: layout::upload },
    Target { name: "delivered", run: layout::delivered },
    Target { name: "message_header", run: layout::message_header },
    Target { name: "qr", run: layout::qr },
    Target { name: "evidence", run: layout::evidence },
    // What a client opens or keeps.
    Target { name: "content", run: record::content },
    Target { name: "epoch_state", run: record::epoch_state },
    Target { name: "prekey_secret", run: record::prekey_secret },
    // Scripts: bytes as acts upon a living structure.
    Target { name: "device_log", run: device_log::run },
    Target { name: "chain", run: chain::run },
    Target { name: "epoch_open", run: epoch::run },
    Target { name: "file", run: file::run },
    // Frames, bodies and texts.
    Target { name: "client_json", run: frame::client_json },
    Target { name: "client_cbor", run: frame::client_cbor },
    Target { name: "server_json", run: frame::server_json },
    Target { name: "server_cbor", run: frame::server_cbor },
    Target { name: "http_body", run: frame::http_body },
    Target { name: "ids", run: text::ids },
    Target { name: "names", run: text::names },
    Target { name: "contact_link", run: text::contact_link },
    Target { name: "typed", run: text::typed },
    Target { name: "sdp", run: text::sdp },
    Target { name: "close", run: text::close },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
