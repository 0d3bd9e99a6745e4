//! Files: what comes out again, and every way in which one is refused (CRYPTO 7, test 28).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::random;
use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_init_pull,
    crypto_secretstream_xchacha20poly1305_push,
};
use hushwire_e2ee::ContentId;
use hushwire_e2ee::content::FileContent;
use hushwire_e2ee::file::{
    CHUNK, CT_CHUNK, Check, Checked, Encryptor, FileError, FileKey, LARGE_MAX, ct_size, padme,
};
use hushwire_identity::Code;
use hushwire_identity::hash::{Label, hash};
use proptest::prelude::*;

const ID: ContentId = ContentId([0x1d; 16]);

fn plain(size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from(i % 251).unwrap() + 1).collect()
}

fn content(size: u64, key: FileKey) -> FileContent {
    let (mime, name) = (String::new(), String::new());
    FileContent { mime, name, size, blob: [0; 16], key, thumbnail: Vec::new() }
}

/// Encrypts in pieces of `piece` bytes.
fn encrypt(plain: &[u8], piece: usize) -> (FileContent, Vec<u8>) {
    let size = plain.len() as u64;
    let mut encryptor = Encryptor::new(ID, size, &mut random(1)).unwrap();
    let mut ct = Vec::new();
    for piece in plain.chunks(piece) {
        ct.extend_from_slice(&encryptor.push(piece).unwrap());
    }
    let (rest, key) = encryptor.finish().unwrap();
    ct.extend_from_slice(&rest);
    assert_eq!(Some(ct.len() as u64), ct_size(size));
    (content(size, key), ct)
}

fn check(file: &FileContent, ct: &[u8], piece: usize) -> Result<Checked, FileError> {
    let mut check = Check::new(ID, file)?;
    for piece in ct.chunks(piece) {
        check.push(piece)?;
    }
    check.finish()
}

fn decrypt(checked: &Checked, ct: &[u8], piece: usize) -> Result<Vec<u8>, FileError> {
    let mut decryptor = checked.decrypt()?;
    let mut out = Vec::new();
    for piece in ct.chunks(piece) {
        out.extend_from_slice(&decryptor.push(piece)?);
    }
    out.extend_from_slice(&decryptor.finish()?);
    Ok(out)
}

#[track_caller]
fn refused(file: &FileContent, ct: &[u8], error: FileError, code: Code) {
    assert_eq!(check(file, ct, 10_000).map(|_| ()), Err(error));
    assert_eq!(error.code(), code);
}

/// A file as a liar makes it: chunks with tags of its choice, and the right hash over them.
fn forged(chunks: &[(Vec<u8>, u8)]) -> (FileKey, Vec<u8>) {
    let (key, header) = ([7; 32], [8; 24]);
    let mut state = State::new();
    crypto_secretstream_xchacha20poly1305_init_pull(&mut state, &header, &key);
    let mut ct = Vec::new();
    for (chunk, tag) in chunks {
        let mut out = vec![0; chunk.len() + 17];
        crypto_secretstream_xchacha20poly1305_push(&mut state, &mut out, chunk, Some(&ID.0), *tag)
            .unwrap();
        ct.extend_from_slice(&out);
    }
    (FileKey::new(key, header, hash(Label::File, &[&header, &ct])), ct)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_goes_in_comes_out_in_any_pieces(
        size in 0..200_000_usize, one in 1..100_000_usize, other in 1..100_000_usize,
    ) {
        let plain = plain(size);
        let (file, ct) = encrypt(&plain, one);
        let checked = check(&file, &ct, other).unwrap();
        prop_assert_eq!(decrypt(&checked, &ct, one).unwrap(), plain);
    }
}

#[test]
fn the_bounds_of_chunks_and_padding() {
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 1_000_000] {
        let plain = plain(size);
        let (file, ct) = encrypt(&plain, 50_000);
        let checked = check(&file, &ct, CT_CHUNK).unwrap();
        assert_eq!(checked.size(), size as u64);
        assert_eq!(decrypt(&checked, &ct, 1_000_000).unwrap(), plain, "{size}");
    }
}

#[test]
fn libsodium_reads_what_is_written() {
    // The same chunks made by the primitive alone give the same bytes.
    let mut padded = plain(100_000);
    padded.resize(usize::try_from(padme(100_000)).unwrap(), 0);
    let (first, last) = padded.split_at(CHUNK);
    let (key, ct) = forged(&[(first.to_vec(), 0), (last.to_vec(), 3)]);
    let checked = check(&content(100_000, key), &ct, 9_999).unwrap();
    assert_eq!(decrypt(&checked, &ct, 9_999).unwrap(), plain(100_000));
}

#[test]
fn truncated_and_longer_files_are_refused() {
    let (file, ct) = encrypt(&plain(150_000), 50_000);
    for keep in [0, 1, CT_CHUNK, 2 * CT_CHUNK, ct.len() - 1] {
        refused(&file, &ct[..keep], FileError::Size, Code::BadContent);
    }
    refused(&file, &[&ct[..], &[0]].concat(), FileError::Size, Code::BadContent);
    // In the second pass too.
    let checked = check(&file, &ct, 1_000_000).unwrap();
    assert_eq!(decrypt(&checked, &ct[..CT_CHUNK], 9_999), Err(FileError::Size));
    assert_eq!(decrypt(&checked, &[&ct[..], &[0]].concat(), 9_999), Err(FileError::Size));
}

