//! The fixed layouts: what parses is written back byte for byte, and keeps its stated shape.

use hushwire_identity::entry::ENTRY_MAX;
use hushwire_identity::epoch::ROSTER_MAX;
use hushwire_identity::hash::{Label, hash, verify};
use hushwire_identity::log::{DEVICES_MAX, device_id};
use hushwire_identity::post::roster;
use hushwire_identity::prekey::{DAYS_BACK, PREKEY_LEN, Prekey};
use hushwire_identity::{
    ContactRequest, Current, DeviceLog, Entry, EpochHeader, Evidence, Payload, Posting,
    PrekeyRecord, QrCheck, QrPayload, ReportError, Side, Suite, check_post,
};
use hushwire_wire::Sealed;
use hushwire_wire::message::{
    Class, Delivered, Header, MAX_TAGS, PADDED, SEAL_OVERHEAD, TAG_LEN, Upload, write_upload,
};

use crate::fixture::{K_SRV, NOW, REQUEST, sign, world};

pub(crate) fn entry(bytes: &[u8]) -> bool {
    let Ok(entry) = Entry::parse(bytes) else { return false };
    assert!(bytes.len() <= ENTRY_MAX);
    assert_eq!(entry.draft.wire(entry.claim.as_ref(), &entry.signature), bytes);
    assert_eq!(entry.head.0, hash(Label::Entry, &[bytes]));
    assert_eq!(entry.claim.is_some(), entry.draft.payload.claim().is_some());
    // Alone it can only begin a log.
    if let Ok(log) = DeviceLog::genesis(bytes) {
        assert_eq!((log.user().0, log.seq()), (entry.head.0, 0));
        assert!(matches!(&entry.draft.payload, Payload::Genesis { ik, .. }
            if log.is_active(&device_id(ik))));
    }
    let mut log = world().alice.log.clone();
    if log.extend(bytes).is_err() {
        assert_eq!(log, world().alice.log, "a refused entry changes nothing");
    }
    true
}

pub(crate) fn prekey(bytes: &[u8]) -> bool {
    let (record, xwing) = bytes.split_at(bytes.len().min(PREKEY_LEN));
    let xwing = (!xwing.is_empty()).then_some(xwing);
    let log = &world().alice.log;
    if let Ok(prekey) = Prekey::verified(record, xwing, log) {
        assert_eq!(prekey.record.user, log.user());
    }
    let Ok(record) = PrekeyRecord::parse(bytes) else { return false };
    assert_eq!(record.to_bytes(), bytes);
    true
}

/// A record that Alice's first device really signed over whatever stands in it.
pub(crate) fn signed_prekey(bytes: &[u8]) -> bool {
    let Ok(mut record) = PrekeyRecord::parse(bytes) else { return false };
    record.signature = sign(1, Label::Prekey, &[&record.signed_part()]);
    let log = &world().alice.log;
    if record.verify(log).is_err() {
        return false;
    }
    assert_eq!((record.user, record.device), (log.user(), world().alice.keys[0].device_id()));
    assert_eq!(log.head_at(record.log_seq), Some(record.log_head));
    assert!(log.device(&record.device).is_some_and(|d| record.suites.contains(d.suites)));
    assert!(record.usable_on(record.day) && !record.usable_on(record.day.wrapping_sub(2)));
    assert!(record.day > u32::MAX - DAYS_BACK || !record.usable_on(record.day + DAYS_BACK + 1));
    let ik = world().alice.keys[0].public();
    assert!(!verify(ik, Label::Log, &[&record.signed_part()], &record.signature));
    true
}

pub(crate) fn epoch_header(bytes: &[u8]) -> bool {
    let Ok(header) = EpochHeader::parse(bytes) else { return false };
    assert_eq!(header.to_bytes(), bytes);
    assert_eq!(header.id().0, hash(Label::Epoch, &[bytes]));
    assert!((1..=ROSTER_MAX).contains(&header.roster.len()));
    let sorted =
        header.roster.windows(2).all(|w| (w[0].side, w[0].device) < (w[1].side, w[1].device));
    assert!(sorted);
    for side in [Side::A, Side::B] {
        let of_side = header.roster.iter().filter(|slot| slot.side == side).count();
        assert!(of_side <= if header.user(side).is_some() { DEVICES_MAX } else { 0 });
    }
    assert!(header.roster[usize::from(header.creator)].is_wrapped());
    let wrapped = header.roster.iter().filter(|slot| slot.is_wrapped()).count();
    assert_eq!(header.targets(header.creator).count(), wrapped - 1);
    post(&header);
    true
}

