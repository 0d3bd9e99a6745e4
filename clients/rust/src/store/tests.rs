use std::fs;
use std::path::PathBuf;

use super::*;
use crate::ports::SystemRandom;

fn file_key(dir: &tempfile::TempDir) -> StoreKey {
    StoreKey::File(dir.path().join("store.key"))
}

fn passphrase(text: &str) -> StoreKey {
    StoreKey::Passphrase(Zeroizing::new(text.to_owned()), KdfCost::LEAST)
}

fn at(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("store.db")
}

fn open(dir: &tempfile::TempDir, key: &StoreKey) -> Result<Store, OpenStoreError> {
    Store::open(&at(dir), key, Box::new(SystemRandom))
}

fn value(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

#[test]
fn batches_are_kept_and_listed_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let mut store = open(&dir, &file_key(&dir)).unwrap();
        if round == 0 {
            let mut batch = Batch::default();
            batch.put(Space::Peer, b"b", value(b"2"));
            batch.put(Space::Peer, b"a", value(b"0"));
            batch.put(Space::Peer, b"a", value(b"1"));
            batch.put(Space::Epoch, b"a", value(b"other space"));
            batch.put(Space::Sn, b"gone", value(b"x"));
            batch.delete(Space::Sn, b"gone");
            store.write(&batch).unwrap();
        }
        let listed = store.list(Space::Peer).unwrap();
        let plain: Vec<_> = listed.iter().map(|(k, v)| (k.as_slice(), v.as_slice())).collect();
        assert_eq!(plain, [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
        assert!(store.get(Space::Sn, b"gone").unwrap().is_none());
        assert_eq!(**store.get(Space::Epoch, b"a").unwrap().unwrap(), *b"other space");
    }
}

#[test]
fn a_listing_has_all_rows_however_many_pages_they_fill() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    let mut n = 0_u32;
    for rows in [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1] {
        let mut batch = Batch::default();
        while usize::try_from(n).unwrap() < rows {
            batch.put(Space::Leaving, &n.to_be_bytes(), value(b"x"));
            n += 1;
        }
        batch.put(Space::History, b"beside", value(b"x"));
        store.write(&batch).unwrap();
        let listed = store.list(Space::Leaving).unwrap();
        let keys: Vec<_> = listed.into_iter().map(|(key, _)| key).collect();
        let all: Vec<_> = (0..n).map(|n| n.to_be_bytes().to_vec()).collect();
        assert!(keys == all, "{} of {rows}", keys.len());
    }
}

#[test]
fn nothing_of_what_is_stored_can_be_read_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let canaries = [&b"canary-of-a-row-key"[..], b"canary-of-a-message", &[0xc3; 32]];
    let mut store = open(&dir, &passphrase("canary-passphrase")).unwrap();
    let mut batch = Batch::default();
    batch.put(Space::History, canaries[0], value(canaries[1]));
    batch.put(Space::Own, b"seed", value(canaries[2]));
    store.write(&batch).unwrap();
    let mut again = Batch::default();
    again.put(Space::Own, b"seed", value(b"replaced"));
    store.write(&again).unwrap();
    drop(store);
    let mut seen = 0;
    for file in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        seen += bytes.len();
        for canary in canaries.into_iter().chain([&b"canary-passphrase"[..]]) {
            assert!(!bytes.windows(canary.len()).any(|at| at == canary));
        }
    }
    assert!(seen > 4096, "there was something to search");
}

#[test]
fn the_ciphertext_of_an_erased_row_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    let mut batch = Batch::default();
    batch.put(Space::Epoch, b"old", value(&[7; 3000]));
    store.write(&batch).unwrap();
    let sealed: Vec<u8> = row::table.select(row::value).first(&mut store.db).unwrap();
    let (before, needle) = (fs::read(at(&dir)).unwrap(), &sealed[100..160]);
    assert!(before.windows(60).any(|at| at == needle), "the search finds what is there");
    let mut batch = Batch::default();
    batch.delete(Space::Epoch, b"old");
    store.write(&batch).unwrap();
    for file in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(60).any(|at| at == needle));
    }
}

#[test]
fn wrong_keys_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir, &passphrase("right")).unwrap());
    assert!(matches!(open(&dir, &passphrase("wrong")), Err(OpenStoreError::WrongPassphrase)));
    assert!(matches!(open(&dir, &file_key(&dir)), Err(OpenStoreError::NeedsPassphrase)));
    assert!(open(&dir, &passphrase("right")).is_ok());

    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir, &file_key(&dir)).unwrap());
    assert!(matches!(open(&dir, &passphrase("x")), Err(OpenStoreError::NeedsKeyFile)));
    let key = dir.path().join("store.key");
    let right = fs::read(&key).unwrap();
    fs::write(&key, [1; 32]).unwrap();
    assert!(matches!(open(&dir, &file_key(&dir)), Err(OpenStoreError::WrongKeyFile)));
    fs::remove_file(&key).unwrap();
    let missing = open(&dir, &file_key(&dir));
    assert!(matches!(missing, Err(OpenStoreError::KeyFile(KeyFileError::Missing))));
    assert!(!key.exists(), "no new key beside an old store");
    drop(right);
}

