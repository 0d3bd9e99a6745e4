//! Who records everything today and has a quantum computer tomorrow: all X25519 secrets are
//! revealed, and the ML-KEM secret is not.

use dryoc::classic::crypto_core::crypto_scalarmult;
use dryoc::classic::crypto_hash::crypto_hash_sha3256;
use dryoc::classic::crypto_kem_mlkem768::{
    crypto_kem_mlkem768_dec, crypto_kem_mlkem768_seed_keypair,
};
use dryoc::classic::crypto_xof::crypto_xof_shake256;
use hushwire_client::Event;
use hushwire_identity::hash::{Label, kdf};
use hushwire_identity::{EpochHeader, Prekey, Suite, Suites};
use hushwire_wire::Encoding;
use hushwire_wire::frame::{Message, ServerOp};
use hushwire_wire::http::EpochBundle;

use crate::support::Server;
use crate::support::forge::{Epoch, exchange, prekey_secrets, unseal};
use crate::support::person::{Person, both_suites, plain_suite};
use crate::support::victim::{Victim, server};

/// What passed between bob, with the SDK, and Mallory, who later reveals her secrets.
struct Recorded {
    epoch: Epoch,
    wrap: Vec<u8>,
    message: Message,
    mallory: Person,
    /// X(ik) of bob, who made the epoch: public.
    creator: ([u8; 32], hushwire_wire::DeviceId),
}

impl Recorded {
    async fn under(server: &Server, suites: Suites) -> Self {
        let mut bob = Victim::register(server, "bob").await;
        let mallory = Person::register_with(&server.http(), "mallory", suites).await;
        assert!(mallory.ask(&mallory.request("bob")).await.status.is_success());
        bob.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
        bob.client.contacts_accept("mallory").await.unwrap();
        bob.client.send_text("mallory", "a secret for decades").await.unwrap();
        let (mut socket, _) = mallory.connect(Encoding::Cbor).await;
        let message = socket.event(|op| match op {
            ServerOp::Message(message) => Some(message),
            _ => None,
        });
        let message = message.await;
        let newest = mallory.contacts().await.contacts[0].newest.unwrap().epoch;
        let path = format!("/v1/epochs/{}", newest.to_base64url());
        let bundle: EpochBundle = mallory.http.get(&path, mallory.token()).await.ok();
        let header = EpochHeader::parse(bundle.header.as_bytes()).unwrap();
        let (log, _) = mallory.look_up(&bob.user).await;
        let device = log.devices().next().unwrap();
        Self {
            epoch: Epoch { header, key: [0; 32] },
            wrap: bundle.wrap.unwrap().as_bytes().to_vec(),
            message,
            creator: (device.x25519, device.id),
            mallory,
        }
    }

    /// Opens the wrap with a shared secret, and the message with what is in it.
    fn read(&self, shared: &[u8; 32]) -> Option<String> {
        let (x25519, _) = prekey_secrets(&self.mallory.secret);
        let auth = exchange(&self.creator.0, &x25519);
        let to: &Prekey = &self.mallory.prekey;
        let (ct, sealed) = self.wrap.split_at(self.wrap.len() - 48);
        let key = self.epoch.wrap_key(shared, &auth, &self.creator.1, to, ct);
        let key = unseal(&key, sealed)?.try_into().unwrap();
        let opened = Epoch { key, header: self.epoch.header.clone() };
        let bytes = self.message.msg.as_bytes();
        let chain = opened.chain(&self.creator.1, 0, 0);
        let message_key = kdf(&kdf(&chain, Label::Msg, &[]), Label::Msg, &[&bytes[..56]]);
        let padded = unseal(&kdf(&message_key, Label::Enc, &[]), &bytes[92..bytes.len() - 16])?;
        let text = "a secret for decades";
        let at = padded.windows(text.len()).position(|part| part == text.as_bytes())?;
        String::from_utf8(padded[at..at + text.len()].to_vec()).ok()
    }
}

fn raw(public: &[u8; 32], secret: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    crypto_scalarmult(&mut out, secret, public).unwrap();
    out
}

/// X-Wing's combiner.
fn combined(of_ml_kem: &[u8; 32], of_x25519: &[u8; 32], ct: &[u8], public: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let parts = [&of_ml_kem[..], of_x25519, ct, public, b"\\.//^\\"].concat();
    crypto_hash_sha3256(&mut out, &parts);
    out
}

/// 22, the control: with suite 1 the X25519 secrets are all there is.
#[tokio::test]
async fn suite_1_is_open_to_whoever_has_the_x25519_secrets() {
    let server = server();
    let recorded = Recorded::under(&server, plain_suite()).await;
    assert_eq!(recorded.epoch.header.suite, Suite::NaCl);
    let (x25519, _) = prekey_secrets(&recorded.mallory.secret);
    let shared = exchange(recorded.wrap[..32].as_array().unwrap(), &x25519);
    assert_eq!(recorded.read(&shared).as_deref(), Some("a secret for decades"));
    assert_eq!(recorded.read(&[0; 32]), None);
}

/// 22: with suite 3 every X25519 secret is known, the one inside X-Wing too, and nothing opens;
/// with the ML-KEM secret it does.
#[tokio::test]
async fn suite_3_is_closed_to_whoever_has_the_x25519_secrets() {
    let server = server();
    let recorded = Recorded::under(&server, both_suites()).await;
    assert_eq!(recorded.epoch.header.suite, Suite::XWing);
    let (x25519, seed) = prekey_secrets(&recorded.mallory.secret);
    // X-Wing's seed gives 64 bytes for ML-KEM and its own X25519 secret.
    let mut expanded = [0; 96];
    crypto_xof_shake256(&mut expanded, &seed);
    let inside: &[u8; 32] = expanded[64..].as_array().unwrap();
    let ephemeral: &[u8; 32] = recorded.wrap[1088..1120].as_array().unwrap();
    let public = &recorded.mallory.prekey.xwing.as_deref().unwrap()[1184..];
    let of_x25519 = raw(ephemeral, inside);
    let guesses = [
        exchange(ephemeral, &x25519),
        exchange(ephemeral, inside),
        raw(ephemeral, &x25519),
        of_x25519,
        [0; 32],
        combined(&[0; 32], &of_x25519, ephemeral, public),
        combined(&of_x25519, &of_x25519, ephemeral, public),
    ];
    for guess in guesses {
        assert_eq!(recorded.read(&guess), None);
    }
    let (_, secret) = crypto_kem_mlkem768_seed_keypair(expanded[..64].as_array().unwrap());
    let mut of_ml_kem = [0; 32];
    crypto_kem_mlkem768_dec(&mut of_ml_kem, recorded.wrap[..1088].as_array().unwrap(), &secret);
    let shared = combined(&of_ml_kem, &of_x25519, ephemeral, public);
    assert_eq!(recorded.read(&shared).as_deref(), Some("a secret for decades"));
}
