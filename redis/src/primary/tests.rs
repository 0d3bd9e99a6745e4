use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use hushwire_testbed::{Redis, Sentinel, Signal, port};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::time::sleep;

use crate::testing::{open, settings};
use crate::{Facts, Link, OpenError, Settings};

/// What a server that is too old says, at a port of its own.
fn old_redis() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut asked) {
                let asked = String::from_utf8_lossy(&asked[..read]);
                for word in asked.lines() {
                    let reply = match word {
                        "HELLO" => {
                            "*4\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
                        }
                        "CLIENT" => "+OK\r\n",
                        _ => continue,
                    };
                    stream.write_all(reply.as_bytes()).unwrap();
                }
            }
        }
    });
    port
}

#[tokio::test]
async fn each_reason_not_to_start_is_told() {
    let redis = Redis::start();
    let replica = redis.replica(&[]);
    let locked = Redis::start_with(&[("requirepass", "right")]);
    redis
        .command(&["ACL", "SETUSER", "blind", "on", ">s3cret", "~*", "&*", "+@all", "-config"])
        .unwrap();
    let old = old_redis();
    let said = async |url: String| {
        let settings = Settings { url, ..settings(&redis) };
        let error = open(settings).await.unwrap_err();
        let said = format!("{error:?} {error}");
        assert!(!said.contains("s3cret"), "{said}");
        error.to_string()
    };
    let absent = said("redis://127.0.0.1:1".to_owned()).await;
    assert!(absent.contains("nobody answers at 127.0.0.1:1"), "{absent}");
    assert!(said(replica.url()).await.contains("it is a replica"));
    assert!(said(locked.url()).await.contains("user or password are wrong"));
    let wrong = format!("redis://:s3cret@127.0.0.1:{}", locked.port());
    assert!(said(wrong).await.contains("user or password are wrong"));
    let blind = said(format!("redis://blind:s3cret@127.0.0.1:{}", redis.port())).await;
    assert!(blind.contains("the user lacks a right"), "{blind}");
    let old = said(format!("redis://127.0.0.1:{old}")).await;
    assert!(old.contains("it is Redis 6.2.14: at least 7 is needed"), "{old}");
    for no in ["http://x", "rediss://:s3cret@127.0.0.1:1#insecure", "redis://:s3cret@"] {
        assert!(said(no.to_owned()).await.contains("not a URL"), "{no}");
    }
}

/// An authority, and what it signs for 127.0.0.1: `ca.pem`, `chain.pem`, `key.pem`.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a test's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("chain.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn over_tls_both_sides_show_certificates_and_nobody_else_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    certificates(folder.path());
    certificates(other.path());
    let file = |name: &str| folder.path().join(name);
    let path = |name: &str| file(name).to_str().unwrap().to_owned();
    let secure = port::free().to_string();
    let (ca, chain, key) = (path("ca.pem"), path("chain.pem"), path("key.pem"));
    let redis = Redis::start_with(&[
        ("tls-port", &secure),
        ("tls-ca-cert-file", &ca),
        ("tls-cert-file", &chain),
        ("tls-key-file", &key),
        ("tls-auth-clients", "yes"),
    ]);
    let good = Settings {
        url: format!("rediss://127.0.0.1:{secure}"),
        ca_file: Some(file("ca.pem")),
        certificate: Some((file("chain.pem"), file("key.pem"))),
        ..settings(&redis)
    };
    let link = open(good.clone()).await.unwrap();
    assert!(link.state().facts().reachable);
    let refused = async |settings: Settings| open(settings).await.unwrap_err();
    let stranger = Settings { ca_file: Some(other.path().join("ca.pem")), ..good.clone() };
    assert!(matches!(refused(stranger).await, OpenError::Tls { .. }));
    let system = Settings { ca_file: None, ..good.clone() };
    assert!(matches!(refused(system).await, OpenError::Tls { .. }));
    let name = Settings { url: format!("rediss://localhost:{secure}"), ..good.clone() };
    assert!(matches!(refused(name).await, OpenError::Tls { .. }));
    let none = Settings { certificate: None, ..good.clone() };
    assert!(matches!(refused(none).await, OpenError::Tls { .. } | OpenError::Absent { .. }));
    let plain = Settings { url: format!("rediss://127.0.0.1:{}", redis.port()), ..good.clone() };
    let plain = refused(plain).await;
    assert!(matches!(plain, OpenError::Unreachable), "{plain:?}");
    for wrong in [file("key.pem"), file("absent.pem")] {
        let said = refused(Settings { ca_file: Some(wrong), ..good.clone() }).await;
        assert!(matches!(said, OpenError::File { .. }), "{said:?}");
    }
    let swapped = Settings { certificate: Some((file("key.pem"), file("chain.pem"))), ..good };
    assert!(matches!(refused(swapped).await, OpenError::File { .. }));
}

