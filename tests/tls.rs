//! TLS in the process: what it speaks, whom it serves, how its certificate changes, and what is
//! said of a pair that cannot be used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hushwire_client::transport::{Call, Method, UNTRUSTED};
use hushwire_client::{Encoding, NetTransport, Transport as _};
use hushwire_wire::http::ServerCard;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use support::authority::{Authority, Signed};
use support::socket::PATIENCE;
use support::{Http, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The address that a child of this test finds the server at.
const CHILD: &str = "HUSHWIRE_TEST_TLS_SERVER";

struct Scene {
    authority: Authority,
    files: TempDir,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.good().write(files.path());
        let path = |name| files.path().join(name).display().to_string();
        let server = Server::start_with(&[
            ("tls.certificate_file", &path("chain.pem")),
            ("tls.key_file", &path("key.pem")),
            ("limits.message_interval_ms", "0"),
            ("log.level", "debug"),
        ]);
        assert!(server.url.starts_with("https://"), "{}", server.url);
        Self { authority, files, server }
    }

    fn host(&self) -> &str {
        self.server.url.trim_start_matches("https://")
    }

    async fn connect(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.host()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Vec<u8> {
        let stream = self.connect(self.authority.client(&[])).await.unwrap();
        let (_, connection) = stream.get_ref();
        connection.peer_certificates().unwrap()[0].to_vec()
    }
}

/// One request on a connection that stays.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /v1/server HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"}") {
        said.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn it_speaks_http_1_over_tls_and_nothing_in_the_clear() {
    let scene = Scene::new();
    let http = Http::trusting(&scene.server.url, scene.authority.client(&["http/1.1"]));
    let reply = http.get("/v1/server", None).await;
    let hsts = reply.headers["strict-transport-security"].to_str().unwrap().to_owned();
    assert_eq!(hsts, "max-age=63072000; includeSubDomains");
    let _: ServerCard = reply.ok();

    let offered = scene.authority.client(&["h2", "http/1.1"]);
    let stream = scene.connect(offered).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let only_h2 = scene.connect(scene.authority.client(&["h2"])).await;
    assert!(only_h2.is_err(), "HTTP/2 is not spoken");
    let mut stream = scene.connect(scene.authority.client(&[])).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    // Somebody else's authority knows nothing of it: the control of all these tests.
    assert!(scene.connect(Authority::new().client(&[])).await.is_err());

    let mut plain = TcpStream::connect(scene.host()).await.unwrap();
    plain.write_all(b"GET /v1/server HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // A reset says the same as an end.
    let _ = timeout(PATIENCE, plain.read_to_end(&mut said)).await.expect("an end in time");
    assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
    scene.server.until_logged("no handshake", 3);
}

#[tokio::test]
async fn tls_1_2_is_spoken_too() {
    let scene = Scene::new();
    let mut roots = rustls::RootCertStore::empty();
    let pem = scene.authority.pem.as_bytes();
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap();
    roots.add(der).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let older = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = scene.connect(older).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert!(format!("{suite:?}").contains("ECDHE"), "{suite:?}: forward secrecy");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_off() {
    let scene = Scene::new();
    let mut silent = TcpStream::connect(scene.host()).await.unwrap();
    let mut said = Vec::new();
    let ended = timeout(PATIENCE, silent.read_to_end(&mut said)).await;
    assert!(ended.is_ok() && said.is_empty(), "{said:?}");
    scene.server.until_logged("too slow", 1);
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_connections_stay() {
    let scene = Scene::new();
    let before = scene.shown().await;
    let mut standing = scene.connect(scene.authority.client(&[])).await.unwrap();
    assert!(ask(&mut standing).await.contains("200"));

    scene.authority.good().write(scene.files.path());
    assert_eq!(scene.shown().await, before, "nobody has said so yet");
    scene.server.hang_up();
    scene.server.until_logged("certificate read", 2);
    let after = scene.shown().await;
    assert_ne!(after, before);
    assert!(ask(&mut standing).await.contains("200"), "it was not dropped");

    // What cannot be used changes nothing.
    fs::write(scene.files.path().join("key.pem"), scene.authority.good().key).unwrap();
    scene.server.hang_up();
    scene.server.until_logged("the certificate was not changed", 1);
    assert_eq!(scene.shown().await, after);
    assert!(ask(&mut standing).await.contains("200"));
}

#[tokio::test]
async fn without_tls_sighup_changes_nothing() {
    let server = Server::start();
    server.hang_up();
    server.until_logged("there is no certificate to read again", 1);
    assert!(server.http().get("/v1/server", None).await.status.is_success());
}

/// People with the SDK, over https and wss. The SDK trusts what the system trusts, which is told
/// in the environment; so they live in a process of their own.
#[test]
fn people_talk_over_tls() {
    let scene = Scene::new();
    let ca = scene.files.path().join("ca.pem");
    fs::write(&ca, &scene.authority.pem).unwrap();
    let child = |trusted: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_child_of_people_talk_over_tls", "--ignored", "--nocapture"]);
        command.env(CHILD, &scene.server.url).env("SSL_CERT_FILE", trusted);
        command.env_remove("SSL_CERT_DIR").output().unwrap()
    };
    let talked = child(&ca);
    let said = String::from_utf8_lossy(&talked.stdout).into_owned();
    assert!(talked.status.success() && said.contains("1 passed"), "{said}");
    // With another authority they do not: the certificate was really looked at.
    fs::write(&ca, Authority::new().pem).unwrap();
    assert!(!child(&ca).status.success());
}

#[tokio::test]
#[ignore = "it is started by people_talk_over_tls, with its environment"]
async fn a_child_of_people_talk_over_tls() {
    use support::talker::{Talker, become_contacts};
    let url = std::env::var(CHILD).expect("started by its parent");
    let alice = Talker::register_at(&url, "alice", Encoding::Cbor).await;
    let bob = Talker::register_at(&url, "bob", Encoding::Json).await;
    let (mut alice, mut bob) = become_contacts(alice, bob, "alice", "bob").await;
    let id = alice.client.send_text("bob", "through TLS").await.unwrap();
    bob.shown("through TLS").await;
    alice.delivered(id).await;
    bob.client.send_text("alice", "and back").await.unwrap();
    alice.shown("and back").await;
}

/// What `check-config` and `serve` say of these files.
fn said_of(files: &Path) -> [(bool, String); 2] {
    ["check-config", "serve"].map(|verb| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
        command.arg(verb).current_dir(files).env("HUSHWIRE__SERVER__LISTEN", "127.0.0.1:0");
        command.env("HUSHWIRE__ADMIN__LISTEN", "").env("HUSHWIRE__SERVER__DOMAIN", "localhost");
        command.env("HUSHWIRE__TLS__CERTIFICATE_FILE", "chain.pem");
        command.env("HUSHWIRE__TLS__KEY_FILE", "key.pem");
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

#[tokio::test]
async fn a_person_is_told_that_a_certificate_is_not_trusted() {
    let scene = Scene::new();
    // This machine's authorities, or an authority that has nothing to do with it.
    let transport = NetTransport::new(&scene.server.url).unwrap();
    let path = "/v1/server".to_owned();
    let call = Call { method: Method::Get, path, token: None, body: None };
    assert_eq!(transport.call(call).await.unwrap_err().why, UNTRUSTED);
    assert_eq!(transport.open(Encoding::Cbor).await.unwrap_err().why, UNTRUSTED);
    // Nobody there is something else.
    drop(scene);
    let away = NetTransport::new("https://127.0.0.1:1").unwrap();
    let why = away.open(Encoding::Cbor).await.unwrap_err().why;
    assert!(why.starts_with("no connection"), "{why}");
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_in_plain_words() {
    let authority = Authority::new();
    let good = authority.good();
    let other = authority.good();
    let key = good.key.clone();
    let with = |certificate: &str, key: &str| Signed {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (pair, words) in [
        (with(&good.certificate, &other.key), "do not belong together"),
        (with("no PEM at all", &key), "expected 1 to 16 certificates"),
        (
            with(&good.certificate, "no PEM at all"),
            "key.pem (tls.key_file): expected a private key",
        ),
        (with(&good.certificate, &good.certificate), "expected a private key"),
        (with(&key, &key), "expected 1 to 16 certificates"),
        (with(&good.certificate.repeat(17), &key), "expected 1 to 16 certificates"),
        (authority.sign(2020, 2021), "valid from 2020-01-01 until 2021-01-01. Renew it"),
        (authority.sign(2090, 2099), "valid from 2090-01-01"),
    ] {
        let files = tempfile::tempdir().unwrap();
        pair.write(files.path());
        for (succeeded, said) in said_of(files.path()) {
            assert!(!succeeded && said.contains(words), "{words}: {said}");
            let body: String = key.lines().skip(1).take(1).collect();
            assert!(!said.contains(&body), "the key is repeated: {said}");
        }
    }
    let missing = tempfile::tempdir().unwrap();
    for (succeeded, said) in said_of(missing.path()) {
        assert!(!succeeded && said.contains("chain.pem (tls.certificate_file)"), "{said}");
    }
    good.write(missing.path());
    // `serve` would run now; only the check is asked.
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
    command.args(["check-config", "--set", "tls.certificate_file=chain.pem"]);
    command.args(["--set", "tls.key_file=key.pem"]).current_dir(missing.path());
    let checked = command.output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("tls.key_file = \"key.pem\""), "{said}");
}
