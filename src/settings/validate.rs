//! What types cannot say of the settings: which values are allowed, key by key.
//!
//! The first key that is not allowed is named, with what is.

use hushwire_identity::entry::is_domain;

use super::{Network, Settings, Tls};

/// A key's value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}")]
pub struct Invalid {
    /// Which key.
    pub key: &'static str,
    /// What is allowed.
    pub expected: &'static str,
}

impl Settings {
    fn validate_redis(&self) -> Result<(), Invalid> {
        let redis = &self.redis;
        let url = redis.url.0.as_str();
        let file = !redis.url_file.as_os_str().is_empty();
        let at_host = |url: &str| url.starts_with("redis://") || url.starts_with("rediss://");
        let of_machine = |url: &str| url.starts_with("unix://") || url.starts_with("redis+unix://");
        let sentinels = &redis.sentinels;
        let (certificate, key) = (&redis.certificate_file, &redis.key_file);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let checks = [
            (url.is_empty() || !file, "redis.url_file", "redis.url or redis.url_file, not both"),
            (
                url.is_empty() || at_host(url) || of_machine(url),
                "redis.url",
                "a URL like redis://user:password@host:6379, or nothing",
            ),
            (
                sentinels.len() <= 16 && sentinels.iter().all(|url| at_host(&url.0)),
                "redis.sentinels",
                "at most 16 URLs like redis://user:password@host:26379",
            ),
            (
                sentinels.is_empty() || at_host(url) || file,
                "redis.url",
                "a URL like redis://user:password@NAME, with the name that Sentinels know",
            ),
            (
                certificate.as_os_str().is_empty() == key.as_os_str().is_empty(),
                "redis.key_file",
                "redis.certificate_file and redis.key_file, both or neither",
            ),
            ((1..=5).contains(&redis.copies), "redis.copies", "1 to 5"),
            ((2..=1_000).contains(&redis.connections), "redis.connections", "2 to 1000"),
            ((100..=30_000).contains(&redis.within_ms), "redis.within_ms", "100 to 30000"),
            (
                (50..=10_000).contains(&redis.copied_within_ms),
                "redis.copied_within_ms",
                "50 to 10000",
            ),
            (
                (100..=30_000).contains(&redis.check_every_ms),
                "redis.check_every_ms",
                "100 to 30000",
            ),
            (
                (1..=64).contains(&redis.prefix.len()) && redis.prefix.bytes().all(plain),
                "redis.prefix",
                "1 to 64 of A-Z a-z 0-9 - _ .",
            ),
        ];
        let refused = checks.into_iter().find(|(holds, ..)| !holds);
        refused.map_or(Ok(()), |(_, key, expected)| Err(Invalid { key, expected }))
    }

