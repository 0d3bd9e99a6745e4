//! A wall clock that tests move under a running program, by a library of few lines that is put
//! before the program's own (`clock.c`). What the program measures durations with goes on as it is.
//!
//! (libfaketime does this for most programs, but not for Redis: the two wait for each other's
//! memory allocator.)

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::find;

const SOURCE: &str = include_str!("clock.c");

/// The clock of all programs that are [led by](MovedClock::lead) it.
#[derive(Debug)]
pub struct MovedClock {
    folder: TempDir,
}

impl MovedClock {
    /// One that is right.
    ///
    /// # Panics
    /// If there is no C compiler, or a temporary file cannot be written.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn right() -> Self {
        let clock = Self { folder: TempDir::new().expect("a temporary folder") };
        let source = clock.file("clock.c");
        fs::write(&source, SOURCE).expect("a temporary file");
        let mut compile = Command::new(find("cc", "gcc"));
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        let compiled = compile.arg(clock.file("clock.so")).arg(&source).status();
        assert!(compiled.is_ok_and(|status| status.success()), "cc does not compile clock.c");
        clock.set(0);
        clock
    }

    /// Sets it so many seconds ahead of what is right, or behind it.
    ///
    /// # Panics
    /// If its file cannot be written.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn set(&self, seconds: i64) {
        use std::os::unix::fs::FileExt as _;
        // Programs have the very file before them.
        let mut options = fs::File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(self.file("seconds")).expect("a temporary file");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("a temporary file");
    }

    /// A program that runs another one by this clock, as the same process.
    ///
    /// # Panics
    /// If a temporary file cannot be written.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn lead(&self, program: &Path) -> PathBuf {
        // Not to where a link leads: Redis is another program by another name.
        let program = std::path::absolute(program).expect("a folder to be in");
        let script = self.file("program");
        let text = format!(
            "#!/bin/sh\nexport LD_PRELOAD='{}' HUSHWIRE_CLOCK='{}'\nexec '{}' \"$@\"\n",
            self.file("clock.so").display(),
            self.file("seconds").display(),
            program.display(),
        );
        fs::write(&script, text).expect("a temporary file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("an own file");
        script
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
