//! Several servers over one PostgreSQL and one Redis: people on different ones talk as on one, and
//! whatever happens to a server loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use hushwire_client::{Encoding, Event};
use hushwire_testbed::{Cluster, Postgres, Redis, Signal};
use hushwire_wire::frame::{Ack, ClientOp, ServerOp};
use hushwire_wire::http::Sessions;
use hushwire_wire::{Close, Encoding as Wire, Reject};
use support::devices::{delete, part};
use support::person::{open_text, seal_text};
use support::talker::{Talker, become_contacts, heard, say};
use support::{Pair, Person, Server};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// What servers stand on, and the servers.
struct Servers {
    postgres: Postgres,
    redis: Redis,
    nodes: Vec<Server>,
}

impl Servers {
    fn start(nodes: usize) -> Self {
        Self::start_over(Redis::start(), nodes)
    }

    fn start_over(redis: Redis, nodes: usize) -> Self {
        let mut cluster = Self { postgres: Postgres::start(), redis, nodes: Vec::new() };
        for _ in 0..nodes {
            cluster.add();
        }
        cluster
    }

    fn add(&mut self) {
        self.nodes.push(Server::start_with(&[
            ("database.url", &self.postgres.url()),
            ("redis.url", &self.redis.url()),
            ("limits.message_interval_ms", "0"),
            ("limits.ephemeral_every_ms", "0"),
        ]));
    }

    /// Alice on the first node and bob on the second, who are contacts.
    async fn contacts(&self) -> (Talker, Talker) {
        let alice = Talker::register_at(&self.nodes[0].url, "alice", Encoding::Cbor).await;
        let bob = Talker::register_at(&self.nodes[1].url, "bob", Encoding::Json).await;
        become_contacts(alice, bob, "alice", "bob").await
    }

    /// The same without the SDK: contacts of the first node.
    async fn pair(&self) -> Pair {
        Pair::meet(&self.nodes[0].http(), "alice", "bob").await
    }
}

async fn connected(someone: &mut Talker) {
    someone.until(|event| matches!(event, Event::Connected).then_some(())).await;
}

#[tokio::test]
async fn people_on_different_servers_talk_as_on_one() {
    let cluster = Servers::start(2);
    // Asked on one node, heard of on the other; accepted there, heard of here.
    let (mut alice, mut bob) = cluster.contacts().await;
    say(&mut alice, 0..5).await;
    heard(&mut bob, 5).await;
    let id = bob.client.send_text("alice", "back").await.unwrap();
    bob.delivered(id).await;
    alice.shown("back").await;
    // Nothing waits where both are live.
    let keys = cluster.redis.command(&["KEYS", "hushwire:*:entries"]).unwrap();
    assert_eq!(keys, "*0\r\n");
    // Typing crosses, too.
    let seen = async {
        loop {
            alice.client.typing("bob").await.unwrap();
            let is_sign = |event: &Event| match event {
                Event::Typing { handle, on: true } if handle == "alice" => Some(()),
                _ => None,
            };
            if timeout(Duration::from_millis(500), bob.until(is_sign)).await.is_ok() {
                break;
            }
        }
    };
    timeout(PATIENCE, seen).await.expect("a sign in time");
    for node in &cluster.nodes {
        assert!(!node.log().contains("panic") && !node.log().contains("line 1"), "{}", node.log());
    }
}

