//! A file that is encrypted, changed as the script says, and read in pieces: only what was written
//! is released, and all of it.

use hushwire_e2ee::ContentId;
use hushwire_e2ee::content::FileContent;
use hushwire_e2ee::file::{CHUNK, Check, Encryptor, FileError, FileKey, ct_size};

use crate::fixture::random;
use crate::script::Script;

const ID: ContentId = ContentId([7; 16]);
/// Around the ends of chunks and of padding.
const SIZES: [usize; 9] = [0, 1, 2, 300, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 150_000];

pub(crate) fn run(bytes: &[u8]) -> bool {
    let mut script = Script::new(bytes);
    let size = SIZES[script.below(SIZES.len())];
    let plain: Vec<u8> = (0..size).map(|i| i.to_le_bytes()[0]).collect();
    let Ok((ct, key)) = encrypt(&plain) else { return false };
    assert_eq!(Some(ct.len() as u64), ct_size(size as u64));
    let mut file = content(size as u64, key);
    let mut read = ct.clone();
    // Anywhere in it, and at its end.
    let (place, with) = (usize::from(script.u16()), script.byte());
    let at = place * read.len() / (1 << 16);
    if let Some(byte) = read.get_mut(at) {
        *byte ^= with;
    }
    script.damage(&mut read);
    // Two changes may undo each other.
    let mut damaged = read != ct;
    if script.byte() == 1 {
        let mut other = *file.key.key();
        other[script.below(32)] ^= 1;
        file.key = FileKey::new(other, file.key.header, file.key.ct_hash);
        damaged = true;
    }
    let piece = 1 + 4 * usize::from(script.u16());
    match decrypt(&file, &read, piece.max(read.len() / 64)) {
        Ok(out) => {
            assert!(!damaged, "a damaged file was released");
            assert_eq!(out, plain);
        }
        Err(_) => assert!(damaged, "a whole file was refused"),
    }
    !damaged
}

fn encrypt(plain: &[u8]) -> Result<(Vec<u8>, FileKey), FileError> {
    let mut random = random(5);
    let mut encryptor = Encryptor::new(ID, plain.len() as u64, &mut random)?;
    let mut ct = encryptor.push(plain)?;
    let (rest, key) = encryptor.finish()?;
    ct.extend_from_slice(&rest);
    Ok((ct, key))
}

/// Both passes, in pieces of so many bytes.
fn decrypt(file: &FileContent, ct: &[u8], piece: usize) -> Result<Vec<u8>, FileError> {
    let mut check = Check::new(ID, file)?;
    for part in ct.chunks(piece.max(1)) {
        check.push(part)?;
    }
    let checked = check.finish()?;
    assert_eq!(checked.size(), file.size);
    let mut decryptor = checked.decrypt()?;
    let mut out = Vec::new();
    for part in ct.chunks(piece.max(1)) {
        out.extend_from_slice(&decryptor.push(part)?);
    }
    out.extend_from_slice(&decryptor.finish()?);
    Ok(out)
}

fn content(size: u64, key: FileKey) -> FileContent {
    FileContent {
        mime: "image/png".to_owned(),
        name: "a.png".to_owned(),
        size,
        blob: [1; 16],
        key,
        thumbnail: vec![5; 20],
    }
}
