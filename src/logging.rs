//! The logger: for people or for programs, never in the way of the work.
//!
//! Records go to standard error through a bounded queue that drops and counts when it is full;
//! the level is judged before the queue. Loggers are passed down as children. No record holds
//! a user, a device, a token, or a path with an id in it.

use slog::{Drain as _, Level, LevelFilter, Logger, crit, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};

use crate::settings::{Log, LogFormat, LogLevel};

/// Starts the logger. Dropping the guard writes what still waits.
pub fn start(settings: &Log) -> (Logger, AsyncGuard) {
    let queue = |drain: Async| LevelFilter::new(drain, level(settings.level)).fuse();
    let (drain, guard) = match settings.format {
        LogFormat::Terminal => {
            let decorator = slog_term::TermDecorator::new().stderr().build();
            bounded(slog_term::FullFormat::new(decorator).build().fuse(), settings.waiting)
        }
        LogFormat::Json => {
            bounded(slog_json::Json::default(std::io::stderr()).fuse(), settings.waiting)
        }
    };
    (Logger::root(queue(drain), o!()), guard)
}

fn bounded<D>(drain: D, waiting: usize) -> (Async, AsyncGuard)
where
    D: slog::Drain<Err = slog::Never, Ok = ()> + Send + 'static,
{
    Async::new(drain)
        .chan_size(waiting)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name("log".to_owned())
        .build_with_guard()
}

const fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Critical => Level::Critical,
        LogLevel::Error => Level::Error,
        LogLevel::Warning => Level::Warning,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    }
}

/// Logs where a thread panicked, and which. What it said may hold what a person wrote, so it goes
/// nowhere: not to standard error either.
pub fn log_panics(log: &Logger) {
    let log = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        crit!(log, "panicked"; "at" => place, "thread" => thread.name().unwrap_or("-"));
    }));
}

/// An error and its causes on one line, for a record.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes records only when it is let.
    struct Slow(Arc<Mutex<Vec<String>>>);

    impl slog::Drain for Slow {
        type Ok = ();
        type Err = slog::Never;

        fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
            self.0.lock().unwrap().push(record.msg().to_string());
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_and_the_caller_goes_on() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (drain, guard) = bounded(Slow(Arc::clone(&taken)), 64);
        let log = Logger::root(drain.fuse(), o!());
        let held = taken.lock().unwrap();
        for n in 0..1000 {
            slog::info!(log, "record {}", n);
        }
        drop(held);
        // The loss is reported with the next record that finds room.
        while taken.lock().unwrap().len() < 64 {
            std::thread::yield_now();
        }
        slog::info!(log, "one more");
        drop(guard);
        let taken = taken.lock().unwrap();
        assert!(taken.len() < 70, "{} records were held", taken.len());
        assert!(taken.iter().any(|record| record.contains("dropped")), "the loss is reported");
    }

    /// Keeps a record whole: message and values.
    struct Kept(Mutex<Vec<u8>>);

    impl std::io::Write for &Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_without_what_it_said() {
        static KEPT: Kept = Kept(Mutex::new(Vec::new()));
        let log = Logger::root(Mutex::new(slog_json::Json::default(&KEPT)).fuse(), o!());
        let before = std::panic::take_hook();
        log_panics(&log);
        let thread = std::thread::Builder::new().name("worker-7".to_owned());
        let ended = thread.spawn(|| panic!("a canary: {}", "hunter2")).unwrap().join();
        std::panic::set_hook(before);
        assert!(ended.is_err());
        let said = String::from_utf8(KEPT.0.lock().unwrap().clone()).unwrap();
        assert!(said.contains("panicked") && said.contains("worker-7"), "{said}");
        assert!(said.contains("logging.rs:"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("canary"), "{said}");
    }

    #[test]
    fn causes_are_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(causes(&Outer(std::io::Error::other("inner"))), "outer: inner");
    }
}
