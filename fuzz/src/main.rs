//! Writes the seeds of the corpora: `cargo run -p hushwire-fuzz` from the workspace's root, after
//! a layout changed. Inputs that were found by fuzzing stand beside them and are left alone.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for seed in hushwire_fuzz::seeds::all() {
        let folder = corpus.join(seed.target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{}", seed.name)), seed.bytes)?;
    }
    Ok(())
}
