use proptest::prelude::*;

use super::*;
use crate::file::{FileKey, LARGE_MAX, ct_size};

const AT: u64 = 20_000 * 86_400_000;

fn content(body: Body) -> Content {
    Content { id: ContentId([7; 16]), sent_ms: AT, prev_sent: 2, seen: vec![3; 4], body }
}

fn text(text: &str) -> Content {
    content(Body::Text { reply_to: None, text: text.to_owned() })
}

fn file(size: u64) -> FileContent {
    FileContent {
        mime: "image/png".to_owned(),
        name: "a.png".to_owned(),
        size,
        blob: [1; 16],
        key: FileKey::new([2; 32], [3; 24], [4; 32]),
        thumbnail: vec![5; 100],
    }
}

fn call(kind: CallKind, payload: &[u8]) -> Call {
    Call { call_id: [1; 16], kind, expires_ms: AT + 60_000, payload: payload.to_vec() }
}

/// The content's bytes with other bytes for its body.
fn with_body(of: &Content, body: &[u8]) -> Vec<u8> {
    let mut padded = of.to_padded().unwrap().to_vec();
    let at = CONTENT_OVERHEAD - 4 + 4 * of.seen.len();
    padded.truncate(at);
    padded.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    padded.extend_from_slice(body);
    let size = PADDED.into_iter().find(|size| *size >= padded.len()).unwrap();
    padded.resize(size, 0);
    padded
}

fn parse(of: &Content, padded: &[u8]) -> Result<Received, ContentError> {
    let (class, lane) = of.body.class_and_lane();
    Content::parse(padded, class, lane)
}

/// The field at which a body of `of`'s type is refused.
fn refused(of: &Content, body: &[u8]) -> &'static str {
    match parse(of, &with_body(of, body)) {
        Err(ContentError::Layout(error)) => error.field,
        other => panic!("{other:?}"),
    }
}

fn id() -> impl Strategy<Value = ContentId> {
    any::<[u8; 16]>().prop_filter("zero is none", |id| *id != [0; 16]).prop_map(ContentId)
}

fn text_body() -> impl Strategy<Value = Body> {
    (prop::option::of(id()), ".{0,300}").prop_map(|(reply_to, text)| Body::Text { reply_to, text })
}

