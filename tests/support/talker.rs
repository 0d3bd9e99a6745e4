//! Somebody who talks with the real SDK: a home folder and, at times, a running client.

use std::sync::Arc;
use std::time::Duration;

use hushwire_client::{Client, Encoding, Event, Id, Message, NetTransport, Outside};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::Server;
use super::stores::open;

/// How long an event may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Talker {
    home: TempDir,
    url: String,
    encoding: Encoding,
    pub client: Client,
    pub events: Receiver<Event>,
    /// Everything shown, in order.
    pub shown: Vec<String>,
}

impl Talker {
    pub async fn register(server: &Server, name: &str, encoding: Encoding) -> Self {
        Self::register_at(&server.url, name, encoding).await
    }

    pub async fn register_at(url: &str, name: &str, encoding: Encoding) -> Self {
        let home = tempfile::tempdir().unwrap();
        let outside = outside(url, encoding);
        let mut device = open(home.path());
        device.register(&outside, url, name).await.unwrap();
        let (client, events) = device.start(outside).unwrap();
        Self { home, url: url.to_owned(), encoding, client, events, shown: Vec::new() }
    }

    /// Closes the client, as a program that ends; comes back with [`Self::come_back`].
    pub async fn leave(&mut self) {
        let left = timeout(PATIENCE, async {
            self.client.clone().close().await;
            while self.events.recv().await.is_some() {}
        });
        left.await.expect("the client ends in time");
    }

    /// The same, on another server.
    pub fn come_back_at(&mut self, url: &str) {
        url.clone_into(&mut self.url);
        self.come_back();
    }

    /// Of its server.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn come_back(&mut self) {
        let device = open(self.home.path());
        (self.client, self.events) = device.start(outside(&self.url, self.encoding)).unwrap();
    }

    /// The next event that `pick` takes; messages on the way are shown.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("the client runs");
                if let Event::MessageReceived(message) = &event {
                    self.show(&message.clone()).await;
                }
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        });
        found.await.expect("the event in time")
    }

    async fn show(&mut self, message: &Message) {
        self.shown.push(message.text.clone());
        self.client.mark_shown(message).await.unwrap();
    }

    pub async fn shown(&mut self, text: &str) {
        if self.shown.iter().any(|shown| shown == text) {
            return;
        }
        let text = text.to_owned();
        self.until(|event| match event {
            Event::MessageReceived(message) if message.text == text => Some(()),
            _ => None,
        })
        .await;
    }

    pub async fn accepted(&mut self, id: Id) {
        self.until(|event| {
            matches!(event, Event::Accepted { id: i, .. } if *i == id).then_some(())
        })
        .await;
    }

    pub async fn delivered(&mut self, id: Id) {
        self.until(|event| matches!(event, Event::Delivered(i) if *i == id).then_some(())).await;
    }

    /// The texts of the history with `name`.
    pub async fn texts(&self, name: &str) -> Vec<String> {
        let history = self.client.history(name, 1_000).await.unwrap();
        history.into_iter().map(|message| message.text).collect()
    }
}

/// The way to the server at `url`.
pub fn outside(url: &str, encoding: Encoding) -> Outside {
    let transport = Arc::new(NetTransport::new(url).unwrap());
    Outside { encoding, ..Outside::new(transport) }
}

/// Alice and bob, who are contacts.
pub async fn contacts(server: &Server) -> (Talker, Talker) {
    let alice = Talker::register(server, "alice", Encoding::Cbor).await;
    let bob = Talker::register(server, "bob", Encoding::Json).await;
    become_contacts(alice, bob, "alice", "bob").await
}

/// One asks, the other accepts.
pub async fn become_contacts(
    mut alice: Talker,
    mut bob: Talker,
    one: &str,
    other: &str,
) -> (Talker, Talker) {
    alice.client.contacts_add(other).await.unwrap();
    bob.until(|event| {
        matches!(event, Event::ContactRequest { handle, .. } if handle == one).then_some(())
    })
    .await;
    bob.client.contacts_accept(one).await.unwrap();
    alice
        .until(|event| {
            matches!(event, Event::ContactAccepted { handle, .. } if handle == other).then_some(())
        })
        .await;
    (alice, bob)
}

/// Says so many lines, and waits until each is accepted.
pub async fn say(alice: &mut Talker, lines: std::ops::Range<u32>) {
    for n in lines {
        let id = alice.client.send_text("bob", &format!("line {n}")).await.unwrap();
        alice.accepted(id).await;
    }
}

/// Everything shown until the last of so many lines, in order.
pub async fn heard(bob: &mut Talker, lines: u32) {
    bob.shown(&format!("line {}", lines - 1)).await;
    let expected: Vec<_> = (0..lines).map(|n| format!("line {n}")).collect();
    assert_eq!(bob.texts("alice").await, expected);
}
