//! Folders of JSON files, as text by name: the only I/O of the vectors' tests, outside the crate.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;

/// A folder's files by name.
pub type Folder = BTreeMap<String, String>;

/// Reads all JSON files of a folder.
pub fn read(folder: &Path) -> Folder {
    let mut files = Folder::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".json") {
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    files
}

/// Writes all files into a folder, which is made anew.
pub fn write(folder: &Path, files: &Folder) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    std::fs::create_dir_all(folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