/// Settings that know the primary by its name alone.
fn by_name(redis: &Redis, sentinels: &[&Sentinel]) -> Settings {
    Settings {
        url: format!("redis://{}", Sentinel::SERVICE),
        sentinels: sentinels.iter().map(|sentinel| sentinel.url()).collect(),
        within: Duration::from_secs(1),
        copies: 1,
        ..settings(redis)
    }
}

async fn until(link: &Link, holds: impl Fn(&Facts) -> bool) {
    let started = Instant::now();
    while !holds(&link.state().facts()) {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", link.state().facts());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sentinels_lead_to_the_primary_also_when_it_is_another_one() {
    for hangs in [false, true] {
        let mut first = Redis::start();
        let second = first.replica(&[]);
        let mut sentinel = Sentinel::watch(first.port(), 1);
        while sentinel.replicas() == 0 {
            sleep(Duration::from_millis(50)).await;
        }
        // One is gone, one knows nothing of it.
        let gone = format!("redis://127.0.0.1:{}", port::free());
        let mut settings = by_name(&first, &[&sentinel]);
        settings.sentinels.extend([gone, second.url()]);
        let link = open(settings.clone()).await.unwrap();
        let before = link.state().facts();
        // All connections there are lead to what is left: each has to be given up.
        let mut lent = Vec::new();
        for _ in 0..settings.connections {
            lent.push(link.opened().await.unwrap());
        }
        drop(lent);
        if hangs {
            first.process().signal(Signal::STOP);
        } else {
            first.kill();
        }
        until(&link, |facts| facts.reachable && facts.r#gen != before.r#gen).await;
        assert_eq!(link.opened().await.unwrap().at(), format!("127.0.0.1:{}", second.port()));
        // The former one comes back, and is believed by nobody.
        first.process().signal(Signal::CONT);
        sleep(Duration::from_millis(300)).await;
        let later = open(settings).await.unwrap();
        assert_eq!(later.state().facts().r#gen, link.state().facts().r#gen);
        sentinel.process().kill();
    }
}

#[tokio::test]
async fn sentinels_that_lead_nowhere_say_why() {
    let redis = Redis::start();
    let sentinel = Sentinel::watch(redis.port(), 1);
    let locked = Sentinel::watch(redis.port(), 1);
    let set = locked.command(&["ACL", "SETUSER", "default", "resetpass", ">s3cret"]).unwrap();
    assert_eq!(set, "+OK\r\n");
    let good = by_name(&redis, &[&sentinel]);
    let said = async |settings: Settings| {
        let error = open(settings).await.unwrap_err();
        let said = format!("{error:?} {error}");
        assert!(!said.contains("s3cret"), "{said}");
        error.to_string()
    };
    let url = "redis://:s3cret@other".to_owned();
    let other = said(Settings { url, ..good.clone() }).await;
    assert!(other.contains("watches nothing called \"other\""), "{other}");
    let sentinels =
        vec![format!("redis://:s3cret@127.0.0.1:{}", port::free()), redis.url(), locked.url()];
    let none = said(Settings { sentinels, ..good.clone() }).await;
    for part in ["nobody answers there", "is it a Sentinel?", "user or password are wrong"] {
        assert!(none.contains(part), "{part}: {none}");
    }
    let sentinels = vec![sentinel.url(), "s3cret".to_owned()];
    let no = said(Settings { sentinels, ..good.clone() }).await;
    assert!(no.contains("number 2 is not a URL"), "{no}");
    let url = locked.url().replace("redis://", "redis://:s3cret@");
    open(Settings { sentinels: vec![url], ..good.clone() }).await.unwrap();
    let nobody = Sentinel::watch(port::free(), 1);
    let nobody = said(Settings { sentinels: vec![nobody.url()], ..good }).await;
    assert!(nobody.contains("nobody answers at 127.0.0.1:"), "{nobody}");
}