    fn validate_database(&self) -> Result<(), Invalid> {
        let database = &self.database;
        let url = database.url.0.as_str();
        let file = !database.url_file.as_os_str().is_empty();
        let checks = [
            (
                url.is_empty() || !file,
                "database.url_file",
                "database.url or database.url_file, not both",
            ),
            (
                url.is_empty()
                    || ["postgres://", "postgresql://"].iter().any(|s| url.starts_with(s)),
                "database.url",
                "a URL like postgres://user:password@host:5432/database, or nothing",
            ),
            ((2..=1_000).contains(&database.connections), "database.connections", "2 to 1000"),
            ((100..=60_000).contains(&database.within_ms), "database.within_ms", "100 to 60000"),
        ];
        let refused = checks.into_iter().find(|(holds, ..)| !holds);
        refused.map_or(Ok(()), |(_, key, expected)| Err(Invalid { key, expected }))
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key that is not allowed.
    pub fn validate(&self) -> Result<(), Invalid> {
        let check = |holds: bool, key: &'static str, expected: &'static str| {
            if holds { Ok(()) } else { Err(Invalid { key, expected }) }
        };
        check(
            is_domain(&self.server.domain),
            "server.domain",
            "1 to 253 of a-z 0-9 . - and : for a port",
        )?;
        check(self.server.workers <= 1024, "server.workers", "at most 1024, 0 for one each core")?;
        check((1..=65_535).contains(&self.server.backlog), "server.backlog", "1 to 65535")?;
        let admin = &self.admin;
        let fits = admin.listen.is_empty() || admin.address().is_some();
        check(fits, "admin.listen", "an IP address and port like 127.0.0.1:8081, or nothing")?;
        let port = self.server.listen.port();
        check(
            port == 0 || admin.address() != Some(self.server.listen),
            "admin.listen",
            "another address than server.listen",
        )?;
        check(
            self.database.path.file_name().is_some(),
            "database.path",
            "the path of a file, like hushwire-data/hushwire.sqlite",
        )?;
        self.validate_database()?;
        self.validate_redis()?;
        let tls = &self.tls;
        check(
            tls.files().is_some() || *tls == Tls::default(),
            "tls.key_file",
            "tls.certificate_file and tls.key_file, both or neither",
        )?;
        let proxies = &self.http.proxies;
        check(
            proxies.len() <= 256 && proxies.iter().all(|text| text.parse::<Network>().is_ok()),
            "http.proxies",
            "at most 256 addresses or networks like 10.0.0.0/8 or fd00::/8",
        )?;
        self.validate_times()?;
        let origin = |text: &String| {
            text == "*"
                || ["http://", "https://"].iter().any(|scheme| {
                    text.strip_prefix(scheme).is_some_and(|rest| {
                        !rest.is_empty() && !rest.contains('/') && rest.is_ascii()
                    })
                })
        };
        check(
            self.sockets.origins.len() <= 256 && self.sockets.origins.iter().all(origin),
            "sockets.origins",
            "at most 256 origins like https://chat.example.com, without a path",
        )?;
        let limits = &self.limits;
        let up_to = 1..=10_000_000;
        check(up_to.contains(&self.sockets.connections), "sockets.connections", "1 to 10000000")?;
        check(up_to.contains(&self.sockets.unsigned), "sockets.unsigned", "1 to 10000000")?;
        check(
            up_to.contains(&self.sockets.unsigned_per_address),
            "sockets.unsigned_per_address",
            "1 to 10000000",
        )?;
        check(
            self.sockets.per_address <= 10_000_000,
            "sockets.per_address",
            "at most 10000000, 0 for no limit",
        )?;
        check(
            (1..=1_000_000).contains(&self.http.connections_per_worker),
            "http.connections_per_worker",
            "1 to 1000000",
        )?;
        check(up_to.contains(&limits.ledger_messages), "limits.ledger_messages", "1 to 10000000")?;
        check(
            (1..=limits.ledger_messages).contains(&limits.ledger_messages_per_sender),
            "limits.ledger_messages_per_sender",
            "1 to limits.ledger_messages",
        )?;
        let largest = hushwire_wire::limits::FRAME_MAX;
        check(
            limits.ledger_bytes >= largest,
            "limits.ledger_bytes",
            "at least 98304, the largest frame",
        )?;
        check(
            (largest..=limits.ledger_bytes).contains(&limits.ledger_bytes_per_sender),
            "limits.ledger_bytes_per_sender",
            "98304 to limits.ledger_bytes",
        )?;
        check(
            (100..=1_000_000_000).contains(&limits.store_messages),
            "limits.store_messages",
            "100 to 1000000000",
        )?;
        check(
            (1 << 20..=1 << 50).contains(&limits.store_bytes),
            "limits.store_bytes",
            "1048576 to 2^50",
        )?;
        check((1..=10_000).contains(&limits.requests_open), "limits.requests_open", "1 to 10000")?;
        check(
            (1..=100_000).contains(&limits.requests_waiting),
            "limits.requests_waiting",
            "1 to 100000",
        )?;
        check((1..=8).contains(&limits.devices), "limits.devices", "1 to 8")?;
        check(limits.epochs_per_hour <= 256, "limits.epochs_per_hour", "at most 256")?;
        check(limits.epochs_per_day <= 256, "limits.epochs_per_day", "at most 256")?;
        for (value, key) in [
            (limits.requests_per_day, "limits.requests_per_day"),
            (limits.prekeys_per_hour, "limits.prekeys_per_hour"),
            (limits.http_requests_per_minute, "limits.http_requests_per_minute"),
            (limits.exports_per_hour, "limits.exports_per_hour"),
            (limits.log_entries_per_hour, "limits.log_entries_per_hour"),
            (limits.registrations_per_hour, "limits.registrations_per_hour"),
            (limits.sign_ins_per_minute, "limits.sign_ins_per_minute"),
            (limits.upgrades_per_minute, "limits.upgrades_per_minute"),
        ] {
            check(value <= 1_000_000, key, "at most 1000000, 0 for no limit")?;
        }
        check(up_to.contains(&limits.addresses), "limits.addresses", "1 to 10000000")?;
        self.validate_live()?;
        check((64..=1_048_576).contains(&self.log.waiting), "log.waiting", "64 to 1048576")
    }

    /// What only live devices hear.
    fn validate_live(&self) -> Result<(), Invalid> {
        let limits = &self.limits;
        for (holds, key, expected) in [
            (limits.presence_per_minute <= 60_000, "limits.presence_per_minute", "at most 60000"),
            (limits.presence_names <= 100_000_000, "limits.presence_names", "at most 100000000"),
            (
                limits.call_signals_per_second <= 1_000,
                "limits.call_signals_per_second",
                "at most 1000, 0 for no rule",
            ),
            (
                (1..=10_000).contains(&limits.call_signal_burst),
                "limits.call_signal_burst",
                "1 to 10000",
            ),
            ((1..=64).contains(&limits.calls_per_user), "limits.calls_per_user", "1 to 64"),
            (limits.calls <= 1_000_000, "limits.calls", "at most 1000000, 0 for no calls"),
        ] {
            if !holds {
                return Err(Invalid { key, expected });
            }
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), Invalid> {
        const HOUR: u64 = 3_600_000;
        let (http, sockets, limits) = (&self.http, &self.sockets, &self.limits);
        for (value, key) in [
            (http.request_timeout_ms, "http.request_timeout_ms"),
            (http.body_timeout_ms, "http.body_timeout_ms"),
            (http.keep_alive_ms, "http.keep_alive_ms"),
            (sockets.heartbeat_ms, "sockets.heartbeat_ms"),
            (sockets.pong_within_ms, "sockets.pong_within_ms"),
            (sockets.hello_within_ms, "sockets.hello_within_ms"),
            (limits.custody_after_ms, "limits.custody_after_ms"),
            (limits.send_deadline_ms, "limits.send_deadline_ms"),
            (limits.slow_after_ms, "limits.slow_after_ms"),
            (limits.call_ring_ms, "limits.call_ring_ms"),
            (limits.call_lease_ms, "limits.call_lease_ms"),
        ] {
            if !(1..=HOUR).contains(&value) {
                return Err(Invalid { key, expected: "1 to 3600000 milliseconds" });
            }
        }
        if limits.message_interval_ms > 24 * HOUR {
            let key = "limits.message_interval_ms";
            return Err(Invalid { key, expected: "at most 86400000 milliseconds, 0 for no rule" });
        }
        if limits.ephemeral_every_ms > HOUR {
            let key = "limits.ephemeral_every_ms";
            return Err(Invalid { key, expected: "at most 3600000 milliseconds, 0 for no rule" });
        }
        if !(60_000..=30 * 24 * HOUR).contains(&limits.expire_after_ms) {
            let key = "limits.expire_after_ms";
            return Err(Invalid { key, expected: "60000 to 2592000000 milliseconds (30 days)" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::settings::Secret;

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        let wrong = |key: &str, change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert_eq!(settings.validate().unwrap_err().key, key);
        };
        wrong("server.domain", |s| s.server.domain = "Chat".to_owned());
        wrong("server.domain", |s| s.server.domain = String::new());
        wrong("server.workers", |s| s.server.workers = 5000);
        wrong("server.backlog", |s| s.server.backlog = 0);
        wrong("admin.listen", |s| s.admin.listen = "here".to_owned());
        wrong("admin.listen", |s| s.admin.listen = "127.0.0.1:8080".to_owned());
        wrong("database.path", |s| s.database.path = PathBuf::from("/"));
        wrong("tls.key_file", |s| s.tls.certificate_file = PathBuf::from("chain.pem"));
        wrong("tls.key_file", |s| s.tls.key_file = PathBuf::from("key.pem"));
        wrong("redis.url", |s| s.redis.url = secret("http://x"));
        wrong("redis.url", |s| s.redis.sentinels = vec![secret("redis://x:1")]);
        wrong("redis.url", |s| {
            s.redis.url = secret("unix:///redis.sock");
            s.redis.sentinels = vec![secret("redis://x:1")];
        });
        wrong("redis.sentinels", |s| s.redis.sentinels = vec![secret("x:26379")]);
        wrong("redis.sentinels", |s| s.redis.sentinels = vec![secret("redis://x:1"); 17]);
        wrong("redis.key_file", |s| s.redis.certificate_file = PathBuf::from("chain.pem"));
        wrong("http.proxies", |s| s.http.proxies = vec!["10.0.0.1/8".to_owned()]);
        wrong("http.proxies", |s| s.http.proxies = vec!["proxy.example".to_owned()]);
        wrong("http.body_timeout_ms", |s| s.http.body_timeout_ms = 0);
        wrong("sockets.origins", |s| s.sockets.origins = vec!["https://a.example/x".to_owned()]);
        wrong("sockets.origins", |s| s.sockets.origins = vec!["a.example".to_owned()]);
        wrong("sockets.connections", |s| s.sockets.connections = 0);
        wrong("limits.ledger_bytes", |s| s.limits.ledger_bytes = 1);
        wrong("limits.ledger_bytes_per_sender", |s| s.limits.ledger_bytes_per_sender = 1 << 30);
        wrong("limits.ledger_messages_per_sender", |s| s.limits.ledger_messages_per_sender = 0);
        wrong("limits.store_messages", |s| s.limits.store_messages = 99);
        wrong("limits.store_bytes", |s| s.limits.store_bytes = 1);
        wrong("limits.epochs_per_day", |s| s.limits.epochs_per_day = 257);
        wrong("limits.expire_after_ms", |s| s.limits.expire_after_ms = 1);
        wrong("limits.message_interval_ms", |s| s.limits.message_interval_ms = u64::MAX);
        wrong("limits.addresses", |s| s.limits.addresses = 0);
        wrong("limits.ephemeral_every_ms", |s| s.limits.ephemeral_every_ms = u64::MAX);
        wrong("limits.presence_per_minute", |s| s.limits.presence_per_minute = 60_001);
        wrong("limits.presence_names", |s| s.limits.presence_names = usize::MAX);
        wrong("limits.call_signals_per_second", |s| s.limits.call_signals_per_second = 1_001);
        wrong("limits.call_signal_burst", |s| s.limits.call_signal_burst = 0);
        wrong("limits.call_ring_ms", |s| s.limits.call_ring_ms = 0);
        wrong("limits.call_lease_ms", |s| s.limits.call_lease_ms = 0);
        wrong("limits.calls_per_user", |s| s.limits.calls_per_user = 0);
        wrong("limits.calls", |s| s.limits.calls = 1_000_001);
        wrong("limits.upgrades_per_minute", |s| s.limits.upgrades_per_minute = 1_000_001);
        wrong("sockets.unsigned", |s| s.sockets.unsigned = 0);
        wrong("sockets.unsigned_per_address", |s| s.sockets.unsigned_per_address = 0);
        wrong("sockets.per_address", |s| s.sockets.per_address = 10_000_001);
        wrong("http.connections_per_worker", |s| s.http.connections_per_worker = 0);
        wrong("log.waiting", |s| s.log.waiting = 1);
    }

    #[test]
    fn zero_switches_rules_off() {
        let mut settings = Settings::default();
        settings.limits.message_interval_ms = 0;
        settings.limits.ephemeral_every_ms = 0;
        settings.limits.presence_per_minute = 0;
        settings.limits.presence_names = 0;
        settings.limits.call_signals_per_second = 0;
        settings.limits.calls = 0;
        settings.limits.registrations_per_hour = 0;
        settings.limits.sign_ins_per_minute = 0;
        settings.limits.upgrades_per_minute = 0;
        settings.sockets.per_address = 0;
        settings.limits.epochs_per_hour = 0;
        settings.limits.epochs_per_day = 0;
        settings.admin.listen = String::new();
        settings.validate().unwrap();
        assert_eq!(settings.admin.address(), None);
    }
}
