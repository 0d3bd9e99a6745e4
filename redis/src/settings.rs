//! How Redis is reached and what is asked of it.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of the queue store.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `redis://[user:password@]host:port`, `rediss://…` for TLS, or `unix:///path`. With Sentinels,
    /// the host is what they call the primary.
    pub url: String,
    /// Sentinels that know where the primary is: URLs like the primary's, each with its port.
    pub sentinels: Vec<String>,
    /// Authorities that sign the certificates of Redis and Sentinels, as PEM; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate to show to Redis and Sentinels, and its key, as PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How many Redis processes have a message before its sender is told `accepted`.
    pub copies: usize,
    /// Connections for commands.
    pub connections: u32,
    /// How long a command may take.
    pub within: Duration,
    /// How long replicas may take to have a write.
    pub copied_within: Duration,
    /// How often it is looked whether messages are in memory only.
    pub check_every: Duration,
    /// Every key begins with this: several installations may share one Redis.
    pub prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            sentinels: Vec::new(),
            ca_file: None,
            certificate: None,
            copies: 1,
            connections: 8,
            within: Duration::from_secs(2),
            copied_within: Duration::from_secs(1),
            check_every: Duration::from_secs(30),
            prefix: "hw".to_owned(),
        }
    }
}

/// Without user, passwords and the parts of URLs that hold them.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("copies", &self.copies).finish_non_exhaustive()
    }
}
