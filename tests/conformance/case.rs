//! A row of the table: what a client writes and what it must hear, and how that is tried.

use hushwire_wire::frame::{ClientFrame, ClientOp, Send};
use hushwire_wire::{Encoding, Sealed, UserId};

use crate::peer::{FIN, Heard, PING, Peer, frame};
use crate::support::{Person, Server};

/// The payload of the ping that shows that nothing else was said and the connection lives.
const FENCE: &[u8] = b"fence";

/// One case, numbered as in the Autobahn test suite.
#[derive(Debug)]
pub(crate) struct Case {
    id: String,
    what: String,
    writes: Vec<Vec<u8>>,
    chop: usize,
    encoding: Encoding,
    signed_in: bool,
    hears: Vec<Heard>,
}

/// A case on a signed-in connection in JSON.
pub(crate) fn case(id: &str, what: &str, writes: Vec<Vec<u8>>, hears: Vec<Heard>) -> Case {
    let (id, what) = (id.to_owned(), what.to_owned());
    Case { id, what, writes, chop: usize::MAX, encoding: Encoding::Json, signed_in: true, hears }
}

impl Case {
    /// Each write in pieces of so many bytes.
    pub(crate) fn chopped(mut self, chop: usize) -> Self {
        self.chop = chop;
        self
    }

    /// In CBOR.
    pub(crate) fn cbor(mut self) -> Self {
        self.encoding = Encoding::Cbor;
        self
    }

    /// Before `hello`.
    pub(crate) fn unsigned(mut self) -> Self {
        self.signed_in = false;
        self
    }

    fn differs(&self, peer: &mut Peer) -> Option<String> {
        for write in &self.writes {
            write.chunks(self.chop).for_each(|piece| peer.write(piece));
        }
        let mut heard: Vec<Heard> = self.hears.iter().map(|_| peer.hear()).collect();
        let mut expected = self.hears.clone();
        if !matches!(expected.last(), Some(Heard::Close(_))) {
            peer.write(&frame(FIN | PING, FENCE));
            heard.push(peer.hear());
            expected.push(Heard::Pong(FENCE.to_vec()));
        }
        let (id, what) = (&self.id, &self.what);
        (heard != expected).then(|| format!("{id} ({what}): {heard:?}, not {expected:?}"))
    }
}

/// Tries all cases, each on a connection of its own, and fails with all that differ.
pub(crate) async fn hold(cases: Vec<Case>) {
    let server = Server::start();
    let person = Person::register(&server.http(), "alice").await;
    let differing: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let mut peer = if case.signed_in {
                Peer::sign_in(&server.url, &person, case.encoding)
            } else {
                Peer::connect(&server.url, case.encoding).0
            };
            case.differs(&mut peer)
        })
        .collect();
    println!("{} cases", cases.len());
    assert!(
        differing.is_empty(),
        "{} of {}:\n{}",
        differing.len(),
        cases.len(),
        differing.join("\n")
    );
}

/// The op `ping` with this id as JSON of so many bytes: white space after it is allowed.
pub(crate) fn op(id: u64, size: usize) -> Vec<u8> {
    let mut json = format!(r#"{{"id":{id},"op":{{"ping":{{}}}}}}"#).into_bytes();
    assert!(size == 0 || json.len() <= size);
    json.resize(json.len().max(size), b' ');
    json
}

/// An operation that does not exist, with this id and this name: it is refused by its id, if it
/// is text.
pub(crate) fn named(id: u64, name: &[u8]) -> Vec<u8> {
    [format!(r#"{{"id":{id},"op":{{""#).as_bytes(), name, br#"":{}}}"#].concat()
}

/// The op `ping` in CBOR.
pub(crate) fn cbor_op(id: u64) -> Vec<u8> {
    Encoding::Cbor.encode_client(&ClientFrame { id: Some(id), op: ClientOp::Ping {} })
}

/// A `send` in CBOR of so many bytes, whose upload is no upload: refused by its id.
pub(crate) fn cbor_send(id: u64, size: usize) -> Vec<u8> {
    let encode = |upload: usize| {
        let to = UserId([7; 32]);
        let upload = Sealed::from(vec![0xee; upload]);
        let op = ClientOp::Send(Send { to, sn: 1, upload, withdraw: Vec::new(), re: None });
        Encoding::Cbor.encode_client(&ClientFrame { id: Some(id), op })
    };
    // The length of the length differs with it.
    let upload = (0..=size).rev().find(|upload| encode(*upload).len() == size);
    encode(upload.expect("a size that a send can have"))
}
