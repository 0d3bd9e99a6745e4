//! One binary for all targets: `HUSHWIRE_FUZZ_TARGET` names the one to drive.
#![no_main]

use std::process::exit;
use std::sync::LazyLock;

use hushwire_fuzz::{TARGETS, Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("HUSHWIRE_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("HUSHWIRE_FUZZ_TARGET must be one of: {}", names.join(" "));
        exit(2)
    })
});

fuzz_target!(|bytes: &[u8]| {
    (TARGET.run)(bytes);
});