/// What the server takes from Alice and Bob names their newest heads and their whole roster.
fn post(header: &EpochHeader) {
    let (alice, bob) = (&world().alice, &world().bob);
    let records = |prekeys: &[Prekey]| -> Vec<_> {
        prekeys.iter().map(|prekey| prekey.record.clone()).collect()
    };
    let (of_alice, of_bob) = (records(&alice.prekeys), records(&bob.prekeys));
    let mut sides = [
        Current { log: &alice.log, prekeys: &of_alice },
        Current { log: &bob.log, prekeys: &of_bob },
    ];
    sides.sort_by_key(|side| side.log.user());
    let [a, b] = sides;
    let wraps: Vec<_> =
        header.targets(header.creator).map(|slot| (slot.device, header.suite.wrap_len())).collect();
    let creator = header.roster[usize::from(header.creator)].device;
    let posting = Posting { creator, n: 0, prev: REQUEST.0, wraps: &wraps, now_ms: NOW };
    if check_post(header, &posting, &a, Some(&b)).is_ok() {
        assert_eq!((header.a, header.b), (a.log.point(), Some(b.log.point())));
        let same = roster(&a, Some(&b), header.created_ms);
        assert_eq!(same, Ok((header.roster.clone(), header.suite)));
    }
}

pub(crate) fn contact_request(bytes: &[u8]) -> bool {
    let Ok(request) = ContactRequest::parse(bytes) else { return false };
    assert_eq!(request.to_bytes(), bytes);
    assert!(bytes.len() <= ContactRequest::MAX);
    assert_eq!(request.id().0, hash(Label::Request, &[bytes]));
    true
}

pub(crate) fn message_header(bytes: &[u8]) -> bool {
    let Ok(header) = Header::parse(bytes) else { return false };
    assert_eq!(header.to_bytes(), bytes);
    assert_eq!(Class::from_pair(header.class as u8, header.lane), Some(header.class));
    true
}

pub(crate) fn upload(bytes: &[u8]) -> bool {
    let Ok(upload) = Upload::parse(&Sealed::new(bytes.to_vec())) else { return false };
    assert!(upload.tag_count() <= MAX_TAGS);
    assert!(PADDED.contains(&(upload.ct_len() - SEAL_OVERHEAD)));
    let tags: Vec<_> = (0..upload.tag_count()).filter_map(|k| upload.tag(k)).collect();
    assert_eq!(tags.len(), upload.tag_count());
    assert_eq!(upload.tag(tags.len()), None);
    // What any recipient is handed parses, and is the same but for its tag.
    let shared = upload.shared.as_bytes();
    let one = [shared, &tags.first().copied().unwrap_or([0; TAG_LEN])].concat();
    let split = delivered_shape(&one);
    assert!(split.is_some());
    let Some(split) = split else { return false };
    assert_eq!(write_upload(&split.header, split.commit, split.ct, &tags), bytes);
    true
}

pub(crate) fn delivered(bytes: &[u8]) -> bool {
    if delivered_shape(bytes).is_none() {
        return false;
    }
    // What Bob's device was never sent does not open.
    if !world().delivered.iter().any(|sent| sent == bytes) {
        let mut state = world().bob_state.clone();
        assert!(state.open(bytes, NOW).is_err());
        assert_eq!(state, world().bob_state, "a refused message changes nothing");
    }
    true
}

fn delivered_shape(bytes: &[u8]) -> Option<Delivered<'_>> {
    let message = Delivered::parse(bytes).ok()?;
    assert!(PADDED.contains(&(message.ct.len() - SEAL_OVERHEAD)));
    assert_eq!(message.header.to_bytes(), message.header_bytes);
    let tags = [*message.tag];
    let upload = write_upload(&message.header, message.commit, message.ct, &tags);
    let (shared, tag) = bytes.split_at(bytes.len() - TAG_LEN);
    assert_eq!(upload, [shared, &[1], tag].concat());
    Some(message)
}

pub(crate) fn qr(bytes: &[u8]) -> bool {
    let Ok(payload) = QrPayload::parse(bytes) else { return false };
    assert_eq!(payload.to_bytes()[..], *bytes);
    let (alice, bob) = (&world().alice.log, &world().bob.log);
    let is_newest = payload.shows == alice.point() && payload.scans == bob.point();
    assert_eq!(payload.check(bob, alice) == QrCheck::Equal, is_newest);
    true
}

pub(crate) fn evidence(bytes: &[u8]) -> bool {
    let Ok(evidence) = Evidence::parse(bytes) else { return false };
    assert_eq!(evidence.to_bytes()[..], *bytes);
    let (from, to) = (world().alice.log.user(), world().bob.log.user());
    let device = world().alice.keys[0].device_id();
    let judge = |key| evidence.check(key, Suite::NaCl, from, device, to);
    // Nobody without the server's key makes a stamp, and that proves only what Alice sent.
    assert!(matches!(judge(&[7; 32]), Err(ReportError::Commit | ReportError::Stamp)));
    let begins = [&evidence.header[..], &evidence.commit].concat();
    let sent = world().delivered.iter().any(|message| message.starts_with(&begins));
    let proven = judge(&K_SRV).is_ok();
    assert!(!proven || (sent && evidence.time_ms == NOW));
    proven
}