/// What is told next of a contact's presence. A server that is gone is missed after 9 s.
async fn sees(someone: &mut Talker, name: &str) -> bool {
    let told = async {
        loop {
            match someone.events.recv().await.expect("the client runs") {
                Event::Presence { handle, on } if handle == name => return on,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, told).await.expect("a sign in time")
}

#[tokio::test]
async fn people_on_different_servers_see_who_is_there() {
    let mut cluster = Servers::start(3);
    let (mut alice, mut bob) = cluster.contacts().await;
    alice.client.show_presence(true).await.unwrap();
    bob.client.show_presence(true).await.unwrap();
    assert!(sees(&mut alice, "bob").await && sees(&mut bob, "alice").await);
    // Whichever server kept the pair: when the third is gone, they are still there for each other.
    cluster.nodes[2].kill();
    bob.leave().await;
    assert!(!sees(&mut alice, "bob").await);
    bob.come_back();
    assert!(sees(&mut alice, "bob").await && sees(&mut bob, "alice").await);
    // One whose server is gone is not there.
    cluster.nodes[1].kill();
    assert!(!sees(&mut alice, "bob").await);
}

#[tokio::test]
async fn a_device_that_moves_takes_what_waits_along() {
    let cluster = Servers::start(3);
    let (mut alice, mut bob) = cluster.contacts().await;
    let mut said = 0;
    for round in 0..6 {
        bob.leave().await;
        say(&mut alice, said..said + 3).await;
        bob.come_back_at(&cluster.nodes[round % 3].url);
        heard(&mut bob, said + 3).await;
        alice.leave().await;
        alice.come_back_at(&cluster.nodes[(round + 1) % 3].url);
        say(&mut alice, said + 3..said + 5).await;
        said += 5;
        heard(&mut bob, said).await;
    }
}

#[tokio::test]
async fn a_device_is_live_on_one_server_at_a_time() {
    let cluster = Servers::start(2);
    let mut pair = cluster.pair().await;
    let (mut old, _) = pair.bob.connect(Wire::Cbor).await;
    pair.bob.http = cluster.nodes[1].http();
    let (mut new, _) = pair.bob.connect(Wire::Json).await;
    assert_eq!(old.closed().await, Some(Close::Displaced));
    let sessions = cluster.nodes[0].http().get("/v1/sessions", pair.bob.token()).await;
    assert!(sessions.ok::<Sessions>().sessions[0].live, "on another server");
    // And signed out where it is not, by a token that every server knows.
    let path = format!("/v1/sessions/{}", pair.bob.device().to_base64url());
    let ended = delete(&cluster.nodes[0].http(), &path, pair.bob.token(), None).await;
    assert!(ended.status.is_success(), "{}", ended.text());
    assert_eq!(new.closed().await, Some(Close::NotAuthenticated));
}

#[tokio::test]
async fn a_block_on_one_server_holds_on_the_other_from_the_next_send_on() {
    let cluster = Servers::start(2);
    let mut pair = cluster.pair().await;
    let (mut alice, _) = pair.alice.connect(Wire::Json).await;
    pair.bob.http = cluster.nodes[1].http();
    let (mut bob, _) = pair.bob.connect(Wire::Cbor).await;
    let upload = seal_text(&mut pair.alice_state, "before");
    let id = alice.send(Person::send(&pair.bob.user(), 1, upload)).await;
    let message = bob
        .event(|op| if let ServerOp::Message(message) = op { Some(message) } else { None })
        .await;
    assert_eq!(open_text(&mut pair.bob_state, &message), "before");
    bob.send(ClientOp::Ack(Ack { n: message.n, failed: vec![] })).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
    // No node hears a word of another any more.
    cluster.redis.command(&["ACL", "SETUSER", "default", "-publish"]).unwrap();
    let blocked = part(&pair.bob, "block", &pair.alice.user()).await;
    assert!(blocked.status.is_success(), "{}", blocked.text());
    let upload = seal_text(&mut pair.alice_state, "after");
    let answer = alice.ask(Person::send(&pair.bob.user(), 2, upload)).await;
    assert!(matches!(answer, ServerOp::Reject(Reject::NotContact {})), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_is_killed_loses_nothing() {
    let mut cluster = Servers::start(2);
    let (mut alice, mut bob) = cluster.contacts().await;
    say(&mut alice, 0..3).await;
    heard(&mut bob, 3).await;
    // Bob's: his key says that he is live there.
    cluster.nodes[1].kill();
    let started = Instant::now();
    say(&mut alice, 3..4).await;
    println!("accepted {} ms after the kill", started.elapsed().as_millis());
    say(&mut alice, 4..8).await;
    bob.leave().await;
    bob.come_back_at(&cluster.nodes[0].url);
    heard(&mut bob, 8).await;
    // Alice's, with messages under way: they are sent again elsewhere, and shown once.
    cluster.nodes[1].restart();
    bob.leave().await;
    bob.come_back_at(&cluster.nodes[1].url);
    connected(&mut bob).await;
    for n in 8..12 {
        alice.client.send_text("bob", &format!("line {n}")).await.unwrap();
    }
    cluster.nodes[0].kill();
    alice.leave().await;
    alice.come_back_at(&cluster.nodes[1].url);
    heard(&mut bob, 12).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_passed_by() {
    let cluster = Servers::start(2);
    let (mut alice, mut bob) = cluster.contacts().await;
    say(&mut alice, 0..2).await;
    heard(&mut bob, 2).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(cluster.nodes[1].pid()).unwrap());
    let signal = |signal| rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    signal(Signal::STOP);
    // It received the message, and says nothing: nobody waits longer than for the bus.
    say(&mut alice, 2..5).await;
    signal(Signal::CONT);
    heard(&mut bob, 5).await;
    say(&mut alice, 5..7).await;
    heard(&mut bob, 7).await;
}

#[tokio::test]
async fn a_subscription_that_is_lost_is_made_again() {
    let cluster = Servers::start(2);
    let (mut alice, mut bob) = cluster.contacts().await;
    say(&mut alice, 0..2).await;
    heard(&mut bob, 2).await;
    for round in 1..4 {
        cluster.redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        say(&mut alice, round * 2..round * 2 + 2).await;
        heard(&mut bob, round * 2 + 2).await;
    }
}

#[tokio::test]
async fn all_of_redis_lost_is_made_good_on_every_server() {
    let mut cluster = Servers::start(2);
    let (mut alice, mut bob) = cluster.contacts().await;
    say(&mut alice, 0..2).await;
    heard(&mut bob, 2).await;
    bob.leave().await;
    say(&mut alice, 2..6).await;
    cluster.redis.restart();
    bob.come_back();
    heard(&mut bob, 6).await;
    say(&mut alice, 6..8).await;
    heard(&mut bob, 8).await;
}

#[tokio::test]
async fn servers_are_replaced_one_by_one_while_people_talk() {
    let mut cluster = Servers::start(3);
    let (mut alice, mut bob) = cluster.contacts().await;
    let mut said = 0;
    for round in 0..3 {
        say(&mut alice, said..said + 4).await;
        said += 4;
        assert_eq!(cluster.nodes[round].terminate(), Some(0), "it drains and ends");
        let next = cluster.nodes[(round + 1) % 3].url.clone();
        for someone in [&mut alice, &mut bob] {
            if someone.url() == cluster.nodes[round].url {
                someone.leave().await;
                someone.come_back_at(&next);
            }
        }
        say(&mut alice, said..said + 4).await;
        said += 4;
        heard(&mut bob, said).await;
        cluster.nodes[round].restart();
    }
}

#[tokio::test]
async fn people_behind_a_balancer_go_on_whatever_server_ends() {
    let settings = [
        ("limits.message_interval_ms", "0"),
        ("limits.registrations_per_hour", "0"),
        ("limits.sign_ins_per_minute", "0"),
    ];
    let server = std::path::Path::new(env!("CARGO_BIN_EXE_hushwire"));
    let mut cluster = Cluster::start(server, None, &settings, |_| ());
    let url = cluster.url();
    let alice = Talker::register_at(&url, "alice", Encoding::Cbor).await;
    let bob = Talker::register_at(&url, "bob", Encoding::Json).await;
    let (mut alice, mut bob) = become_contacts(alice, bob, "alice", "bob").await;
    let mut said = 0;
    for k in 0..3 {
        cluster.nodes[k].process().kill();
        say(&mut alice, said..said + 3).await;
        heard(&mut bob, said + 3).await;
        cluster.nodes[k].restart();
        let next = &mut cluster.nodes[(k + 1) % 3];
        assert!(next.terminate(), "{}", next.log());
        say(&mut alice, said + 3..said + 6).await;
        said += 6;
        heard(&mut bob, said).await;
        cluster.nodes[(k + 1) % 3].restart();
    }
    for node in &cluster.nodes {
        assert!(!node.log().contains("panic"), "{}", node.log());
    }
}