#[test]
fn foreign_and_newer_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = vec![b'x'; 5000];
    fs::write(at(&dir), &garbage).unwrap();
    assert!(matches!(open(&dir, &file_key(&dir)), Err(OpenStoreError::Foreign)));
    assert_eq!(fs::read(at(&dir)).unwrap(), garbage);

    let dir = tempfile::tempdir().unwrap();
    let mut db = SqliteConnection::establish(at(&dir).to_str().unwrap()).unwrap();
    db.batch_execute("CREATE TABLE other (x)").unwrap();
    drop(db);
    assert!(matches!(open(&dir, &file_key(&dir)), Err(OpenStoreError::Foreign)));

    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    store.db.batch_execute("PRAGMA user_version = 2").unwrap();
    drop(store);
    assert!(matches!(open(&dir, &file_key(&dir)), Err(OpenStoreError::Newer)));
}

#[test]
fn a_store_is_open_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir, &file_key(&dir)).unwrap();
    assert!(matches!(open(&dir, &file_key(&dir)), Err(OpenStoreError::Locked)));
    drop(first);
    assert!(open(&dir, &file_key(&dir)).is_ok());
}

#[test]
fn a_file_that_asks_for_too_much_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &passphrase("right")).unwrap();
    store.db.batch_execute("UPDATE head SET memory_kib = 2147483647").unwrap();
    drop(store);
    assert!(matches!(open(&dir, &passphrase("right")), Err(OpenStoreError::Cost)));
}

#[test]
fn swapped_rows_and_a_batch_that_fails_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    let mut batch = Batch::default();
    batch.put(Space::Sn, b"a", value(b"1"));
    batch.put(Space::Sn, b"b", value(b"2"));
    store.write(&batch).unwrap();
    let mut failing = Batch::default();
    failing.put(Space::Sn, b"a", value(b"9"));
    failing.put(Space::Sn, &vec![0; 70_000], value(b"a key that is too long"));
    assert!(store.write(&failing).is_err());
    assert_eq!(**store.get(Space::Sn, b"a").unwrap().unwrap(), *b"1", "nothing was written");
    store
        .db
        .batch_execute("UPDATE row SET value = (SELECT value FROM row ORDER BY name LIMIT 1)")
        .unwrap();
    assert!(matches!(store.list(Space::Sn), Err(StoreError::Damaged)));
}

#[test]
fn rows_are_forgotten_on_their_day() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    let mut batch = Batch::default();
    batch.put_until(Space::Mid, b"old", 100, vec![]);
    batch.put_until(Space::Mid, b"new", 102, vec![]);
    batch.put(Space::Mid, b"kept", value(b""));
    store.write(&batch).unwrap();
    assert_eq!(store.expire(101).unwrap(), 1);
    assert!(!store.has(Space::Mid, b"old").unwrap());
    assert!(store.has(Space::Mid, b"new").unwrap() && store.has(Space::Mid, b"kept").unwrap());
}

#[test]
fn what_was_added_is_read_at_once_and_survives_only_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    for (key, is_committed) in [(b"a", true), (b"b", false)] {
        let mut batch = Batch::default();
        batch.put(Space::Sn, key, value(b"1"));
        store.add(&batch).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::Peer, key, value(b"2"));
        store.add(&batch).unwrap();
        assert!(store.has(Space::Sn, key).unwrap() && store.has(Space::Peer, key).unwrap());
        if is_committed {
            store.commit().unwrap();
            store.commit().unwrap();
        }
    }
    drop(store);
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    assert!(store.has(Space::Sn, b"a").unwrap() && store.has(Space::Peer, b"a").unwrap());
    assert!(!store.has(Space::Sn, b"b").unwrap() && !store.has(Space::Peer, b"b").unwrap());
}

#[test]
fn after_a_failed_write_nothing_of_the_transaction_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    let mut good = Batch::default();
    good.put(Space::Sn, b"a", value(b"1"));
    store.add(&good).unwrap();
    let mut bad = Batch::default();
    bad.put(Space::Sn, b"b", value(b"1"));
    bad.put(Space::Sn, &vec![0; 70_000], value(b"1"));
    assert!(store.add(&bad).is_err(), "a key of this size is refused");
    assert!(matches!(store.add(&good), Err(StoreError::Broken)));
    assert!(matches!(store.commit(), Err(StoreError::Broken)));
    drop(store);
    let mut store = open(&dir, &file_key(&dir)).unwrap();
    assert!(!store.has(Space::Sn, b"a").unwrap() && !store.has(Space::Sn, b"b").unwrap());
}

#[test]
fn an_erased_store_leaves_neither_rows_nor_files() {
    let dir = tempfile::tempdir().unwrap();
    let key = file_key(&dir);
    let mut store = open(&dir, &key).unwrap();
    let mut batch = Batch::default();
    batch.put(Space::Own, b"account", value(b"secret"));
    store.write(&batch).unwrap();
    let row: Vec<u8> = row::table.select(row::value).first(&mut store.db).unwrap();
    let head: Vec<u8> = head::table.select(head::data_key).first(&mut store.db).unwrap();
    // Another name of the file shows what its pages hold after it is gone.
    let other = dir.path().join("other");
    fs::hard_link(at(&dir), &other).unwrap();
    let has = |needle: &[u8]| {
        let bytes = fs::read(&other).unwrap();
        bytes.windows(16).any(|at| at == &needle[..16])
    };
    assert!(has(&row) && has(&head), "the search finds what is there");
    batch.put(Space::Own, b"pending", value(b"never committed"));
    store.add(&batch).unwrap();
    store.erase().unwrap();
    let names = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["other", "store.key"]);
    assert!(!has(&row) && !has(&head));
    fs::remove_file(other).unwrap();
    let mut fresh = open(&dir, &key).unwrap();
    assert!(fresh.get(Space::Own, b"account").unwrap().is_none());
}