#[test]
fn chunks_of_other_order_key_content_or_bits_are_refused() {
    let (file, ct) = encrypt(&plain(3 * CHUNK), 50_000);
    let (first, rest) = ct.split_at(CT_CHUNK);
    let (second, third) = rest.split_at(CT_CHUNK);
    let swapped = [second, first, third].concat();
    refused(&file, &swapped, FileError::Chunk, Code::BadAead);
    let twice = [first, first, third].concat();
    refused(&file, &twice, FileError::Chunk, Code::BadAead);
    for at in [0, CHUNK / 2, CT_CHUNK - 1, CT_CHUNK, ct.len() - 1] {
        let mut broken = ct.clone();
        broken[at] ^= 1;
        refused(&file, &broken, FileError::Chunk, Code::BadAead);
    }
    let mut key = file.key.clone();
    key.header[0] ^= 1;
    refused(&content(file.size, key), &ct, FileError::Chunk, Code::BadAead);
    let other = FileKey::new([9; 32], file.key.header, file.key.ct_hash);
    refused(&content(file.size, other), &ct, FileError::Chunk, Code::BadAead);
    let mut check = Check::new(ContentId([2; 16]), &file).unwrap();
    assert_eq!(check.push(&ct), Err(FileError::Chunk), "announced by another content");
}

#[test]
fn the_end_is_marked_and_only_the_end() {
    let half = plain(CHUNK);
    let size = 2 * CHUNK as u64;
    let (key, ct) = forged(&[(half.clone(), 0), (half.clone(), 0)]);
    refused(&content(size, key), &ct, FileError::Final, Code::BadContent);
    let (key, ct) = forged(&[(half.clone(), 3), (half.clone(), 3)]);
    refused(&content(size, key), &ct, FileError::Final, Code::BadContent);
    for odd in [1, 2] {
        let (key, ct) = forged(&[(half.clone(), odd), (half.clone(), 3)]);
        refused(&content(size, key), &ct, FileError::Final, Code::BadContent);
    }
    let (key, ct) = forged(&[(half.clone(), 0), (half, 3)]);
    assert!(check(&content(size, key), &ct, 9_999).is_ok());
}

#[test]
fn another_hash_is_refused_at_the_end() {
    let (file, ct) = encrypt(&plain(100_000), 50_000);
    let mut key = file.key.clone();
    key.ct_hash[31] ^= 1;
    refused(&content(file.size, key), &ct, FileError::Hash, Code::BadContent);
}

#[test]
fn a_lie_about_the_size_is_refused_and_never_shows_more() {
    let (file, ct) = encrypt(&plain(150_000), 50_000);
    let lie = |size| content(size, file.key.clone());
    assert_eq!(padme(149_999), padme(150_000));
    refused(&lie(149_999), &ct, FileError::Padding, Code::BadContent);
    refused(&lie(65_536), &ct, FileError::Size, Code::BadContent);
    refused(&lie(1_000_000), &ct, FileError::Size, Code::BadContent);
    refused(&lie(LARGE_MAX + 1), &ct, FileError::TooLarge, Code::Limit);
    // A size that is larger within the same padding shows zeros, never foreign bytes.
    let more = 150_000 + 10;
    assert_eq!(padme(more), padme(150_000));
    let checked = check(&lie(more), &ct, 9_999).unwrap();
    let shown = decrypt(&checked, &ct, 9_999).unwrap();
    assert_eq!(shown.len() as u64, more);
    assert!(shown[150_000..].iter().all(|byte| *byte == 0));
}

#[test]
fn encrypting_wants_the_bytes_that_were_announced() {
    let new = |size| Encryptor::new(ID, size, &mut random(1));
    assert_eq!(new(LARGE_MAX + 1).map(|_| ()), Err(FileError::TooLarge));
    let mut more = new(10).unwrap();
    assert_eq!(more.push(&[0; 11]), Err(FileError::Size));
    let mut fewer = new(10).unwrap();
    fewer.push(&[0; 9]).unwrap();
    assert_eq!(fewer.finish().map(|_| ()), Err(FileError::Size));
    let none = Encryptor::new(ID, 1, &mut |_: &mut [u8]| Err(hushwire_e2ee::RandomError));
    assert_eq!(none.map(|_| ()), Err(FileError::Random));
}

#[test]
fn debug_shows_no_key() {
    let (file, ct) = encrypt(&plain(10), 10);
    let checked = check(&file, &ct, 10).unwrap();
    assert_eq!(format!("{:?}", file.key), "FileKey(..)");
    assert_eq!(
        format!("{checked:?}"),
        "Checked { id: ContentId(1d1d1d1d..), size: 10, key: FileKey(..) }"
    );
}
