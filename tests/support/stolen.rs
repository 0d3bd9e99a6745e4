//! A device's store as a thief has it, with its key file: read by its documented layout and not
//! by the SDK, so that nothing that lies in it is overlooked. Two of them tell what was written
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use diesel::connection::Connection as _;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Integer};
use dryoc::classic::crypto_aead_xchacha20poly1305_ietf::crypto_aead_xchacha20poly1305_ietf_decrypt;
use dryoc::classic::crypto_generichash::crypto_generichash;

/// The space of contacts.
pub const PEERS: i32 = 3;
/// The space of prekey secrets.
pub const PREKEYS: i32 = 2;
/// The space of the keys of epochs.
pub const EPOCHS: i32 = 5;

#[derive(QueryableByName)]
struct Head {
    #[diesel(sql_type = Integer)]
    source: i32,
    #[diesel(sql_type = Binary)]
    salt: Vec<u8>,
    #[diesel(sql_type = Integer)]
    passes: i32,
    #[diesel(sql_type = Integer)]
    memory_kib: i32,
    #[diesel(sql_type = Binary)]
    data_key: Vec<u8>,
}

#[derive(QueryableByName)]
struct SealedRow {
    #[diesel(sql_type = Integer)]
    space: i32,
    #[diesel(sql_type = Binary)]
    name: Vec<u8>,
    #[diesel(sql_type = Integer)]
    until_day: i32,
    #[diesel(sql_type = Binary)]
    value: Vec<u8>,
}

/// An opened row.
pub struct Row {
    pub space: i32,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// As it lies in the file.
    pub sealed: Vec<u8>,
}

/// A store at one moment.
pub struct Stolen {
    pub rows: Vec<Row>,
    /// The file and what lies beside it, byte by byte.
    raw: Vec<Vec<u8>>,
}

impl Stolen {
    /// A copy of it, also while a program has it open and writes nothing.
    pub fn from(home: &Path) -> Self {
        let raw = raw(home);
        let key = fs::read(home.join("store.key")).unwrap();
        let copy = tempfile::NamedTempFile::new().unwrap();
        fs::copy(home.join("store.db"), copy.path()).unwrap();
        let path = copy.path().display().to_string();
        let mut db = SqliteConnection::establish(&path).unwrap();
        let head: Head = diesel::sql_query("SELECT * FROM head").get_result(&mut db).unwrap();
        let mut place = b"hushwire store head v1".to_vec();
        for number in [head.source, head.passes, head.memory_kib] {
            place.extend_from_slice(&number.to_be_bytes());
        }
        place.extend_from_slice(&head.salt);
        let data_key = open(&key, &place, &head.data_key);
        let mut rows_key = [0; 32];
        crypto_generichash(&mut rows_key, b"hushwire store rows v1", Some(&data_key)).unwrap();
        let rows: Vec<SealedRow> = diesel::sql_query("SELECT * FROM row").load(&mut db).unwrap();
        let rows = rows.into_iter().map(|row| {
            let mut place = b"hushwire store row v1".to_vec();
            place.push(row.space as u8);
            place.extend_from_slice(&row.name);
            place.extend_from_slice(&row.until_day.to_be_bytes());
            let text = open(&rows_key, &place, &row.value);
            let len = usize::from(u16::from_be_bytes([text[0], text[1]]));
            let (key, value) = text[2..].split_at(len);
            let (key, value) = (key.to_vec(), value.to_vec());
            Row { space: row.space, key, value, sealed: row.value }
        });
        Self { rows: rows.collect(), raw }
    }

    /// The space and key of each row that was changed or added after, or is gone.
    pub fn moved(&self, after: &Self) -> Vec<(i32, Vec<u8>)> {
        let of = |stolen: &Self| -> BTreeMap<(i32, Vec<u8>), Vec<u8>> {
            let rows = stolen.rows.iter();
            rows.map(|row| ((row.space, row.key.clone()), row.value.clone())).collect()
        };
        let (before, after) = (of(self), of(after));
        let places: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        places.into_iter().filter(|place| before.get(place) != after.get(place)).collect()
    }

    /// The rows of a space.
    pub fn of(&self, space: i32) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.space == space).collect()
    }

    /// Whether any opened row holds these bytes.
    pub fn holds(&self, secret: &[u8]) -> bool {
        self.rows.iter().any(|row| contains(&row.value, secret) || contains(&row.key, secret))
    }

    /// Whether any part of these bytes still lies in a file.
    pub fn has_left_of(&self, sealed: &[u8]) -> bool {
        self.raw.iter().any(|file| sealed.chunks_exact(32).any(|part| contains(file, part)))
    }
}

/// The store's file and what lies beside it, at any time.
pub fn raw(home: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| !path.ends_with("store.key"));
    files.map(|path| fs::read(path).unwrap()).collect()
}

/// Whether `part` lies anywhere in `whole`.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

fn open(key: &[u8], place: &[u8], sealed: &[u8]) -> Vec<u8> {
    let (nonce, ct) = sealed.split_first_chunk::<24>().unwrap();
    let mut out = vec![0; ct.len() - 16];
    let key = key.try_into().unwrap();
    crypto_aead_xchacha20poly1305_ietf_decrypt(&mut out, ct, Some(place), nonce, key).unwrap();
    out
}
