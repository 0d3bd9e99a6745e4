//! How words between nodes are written: a version, the node that says it, a letter, then fields of
//! fixed length and last what is long. Anything else is nothing that this node can read.

use hushwire_actors::custody::{Place, Skip};
use hushwire_actors::ports::Word;
use hushwire_wire::codec::{from_cbor, to_cbor};
use hushwire_wire::{Close, Conn, DeviceId, Gen, NodeId};

use crate::codec::{entry, message, take};

/// The version of words. Nodes of two versions run beside each other during an update: what one
/// cannot read counts as lost, which a timer of the other misses.
const VERSION: u8 = 1;

/// Places by their number.
const PLACES: [Place; 8] = [
    Place::Pending,
    Place::Skipped(Skip::Full),
    Place::Skipped(Skip::Revoked),
    Place::Skipped(Skip::Stale),
    Place::Skipped(Skip::Store),
    Place::Queued,
    Place::Failed,
    Place::Acked,
];

/// A word of the node `from` as others read it.
pub(crate) fn write(from: NodeId, word: &Word) -> Vec<u8> {
    let (letter, fields) = match word {
        Word::Route { from: _, ticket, device, conn, r#gen, entry } => {
            let to = [&ticket.to_be_bytes()[..], &device.0, &conn.0, &r#gen.0].concat();
            (b'r', [to, message(entry)].concat())
        }
        Word::Custody { ticket, place } => {
            (b'c', [&ticket.to_be_bytes()[..], &[number(*place)]].concat())
        }
        Word::CustodyNo { ticket, conn } => (b'x', [&ticket.to_be_bytes()[..], &conn.0].concat()),
        Word::Behind { device, conn } => (b'b', [device.0, conn.0].concat()),
        Word::Notices { device } => (b'n', device.0.to_vec()),
        Word::Displaced { device, conn } => (b'd', [device.0, conn.0].concat()),
        Word::Ended { device, conn, close } => {
            (b'e', [&device.0[..], &conn.0, &close.code().to_be_bytes()].concat())
        }
        Word::Aside(aside) => (b'a', to_cbor(Vec::new(), aside)),
    };
    [&[VERSION][..], &from.0, &[letter], &fields].concat()
}

/// A word that was written by [`write()`], and who says it; `None` if this version cannot read it.
pub(crate) fn read(bytes: &[u8]) -> Option<(NodeId, Word)> {
    let mut rest = bytes;
    let [version] = take(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let from = NodeId(take(&mut rest)?);
    let [letter] = take(&mut rest)?;
    let word = match letter {
        b'r' => {
            let ticket = u64::from_be_bytes(take(&mut rest)?);
            let (device, conn) = (DeviceId(take(&mut rest)?), Conn(take(&mut rest)?));
            let r#gen = Gen(take(&mut rest)?);
            let entry = entry(std::mem::take(&mut rest))?;
            Word::Route { from, ticket, device, conn, r#gen, entry }
        }
        b'c' => {
            let ticket = u64::from_be_bytes(take(&mut rest)?);
            let [number] = take(&mut rest)?;
            Word::Custody { ticket, place: *PLACES.get(usize::from(number))? }
        }
        b'x' => Word::CustodyNo {
            ticket: u64::from_be_bytes(take(&mut rest)?),
            conn: Conn(take(&mut rest)?),
        },
        b'b' => Word::Behind { device: DeviceId(take(&mut rest)?), conn: Conn(take(&mut rest)?) },
        b'n' => Word::Notices { device: DeviceId(take(&mut rest)?) },
        b'd' => {
            Word::Displaced { device: DeviceId(take(&mut rest)?), conn: Conn(take(&mut rest)?) }
        }
        b'e' => Word::Ended {
            device: DeviceId(take(&mut rest)?),
            conn: Conn(take(&mut rest)?),
            close: Close::from_code(u16::from_be_bytes(take(&mut rest)?))?,
        },
        b'a' => Word::Aside(from_cbor(std::mem::take(&mut rest))?),
        _ => return None,
    };
    rest.is_empty().then_some((from, word))
}

const fn number(place: Place) -> u8 {
    match place {
        Place::Pending => 0,
        Place::Skipped(Skip::Full) => 1,
        Place::Skipped(Skip::Revoked) => 2,
        Place::Skipped(Skip::Stale) => 3,
        Place::Skipped(Skip::Store) => 4,
        Place::Queued => 5,
        Place::Failed => 6,
        Place::Acked => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hushwire_actors::Change;
    use hushwire_actors::aside::Aside;
    use hushwire_actors::call::{Letter, Step};
    use hushwire_actors::envelope::{Entry, Envelope};
    use hushwire_wire::close::CLOSES;
    use hushwire_wire::deliver::SharedBody;
    use hushwire_wire::frame::{Call, CallAct, Ephemeral, Event, EventKind};
    use hushwire_wire::{CallId, Reject};
    use hushwire_wire::{Mid, Sealed, UserId};
    use proptest::prelude::*;

    use super::*;

    const FROM: NodeId = NodeId([7; 16]);

    /// One of each.
    fn aside(which: usize, v: u64, device: DeviceId, conn: Conn, body: Vec<u8>) -> Aside {
        let (user, node, msg) = (UserId([4; 32]), FROM, Sealed::from(body));
        let (from_user, from_device, call_id) = (UserId([1; 32]), device, CallId([5; 16]));
        match which {
            0 => Aside::Changed(Change {
                pairs: vec![(UserId([1; 32]), user); 3],
                events: vec![(user, Event { v, kind: EventKind::Block, peer: None })],
            }),
            1 => Aside::Ephemeral { device, frame: Ephemeral { from_user, from_device, msg } },
            2 => Aside::Show { node, user, conn, to: vec![user; 2] },
            3 => Aside::Presence { conn, user, on: v.is_multiple_of(2) },
            4 => {
                let letter = Some(Letter { shared: msg, tags: vec![(device, [3; 16])] });
                let (from, to, act, devices) = (from_user, user, CallAct::Ring, vec![device]);
                let step = Step { from, device, conn, to, call_id, act, devices, letter };
                Aside::Step { node, ticket: v, step, found: false }
            }
            5 => Aside::Stepped { ticket: v, refused: Some(Reject::Forbidden {}) },
            6 => {
                let (act, msg) = (CallAct::Signal, Some(msg));
                Aside::Call { device, frame: Call { from_user, from_device, call_id, act, msg } }
            }
            _ => Aside::Left { user, device, conn },
        }
    }

    fn words() -> impl Strategy<Value = Word> {
        let ids = any::<[[u8; 16]; 3]>();
        let body = proptest::collection::vec(any::<u8>(), 0..300);
        (ids, any::<u64>(), 0..PLACES.len(), 0..CLOSES.len(), 0..8_u8, body).prop_map(
            |(ids, ticket, place, close, kind, body)| {
                let (from, device, conn) = (FROM, DeviceId(ids[1]), Conn(ids[2]));
                match kind {
                    0 => {
                        let envelope = Envelope {
                            from_user: UserId([1; 32]),
                            from_device: DeviceId(ids[2]),
                            to: UserId([2; 32]),
                            sn: ticket,
                            mid: Mid(ids[0]),
                            at: ticket,
                            again: place == 1,
                            withdraw: [Mid(ids[1])].into(),
                            body: SharedBody::new(Sealed::from(body)),
                        };
                        let r#gen = Gen(ids[2]);
                        let entry = Entry { envelope: Arc::new(envelope), tag: ids[0], own: false };
                        Word::Route { from, ticket, device, conn, r#gen, entry }
                    }
                    1 => Word::Custody { ticket, place: PLACES[place] },
                    2 => Word::CustodyNo { ticket, conn },
                    3 => Word::Behind { device, conn },
                    4 => Word::Notices { device },
                    5 => Word::Displaced { device, conn },
                    6 => Word::Aside(aside(place, ticket, device, conn, body)),
                    _ => Word::Ended { device, conn, close: CLOSES[close] },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_word_is_read_as_it_was_written(word in words()) {
            let bytes = write(FROM, &word);
            let (from, read) = read(&bytes).unwrap();
            prop_assert_eq!((from, &read), (FROM, &word));
            if let (Word::Route { entry: a, .. }, Word::Route { entry: b, .. }) = (&read, &word) {
                prop_assert_eq!(a.tag, b.tag);
                let (a, b) = (&*a.envelope, &*b.envelope);
                prop_assert_eq!(a.body.sealed().as_bytes(), b.body.sealed().as_bytes());
                prop_assert_eq!((a.at, a.again, &a.withdraw), (b.at, b.again, &b.withdraw));
            }
        }

        #[test]
        fn another_version_and_a_word_cut_or_lengthened_are_not_read(word in words(), cut in any::<usize>()) {
            let mut bytes = write(FROM, &word);
            // A body may have any length, so that only words without one have an end.
            if !matches!(word, Word::Route { .. }) {
                prop_assert!(read(&bytes[..cut % bytes.len()]).is_none());
                bytes.push(0);
                prop_assert!(read(&bytes).is_none());
                bytes.pop();
            }
            bytes[0] = VERSION + 1;
            prop_assert!(read(&bytes).is_none());
        }

        /// Whatever is published: nothing panics.
        #[test]
        fn anything_is_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), letter in 0..9_usize) {
            let _ = read(&bytes);
            if let Some(start) = bytes.first_chunk_mut::<18>() {
                (start[0], start[17]) = (VERSION, b"rcxbndea?"[letter]);
                let _ = read(&bytes);
            }
        }
    }

    #[test]
    fn every_place_has_its_number() {
        for (at, place) in PLACES.into_iter().enumerate() {
            assert_eq!(usize::from(number(place)), at);
        }
    }
}
