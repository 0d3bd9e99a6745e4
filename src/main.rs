//! The server's binary: everything is in the library, so that tests can start it, too.

use std::process::ExitCode;

fn main() -> ExitCode {
    hushwire::cli::main(std::env::args_os())
}