fn reaction() -> impl Strategy<Value = Body> {
    let symbol = prop::sample::select(vec!["", "+", "\u{1f44d}\u{1f3fd}", "e\u{301}", "\r\n"]);
    (id(), symbol).prop_map(|(target, symbol)| Body::Reaction { target, symbol: symbol.to_owned() })
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn file_body() -> impl Strategy<Value = Body> {
    let key = (any::<[u8; 32]>(), any::<[u8; 24]>(), any::<[u8; 32]>());
    (".{0,60}", ".{0,300}", 0..=LARGE_MAX, any::<[u8; 16]>(), key, bytes(2000)).prop_map(
        |(mime, name, size, blob, (key, header, ct_hash), thumbnail)| {
            let key = FileKey::new(key, header, ct_hash);
            Body::File(Box::new(FileContent { mime, name, size, blob, key, thumbnail }))
        },
    )
}

fn call_body() -> impl Strategy<Value = Body> {
    use CallKind::{Answer, End, Ice, Offer};
    let kind = prop::sample::select(vec![Offer, Answer, Ice, End]);
    let payload = prop::collection::vec(any::<u8>(), 32..3000);
    (any::<[u8; 16]>(), kind, 0..=AT + 60_000, payload).prop_map(
        |(call_id, kind, expires_ms, payload)| {
            Body::Call(Call { call_id, kind, expires_ms, payload })
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let kind = prop_oneof![Just(ReceiptKind::Delivered), Just(ReceiptKind::Read)];
    let items =
        (id(), prop_oneof![text_body(), reaction()]).prop_map(|(id, body)| Item { id, body });
    let sync = (1..=7_u8).prop_map(|sub| SyncKind::from_number(sub).unwrap());
    prop_oneof![
        text_body(),
        (id(), any::<u16>(), ".{0,300}").prop_map(|(target, rev, text)| Body::Edit {
            target,
            rev,
            text
        }),
        id().prop_map(|target| Body::Remove { target }),
        file_body(),
        call_body(),
        (kind, prop::collection::vec(id(), 1..=RECEIPT_IDS_MAX))
            .prop_map(|(kind, of)| Body::Receipt { kind, of }),
        (sync, bytes(3000)).prop_map(|(kind, payload)| Body::SelfSync { kind, payload }),
        any::<bool>().prop_map(|on| Body::Typing { on }),
        reaction(),
        any::<u32>().prop_map(|seconds| Body::Timer { seconds }),
        prop::collection::vec(items, 1..=BATCH_MAX).prop_map(Body::Batch),
        ".{0,60}".prop_map(|name| Body::Profile { name }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_back(
        id: [u8; 16], prev_sent: u32,
        seen in prop::collection::vec(any::<u32>(), 0..=ROSTER_MAX), body in body(),
    ) {
        let content = Content { id: ContentId(id), sent_ms: AT, prev_sent, seen, body };
        let padded = content.to_padded().unwrap();
        prop_assert!(PADDED.contains(&padded.len()));
        prop_assert!(padded.len() <= content.body.padded_max());
        prop_assert_eq!(parse(&content, &padded), Ok(Received::Content(content)));
    }

    #[test]
    fn what_is_read_is_written_back(kind in 1..=12_u8, at: prop::sample::Index, to: u8, body in body()) {
        // One changed byte, read under any type: if it is taken, it has no other form.
        let mut bytes = body.to_bytes().unwrap().to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(Some(read)) = Body::parse(kind, &bytes) {
            prop_assert_eq!(read.to_bytes().unwrap().to_vec(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind: u8, bytes in bytes(600)) {
        let _ = Content::parse(&bytes, Class::Text, 0);
        let _ = Body::parse(kind, &bytes);
        for kind in 1..=12 {
            if let Ok(Some(read)) = Body::parse(kind, &bytes) {
                prop_assert_eq!(read.kind(), kind);
                prop_assert_eq!(read.to_bytes().unwrap().to_vec(), bytes.clone());
            }
        }
    }

    #[test]
    fn fingerprints_of_arbitrary_bytes_never_panic(sdp in bytes(300)) {
        let _ = call::fingerprint(&sdp);
    }
}

#[test]
fn padding_takes_the_smallest_size_and_must_be_zero() {
    let fits = 256 - CONTENT_OVERHEAD - 16 - 16;
    assert_eq!(text(&"x".repeat(fits)).to_padded().unwrap().len(), 256);
    assert_eq!(text(&"x".repeat(fits + 1)).to_padded().unwrap().len(), 512);
    assert_eq!(text(&"x".repeat(TEXT_MAX)).to_padded().unwrap().len(), 65_536);
    assert_eq!(text(&"x".repeat(TEXT_MAX + 1)).to_padded(), Err(ContentError::Size));
    let mut padded = text("hello").to_padded().unwrap();
    padded[255] = 1;
    assert!(matches!(
        Content::parse(&padded, Class::Text, 0),
        Err(ContentError::Layout(LayoutError { field: "content", .. }))
    ));
}

#[test]
fn types_must_fit_class_and_lane_and_unknown_ones_are_told_apart() {
    let mut padded = text("hello").to_padded().unwrap();
    assert_eq!(Content::parse(&padded, Class::Edit, 0), Ok(Received::Mismatch(1)));
    assert_eq!(Content::parse(&padded, Class::Control, 0), Ok(Received::Mismatch(1)));
    padded[1] = 200;
    assert_eq!(Content::parse(&padded, Class::Text, 0), Ok(Received::UnknownType(200)));
    padded[0] = 2;
    assert!(Content::parse(&padded, Class::Text, 0).is_err());
    let sync = content(Body::SelfSync { kind: SyncKind::Pins, payload: vec![1] });
    let unknown = with_body(&sync, &[8, 0, 0, 0, 0]);
    assert_eq!(parse(&sync, &unknown), Ok(Received::UnknownType(7)), "a kind of self-sync");
}

#[test]
fn every_type_has_its_class_lane_and_bound() {
    use Class::{Call, Control, Edit, Reaction, Remove, Text};
    let target = ContentId([1; 16]);
    let rows: [(Body, u8, Class, u8, usize); 12] = [
        (text("x").body, 1, Text, 0, 65_536),
        (Body::Edit { target, rev: 1, text: String::new() }, 2, Edit, 0, 65_536),
        (Body::Remove { target }, 3, Remove, 0, 512),
        (Body::File(Box::new(file(1))), 4, Class::FileSmall, 0, 65_536),
        (Body::Call(call(CallKind::End, &[])), 5, Call, 1, 16_384),
        (Body::Receipt { kind: ReceiptKind::Read, of: vec![target] }, 6, Control, 0, 512),
        (Body::SelfSync { kind: SyncKind::Names, payload: vec![] }, 7, Control, 0, 65_536),
        (Body::Typing { on: true }, 8, Control, 1, 256),
        (Body::Reaction { target, symbol: "+".to_owned() }, 9, Reaction, 0, 512),
        (Body::Timer { seconds: 1 }, 10, Reaction, 0, 512),
        (Body::Batch(vec![Item { id: target, body: text("x").body }]), 11, Text, 0, 65_536),
        (Body::Profile { name: "Alice".to_owned() }, 12, Control, 0, 512),
    ];
    for (body, kind, class, lane, max) in rows {
        assert_eq!(body.kind(), kind);
        assert_eq!(body.class_and_lane(), (class, lane), "type {kind}");
        assert_eq!(body.padded_max(), max, "type {kind}");
        assert_eq!(body.fits_pair(false), kind != 7, "type {kind}");
        assert!(body.fits_pair(true));
        // One padding more than the type may have.
        let content = content(body);
        let mut padded = content.to_padded().unwrap().to_vec();
        padded.resize(max, 0);
        assert!(matches!(parse(&content, &padded), Ok(Received::Content(_))), "type {kind}");
        padded.resize(2 * max, 0);
        assert_eq!(parse(&content, &padded), Err(ContentError::Size), "type {kind}");
    }
}

#[test]
fn bodies_that_fill_more_than_their_type_may_are_not_written() {
    let payload = |n| content(Body::Call(call(CallKind::Ice, &vec![0; n])));
    let fits = CALL_MAX - CONTENT_OVERHEAD - 16 - 27;
    assert_eq!(payload(fits).to_padded().unwrap().len(), CALL_MAX);
    assert_eq!(payload(fits + 1).to_padded(), Err(ContentError::Size));
    let sync = |n| content(Body::SelfSync { kind: SyncKind::History, payload: vec![0; n] });
    let fits = CONTENT_MAX - CONTENT_OVERHEAD - 16 - 5;
    assert_eq!(sync(fits).to_padded().unwrap().len(), CONTENT_MAX);
    assert_eq!(sync(fits + 1).to_padded(), Err(ContentError::Size));
    let edit = |n| content(Body::Edit { target: ContentId([1; 16]), rev: 1, text: "x".repeat(n) });
    assert_eq!(edit(EDIT_MAX).to_padded().unwrap().len(), CONTENT_MAX);
    assert_eq!(edit(EDIT_MAX + 1).to_padded(), Err(ContentError::Size));
    let name = |n| content(Body::Profile { name: "x".repeat(n) });
    assert_eq!(name(NAME_MAX).to_padded().unwrap().len(), 512);
    assert_eq!(name(NAME_MAX + 1).to_padded(), Err(ContentError::Size));
}

#[test]
fn receipts_are_bounded_and_stay_small() {
    let receipt = |n| Content {
        seen: vec![0; ROSTER_MAX],
        ..content(Body::Receipt { kind: ReceiptKind::Read, of: vec![ContentId([1; 16]); n] })
    };
    assert_eq!(RECEIPT_IDS_MAX, 25);
    assert_eq!(receipt(RECEIPT_IDS_MAX).to_padded().unwrap().len(), 512);
    assert_eq!(receipt(RECEIPT_IDS_MAX + 1).to_padded(), Err(ContentError::Size));
    assert_eq!(receipt(0).to_padded(), Err(ContentError::Size));
    let of = receipt(1);
    assert_eq!(refused(&of, &[3, 0, 1]), "receipt.kind");
    assert_eq!(refused(&of, &[2, 0, 0]), "receipt.n");
    assert_eq!(refused(&of, &[2, 0, 26]), "receipt.n");
    assert_eq!(refused(&of, &[2, 0, 1, 9]), "receipt.ids");
}

#[test]
fn a_batch_holds_texts_and_reactions_and_at_most_sixteen() {
    let item = |body| Item { id: ContentId([1; 16]), body };
    let batch = |n| content(Body::Batch(vec![item(text("x").body); n]));
    assert!(batch(BATCH_MAX).to_padded().is_ok());
    assert_eq!(batch(0).to_padded(), Err(ContentError::Size));
    assert_eq!(batch(BATCH_MAX + 1).to_padded(), Err(ContentError::Size));
    let timer = content(Body::Batch(vec![item(Body::Timer { seconds: 1 })]));
    assert_eq!(timer.to_padded(), Err(ContentError::Pairing));
    let nested = content(Body::Batch(vec![item(batch(1).body)]));
    assert_eq!(nested.to_padded(), Err(ContentError::Pairing));
    let of = batch(1);
    assert_eq!(refused(&of, &[0]), "batch.n");
    assert_eq!(refused(&of, &[17]), "batch.n");
    let timer = [&[1][..], &[1; 16], &[10, 0, 0, 0, 4, 0, 0, 0, 1]].concat();
    assert_eq!(refused(&of, &timer), "batch.type");
    let short = [&[2][..], &[1; 16], &[1, 0, 0, 0, 16], &[0; 16]].concat();
    assert_eq!(refused(&of, &short), "batch.content_id");
    let left_over = [&[1][..], &[1; 16], &[1, 0, 0, 0, 16], &[0; 17]].concat();
    assert_eq!(refused(&of, &left_over), "content.body");
}

#[test]
fn a_reaction_is_one_grapheme_or_nothing() {
    let target = ContentId([1; 16]);
    let reaction = |symbol: &str| content(Body::Reaction { target, symbol: symbol.to_owned() });
    let of = reaction("+");
    // A couple with skin tones: five code points with three joiners, 35 bytes.
    let couple =
        "\u{1f469}\u{1f3fb}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f48b}\u{200d}\u{1f468}\u{1f3ff}";
    for good in ["", "+", couple, "e\u{301}"] {
        assert!(is_reaction(good) && reaction(good).to_padded().is_ok(), "{good}");
    }
    let tower = format!("e{}", "\u{301}".repeat(32));
    assert_eq!(tower.len(), 65);
    for bad in ["ab", "+ ", &tower] {
        assert_eq!(reaction(bad).to_padded(), Err(ContentError::Size));
        let item = Item { id: target, body: reaction(bad).body };
        assert_eq!(content(Body::Batch(vec![item])).to_padded(), Err(ContentError::Size));
        let len = u8::try_from(bad.len()).unwrap();
        let body = [&[1; 16][..], &[len], bad.as_bytes()].concat();
        if len > 64 {
            assert_eq!(refused(&of, &body), "reaction.symbol");
        } else {
            // Another version of Unicode may see one where this one sees two.
            let read = parse(&of, &with_body(&of, &body));
            assert_eq!(read, Ok(Received::Content(reaction(bad))));
        }
    }
    assert_eq!(
        (first_grapheme("ab"), first_grapheme(couple), first_grapheme("")),
        ("a", couple, "")
    );
}

#[test]
fn a_file_has_the_class_of_its_size_and_no_larger_one() {
    for (size, class) in [
        (0, Class::FileSmall),
        (1 << 20, Class::FileSmall),
        ((1 << 20) + 1, Class::FileMedium),
        ((16 << 20) + 1, Class::FileLarge),
        (LARGE_MAX, Class::FileLarge),
    ] {
        let content = content(Body::File(Box::new(file(size))));
        let padded = content.to_padded().unwrap();
        assert_eq!(content.body.class_and_lane(), (class, 0));
        for other in [Class::FileSmall, Class::FileMedium, Class::FileLarge] {
            let read = Content::parse(&padded, other, 0).unwrap();
            assert_eq!(matches!(read, Received::Mismatch(4)), other != class, "{size}");
        }
    }
    let too_large = content(Body::File(Box::new(file(LARGE_MAX + 1))));
    assert_eq!(too_large.to_padded(), Err(ContentError::Size));
    let picture = FileContent { thumbnail: vec![0; THUMBNAIL_MAX + 1], ..file(1) };
    assert_eq!(content(Body::File(Box::new(picture))).to_padded(), Err(ContentError::Size));
    let name = FileContent { name: "x".repeat(65_536), ..file(1) };
    assert_eq!(content(Body::File(Box::new(name))).to_padded(), Err(ContentError::Size));
    let mime = FileContent { mime: "x".repeat(256), ..file(1) };
    assert_eq!(content(Body::File(Box::new(mime))).to_padded(), Err(ContentError::Size));

    let of = content(Body::File(Box::new(file(1))));
    let sizes = |size: u64, ct: u64| {
        let mut body = vec![0; 3];
        body.extend_from_slice(&size.to_be_bytes());
        body.extend_from_slice(&ct.to_be_bytes());
        body.extend_from_slice(&[0; 16 + 32 + 24 + 32 + 2]);
        body
    };
    assert!(parse(&of, &with_body(&of, &sizes(9, 27))).is_ok());
    assert_eq!(ct_size(9), Some(27));
    assert_eq!(refused(&of, &sizes(9, 28)), "file.ct_size");
    assert_eq!(refused(&of, &sizes(LARGE_MAX + 1, 27)), "file.size");
    let mut thumbnail = sizes(9, 27);
    let end = thumbnail.len();
    thumbnail[end - 2..].copy_from_slice(&16_385_u16.to_be_bytes());
    thumbnail.extend_from_slice(&[0; 16_385]);
    assert_eq!(refused(&of, &thumbnail), "file.thumbnail");
}

#[test]
fn a_call_signal_lasts_at_most_a_minute_and_an_answer_names_its_offer() {
    let of = content(Body::Call(call(CallKind::Ice, b"candidate")));
    let late = Call { expires_ms: AT + 60_001, ..call(CallKind::Ice, b"") };
    let late = content(Body::Call(late));
    assert!(matches!(late.to_padded(), Err(ContentError::Layout(_))));
    let body = |sub: u8, expires: u64, payload: &[u8]| {
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[1; 16][..], &[sub], &expires.to_be_bytes(), &len, payload].concat()
    };
    assert_eq!(refused(&of, &body(3, AT + 60_001, b"")), "call.expires_ms");
    assert_eq!(refused(&of, &body(0, AT, b"")), "call.sub");
    assert_eq!(refused(&of, &body(5, AT, b"")), "call.sub");
    assert_eq!(refused(&of, &body(2, AT, &[0; 31])), "call.payload");
    assert!(parse(&of, &with_body(&of, &body(2, AT, &[0; 32]))).is_ok());
    let short = content(Body::Call(call(CallKind::Answer, &[0; 31])));
    assert_eq!(short.to_padded(), Err(ContentError::Size));
}

#[test]
fn broken_bodies_are_refused() {
    let mut padded = text("hello").to_padded().unwrap();
    let at = CONTENT_OVERHEAD + 16 + 16;
    padded[at] = 0xff;
    assert!(Content::parse(&padded, Class::Text, 0).is_err(), "no UTF-8");
    let mut padded = text("hello").to_padded().unwrap();
    padded[33 + 16 + 1] = 0xff;
    assert!(Content::parse(&padded, Class::Text, 0).is_err(), "longer than the padding");
    let mut padded = text("hello").to_padded().unwrap();
    padded[32] = 17;
    assert!(Content::parse(&padded, Class::Text, 0).is_err(), "more counts than devices");
    let target = ContentId([1; 16]);
    let edit = content(Body::Edit { target, rev: 1, text: String::new() });
    assert_eq!(refused(&edit, &[1; 17]), "edit.rev");
    assert_eq!(refused(&edit, &[[1; 18].as_slice(), &[0xff]].concat()), "edit");
    assert_eq!(refused(&content(Body::Remove { target }), &[1; 17]), "content.body");
    assert_eq!(refused(&content(Body::Remove { target }), &[1; 15]), "remove.target");
    assert_eq!(refused(&content(Body::Typing { on: true }), &[2]), "typing.on");
    assert_eq!(refused(&content(Body::Timer { seconds: 1 }), &[0; 3]), "timer.seconds");
    let profile = content(Body::Profile { name: String::new() });
    assert_eq!(refused(&profile, &[1, 0xff]), "profile.name");
    let sync = content(Body::SelfSync { kind: SyncKind::Names, payload: vec![] });
    assert_eq!(refused(&sync, &[1, 0, 0, 0, 1]), "self_sync.payload");
}

#[test]
fn debug_shows_no_content() {
    let secret = || "a secret".to_owned();
    let target = ContentId([1; 16]);
    let file = FileContent { mime: secret(), name: secret(), ..file(1) };
    let bodies = [
        text("a secret").body,
        Body::Edit { target, rev: 1, text: secret() },
        Body::Remove { target },
        Body::File(Box::new(file)),
        Body::Call(call(CallKind::Offer, b"a secret")),
        Body::Receipt { kind: ReceiptKind::Read, of: vec![target] },
        Body::SelfSync { kind: SyncKind::Drafts, payload: b"a secret".to_vec() },
        Body::Typing { on: true },
        Body::Reaction { target, symbol: "s".to_owned() },
        Body::Timer { seconds: 86_399 },
        Body::Batch(vec![Item { id: target, body: text("a secret").body }]),
        Body::Profile { name: secret() },
    ];
    let shown: Vec<_> = bodies.iter().map(|body| format!("{body:?}")).collect();
    assert_eq!(
        shown,
        [
            "Text(..)",
            "Edit(rev 1, ..)",
            "Remove(..)",
            "File(FileSmall, ..)",
            "Call(Offer, ..)",
            "Receipt(Read, ..)",
            "SelfSync(Drafts, ..)",
            "Typing(true)",
            "Reaction(..)",
            "Timer(..)",
            "Batch(1 items)",
            "Profile(..)",
        ]
    );
    let shown = format!("{:?}", content(bodies[0].clone()));
    assert!(!shown.contains("secret"), "{shown}");
}
