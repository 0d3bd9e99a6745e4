//! How Redis is reached and what is asked of it.

use std::time::Duration;

/// The settings of the queue store.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `redis://[user:password@]host:port`, or `rediss://` for TLS, or `unix:///path`. With
    /// Sentinels it says user, password and TLS, and the host is not asked.
    pub url: String,
    /// Sentinels as `host:port`; with them the primary is whom they name.
    pub sentinels: Vec<String>,
    /// The name that the Sentinels know the primary by.
    pub sentinel_name: String,
    /// The password of the Sentinels; empty for none.
    pub sentinel_password: String,
    /// Replicas as `host:port`, where Sentinels do not tell them.
    pub replicas: Vec<String>,
    /// How many Redis processes have a message before its sender is told `accepted`.
    pub copies: usize,
    /// Connections for commands.
    pub connections: u32,
    /// How long a command may take.
    pub within: Duration,
    /// How long replicas may take to have a write.
    pub copied_within: Duration,
    /// Every key begins with this: several installations may share one Redis.
    pub prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            sentinels: Vec::new(),
            sentinel_name: "hushwire".to_owned(),
            sentinel_password: String::new(),
            replicas: Vec::new(),
            copies: 1,
            connections: 8,
            within: Duration::from_secs(2),
            copied_within: Duration::from_secs(1),
            prefix: "hw".to_owned(),
        }
    }
}

/// Without user, passwords and the parts of URLs that hold them.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("sentinels", &self.sentinels)
            .field("replicas", &self.replicas)
            .field("copies", &self.copies)
            .finish_non_exhaustive()
    }
}
