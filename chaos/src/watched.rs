//! Redis: a primary and its replicas, each behind a proxy, and the Sentinels that decide which is
//! which. Whoever speaks to one of them, the others among them, does so through its proxy.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use hushwire_testbed::{Redis, Sentinel, Signal};

use crate::parts::local;
use crate::proxy::{Counts, Proxy, Way, Weather};

/// Servers: with a primary that is gone, one has still a replica.
const SERVERS: usize = 3;

/// See the module.
#[derive(Debug)]
pub struct Watched {
    servers: Vec<Redis>,
    proxies: Vec<Proxy>,
    sentinels: Vec<Sentinel>,
    /// Which one was the primary when a Sentinel told last.
    known: Cell<usize>,
    /// What the fault befell that is not over.
    struck: usize,
}

impl Watched {
    /// Starts all of them.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub fn start(seed: u64) -> io::Result<Self> {
        let proxies = (1..=SERVERS as u64)
            .map(|k| Proxy::start(Vec::new(), seed ^ k))
            .collect::<io::Result<Vec<_>>>()?;
        let servers: Vec<_> = proxies
            .iter()
            .map(|proxy| {
                let port = proxy.address().port().to_string();
                let redis = Redis::start_with(&[
                    ("replica-announce-ip", "127.0.0.1"),
                    ("replica-announce-port", &port),
                ]);
                proxy.set_upstreams(vec![local(redis.port())]);
                redis
            })
            .collect();
        let mut watched =
            Self { servers, proxies, sentinels: Vec::new(), known: Cell::new(0), struck: 0 };
        for replica in 1..SERVERS {
            watched.follow(replica, 0);
        }
        watched.sentinels = Sentinel::three(watched.port(0));
        Ok(watched)
    }

    /// What servers are told: the name of the primary, and who knows where it is.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 2] {
        let urls: Vec<_> = self.sentinels.iter().map(Sentinel::url).collect();
        let name = format!("redis://{}", Sentinel::SERVICE);
        [("redis.url", name), ("redis.sentinels", urls.join(","))]
    }

    /// Which one most Sentinels name, or named when they answered last.
    fn primary(&self) -> usize {
        let named: Vec<_> = self.sentinels.iter().filter_map(Sentinel::names).collect();
        let votes = |index: &usize| named.iter().filter(|port| **port == self.port(*index)).count();
        if let Some(most) = (0..SERVERS).max_by_key(votes).filter(|index| votes(index) > 0) {
            self.known.set(most);
        }
        self.known.get()
    }

    /// Who is what, for whoever looks for a cause.
    #[must_use]
    pub fn state(&self) -> String {
        let named: Vec<_> = self.sentinels.iter().map(Sentinel::names).collect();
        let mut state = format!("Sentinels name {named:?}");
        for (index, server) in self.servers.iter().enumerate() {
            let port = self.port(index);
            let info = server.command(&["INFO", "replication"]).unwrap_or_default();
            let keys = ["role", "master_port", "master_link_status", "connected_slaves"];
            let told = info.lines().filter(|line| keys.iter().any(|key| line.starts_with(key)));
            let told: Vec<_> = told.map(str::trim_end).collect();
            state.push_str(&format!("; Redis at {port}: {}", told.join(" ")));
        }
        state
    }

    fn port(&self, index: usize) -> u16 {
        self.proxies[index].address().port()
    }

    /// The primary stands still; it may be a replica when it goes on.
    pub fn pause(&mut self) {
        self.struck = self.primary();
        self.servers[self.struck].process().signal(Signal::STOP);
    }

    /// It goes on.
    pub fn resume(&mut self) {
        self.servers[self.struck].process().signal(Signal::CONT);
    }

    /// One Sentinel stands still.
    pub fn pause_sentinel(&mut self) {
        self.sentinels[0].process().signal(Signal::STOP);
    }

    /// It goes on.
    pub fn resume_sentinel(&mut self) {
        self.sentinels[0].process().signal(Signal::CONT);
    }

    /// All connections to the primary are cut, those of replicas and Sentinels, too.
    pub fn cut(&self) {
        self.proxies[self.primary()].cut_all();
    }

    /// `kill -9` of the primary.
    pub fn kill_primary(&mut self) {
        self.struck = self.primary();
        self.servers[self.struck].kill();
    }

    /// `kill -9` of a replica.
    pub fn kill_replica(&mut self) {
        self.struck = (self.primary() + 1) % SERVERS;
        self.servers[self.struck].kill();
    }

    /// What was killed is started again, empty, and follows whoever is the primary; unless that is
    /// still itself.
    pub fn restart(&mut self) {
        self.servers[self.struck].restart();
        self.follow(self.struck, self.primary());
    }

    /// `kill -9` of all: whatever waits is lost.
    pub fn lose(&mut self) {
        self.servers.iter_mut().for_each(Redis::kill);
    }

    /// All are started again, empty.
    pub fn start_again(&mut self) {
        let primary = self.primary();
        for index in 0..SERVERS {
            self.servers[index].restart();
        }
        for index in 0..SERVERS {
            self.follow(index, primary);
        }
    }

    /// A server copies another one. It may be told otherwise by Sentinels, who have the last word.
    fn follow(&self, index: usize, primary: usize) {
        if index != primary {
            let port = self.port(primary).to_string();
            let _ = self.servers[index].command(&["REPLICAOF", "127.0.0.1", &port]);
        }
    }

    /// Weather before all of them.
    pub fn set_weather(&self, weather: Weather) {
        self.proxies.iter().for_each(|proxy| proxy.set_weather(weather));
    }

    /// One direction of all connections to the primary stands still.
    pub fn hole(&self, way: Way, time: Duration) {
        self.proxies[self.primary()].hole(way, time);
    }

    /// What the proxies did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.proxies.iter().map(Proxy::counts).sum()
    }
}
