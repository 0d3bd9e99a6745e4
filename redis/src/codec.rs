//! How messages, notices and holders are written in Redis. Each begins with a version; another one
//! is nothing that this node can read.

use std::sync::Arc;

use hushwire_actors::envelope::{Entry, Envelope};
use hushwire_actors::queue::{Key, Mode, Taken};
use hushwire_wire::codec::{from_cbor, to_cbor};
use hushwire_wire::deliver::SharedBody;
use hushwire_wire::frame::{Accepted, News, SkipReason};
use hushwire_wire::limits::WITHDRAW_MAX;
use hushwire_wire::message::TAG_LEN;
use hushwire_wire::{Conn, DeviceId, Mid, NodeId, Sealed, UserId};

/// The version of messages and notices.
const VERSION: u8 = 1;
const AGAIN: u8 = 1;
const OWN: u8 = 2;
/// Before the withdrawn mids and the body.
const FIXED: usize = 2 + 8 + 8 + UserId::LEN + DeviceId::LEN + UserId::LEN + Mid::LEN + TAG_LEN + 1;

/// A message as `redis/lua/ledger.lua` describes it.
pub(crate) fn message(entry: &Entry) -> Vec<u8> {
    let envelope = &*entry.envelope;
    let withdraw = envelope.withdraw.get(..WITHDRAW_MAX).unwrap_or(&envelope.withdraw);
    let length = FIXED + withdraw.len() * Mid::LEN + envelope.body.len();
    let mut out = Vec::with_capacity(length);
    out.push(VERSION);
    out.push(u8::from(envelope.again) * AGAIN + u8::from(entry.own) * OWN);
    out.extend_from_slice(&envelope.at.to_be_bytes());
    out.extend_from_slice(&envelope.sn.to_be_bytes());
    out.extend_from_slice(&envelope.from_user.0);
    out.extend_from_slice(&envelope.from_device.0);
    out.extend_from_slice(&envelope.to.0);
    out.extend_from_slice(&envelope.mid.0);
    out.extend_from_slice(&entry.tag);
    out.push(u8::try_from(withdraw.len()).unwrap_or(0));
    withdraw.iter().for_each(|mid| out.extend_from_slice(&mid.0));
    out.extend_from_slice(envelope.body.sealed().as_bytes());
    out
}

/// A message that was stored; `None` if this version cannot read it.
pub(crate) fn entry(bytes: &[u8]) -> Option<Entry> {
    let mut rest = bytes;
    let [version, flags] = take(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let at = u64::from_be_bytes(take(&mut rest)?);
    let sn = u64::from_be_bytes(take(&mut rest)?);
    let from_user = UserId(take(&mut rest)?);
    let from_device = DeviceId(take(&mut rest)?);
    let to = UserId(take(&mut rest)?);
    let mid = Mid(take(&mut rest)?);
    let tag = take(&mut rest)?;
    let [count] = take(&mut rest)?;
    if usize::from(count) > WITHDRAW_MAX {
        return None;
    }
    let withdraw = (0..count).map(|_| take(&mut rest).map(Mid)).collect::<Option<_>>()?;
    let envelope = Envelope {
        from_user,
        from_device,
        to,
        sn,
        mid,
        at,
        again: flags & AGAIN != 0,
        withdraw,
        body: SharedBody::new(Sealed::from(rest.to_vec())),
    };
    Some(Entry { envelope: Arc::new(envelope), tag, own: flags & OWN != 0 })
}

/// What deduplicates a message: sending device and mid.
pub(crate) fn id(from: &DeviceId, mid: &Mid) -> Vec<u8> {
    [&from.0[..], &mid.0[..]].concat()
}

/// The sending device and mid of an id.
pub(crate) fn parse_id(bytes: &[u8]) -> Option<(DeviceId, Mid)> {
    let mut rest = bytes;
    let id = (DeviceId(take(&mut rest)?), Mid(take(&mut rest)?));
    rest.is_empty().then_some(id)
}

/// News, with its version.
pub(crate) fn news(news: &News) -> Vec<u8> {
    to_cbor(vec![VERSION], news)
}

/// A row of notices: `n` and news, or `g`, a count and a contact.
pub(crate) fn notice(bytes: &[u8]) -> Option<News> {
    match bytes.split_first()? {
        (b'n', [VERSION, rest @ ..]) => from_cbor(rest),
        (b'g', mut rest) => {
            let count = f64::from_be_bytes(take(&mut rest)?);
            let contact = UserId(take(&mut rest)?);
            // Counted by ones, it is whole and far below 2^53.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a whole number that fits"
            )]
            let count =
                ((0.0..9e15).contains(&count) && count.fract() == 0.0).then_some(count as u64)?;
            Some(News::Gap { contact, count })
        }
        _ => None,
    }
}

/// An answer, with its version.
pub(crate) fn answer(answer: &Accepted) -> Vec<u8> {
    to_cbor(vec![VERSION], answer)
}

/// An answer that was stored; `None` if this version cannot read it.
pub(crate) fn parse_answer(bytes: &[u8]) -> Option<Accepted> {
    match bytes.split_first()? {
        (&VERSION, rest) => from_cbor(rest),
        _ => None,
    }
}

/// Who holds a device: node, connection, and `b` or `l`. Empty for nobody.
pub(crate) fn holder(bytes: &[u8]) -> Option<Option<Key>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let mut rest = bytes;
    let (node, conn) = (NodeId(take(&mut rest)?), Conn(take(&mut rest)?));
    let mode = match rest {
        b"b" => Mode::Behind,
        b"l" => Mode::Live,
        _ => return None,
    };
    Some(Some(Key { node, conn, mode }))
}

/// What became of messages, a letter each.
pub(crate) fn taken(bytes: &[u8]) -> Option<Vec<Taken>> {
    let one = |letter: &u8| match letter {
        b'q' => Some(Taken::Queued),
        b'f' => Some(Taken::Skipped(SkipReason::Full)),
        b'r' => Some(Taken::Skipped(SkipReason::Revoked)),
        b's' => Some(Taken::Skipped(SkipReason::Stale)),
        b'n' => Some(Taken::NoRoom),
        _ => None,
    };
    bytes.iter().map(one).collect()
}

/// The next `N` bytes, taken off.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            numbers in any::<[u64; 2]>(), flags in any::<[bool; 2]>(), ids in any::<[[u8; 16]; 3]>(),
            users in any::<[[u8; 32]; 2]>(), withdraw in proptest::collection::vec(any::<[u8; 16]>(), 0..=16),
            body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let envelope = Envelope {
                from_user: UserId(users[0]), from_device: DeviceId(ids[0]), to: UserId(users[1]),
                sn: numbers[0], mid: Mid(ids[1]), at: numbers[1], again: flags[0],
                withdraw: withdraw.into_iter().map(Mid).collect(),
                body: SharedBody::new(Sealed::from(body.clone())),
            };
            let one = Entry { envelope: Arc::new(envelope), tag: ids[2], own: flags[1] };
            let bytes = message(&one);
            let read = entry(&bytes).unwrap();
            prop_assert_eq!(&read, &one);
            let (read, wrote) = (&*read.envelope, &*one.envelope);
            prop_assert_eq!(read.body.sealed().as_bytes(), body.as_slice());
            prop_assert_eq!((read.at, read.again, &read.withdraw), (wrote.at, wrote.again, &wrote.withdraw));
        }

        /// Whatever stands in Redis: nothing panics, and another version is not read.
        #[test]
        fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (mut other, _) = (bytes.clone(), (notice(&bytes), holder(&bytes), taken(&bytes)));
            let _ = (entry(&bytes), parse_id(&bytes), parse_answer(&bytes));
            if let Some(version) = other.first_mut() {
                *version = 2;
                prop_assert!(entry(&other).is_none());
            }
        }
    }
}
