//! Signatures that are somebody's, and not for this; and signatures and keys at the edges of
//! Ed25519, where verifiers differ.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::{EdwardsPoint, Scalar};
use dryoc::classic::crypto_hash::crypto_hash_sha512;
use hushwire_e2ee::DeviceKey;
use hushwire_identity::hash::{Label, signed};
use hushwire_wire::close::Close;
use hushwire_wire::http::ProblemCode;

use crate::doors::{
    added, entry_refused, entry_taken, genesis, hello, honest, prekey, shown_prekey, token,
};
use crate::scene::Scene;
use crate::support::forge::sign;
use crate::support::person::{Person, random, random_array};
use crate::support::victim::server;

fn key() -> DeviceKey {
    DeviceKey::generate(&mut random).unwrap()
}

/// 24: the right bytes under every other label, at every place that verifies.
#[tokio::test]
async fn a_signature_under_another_label_counts_for_nothing() {
    let mut scene = Scene::set().await;
    let http = scene.server.http();
    let mallory = Person::register(&http, "malory").await;
    let (first, new) = (scene.mallory.person.key.clone(), key());
    for wrong in Label::ALL.iter().copied() {
        let by = |key: &DeviceKey| {
            let key = key.clone();
            move |right: Label, parts: &[&[u8]]| {
                assert!(right != wrong);
                sign(&key, wrong, parts)
            }
        };
        if wrong != Label::Log {
            let refused = genesis(&http, &mallory.domain, "other", new.public(), &by(&new)).await;
            let problem = refused.unwrap();
            assert_eq!(problem.code, ProblemCode::BadRequest);
            assert_eq!(problem.field.as_deref(), Some("genesis"));
            let entry = added(&scene, new.public(), &honest(&new), &by(&first));
            entry_refused(&mut scene, entry).await;
        }
        if wrong != Label::Claim {
            let entry = added(&scene, new.public(), &by(&new), &honest(&first));
            entry_refused(&mut scene, entry).await;
        }
        if wrong != Label::Prekey {
            let problem = prekey(&mallory, &by(&mallory.key)).await.unwrap();
            assert_eq!(problem.code, ProblemCode::BadRequest);
            assert_eq!(problem.field.as_deref(), Some("prekey"));
            let verdict = shown_prekey(&mut scene, &by(&first)).await;
            assert_eq!(verdict, Err("PREKEY_INVALID".to_owned()));
        }
        if wrong != Label::Auth {
            let refused = token(&mallory, &by(&mallory.key)).await;
            assert_eq!(refused, Some(ProblemCode::Unauthenticated));
            let closed = hello(&mallory, &by(&mallory.key)).await;
            assert_eq!(closed, Some(Close::NotAuthenticated));
        }
    }
    // Under its own label each is taken.
    let own = honest(&mallory.key);
    assert_eq!(prekey(&mallory, &own).await, None);
    assert_eq!(token(&mallory, &own).await, None);
    assert_eq!(hello(&mallory, &own).await, None);
    let of_new = honest(&new);
    assert_eq!(genesis(&http, &mallory.domain, "other", new.public(), &of_new).await, None);
    let entry = added(&scene, new.public(), &of_new, &honest(&first));
    entry_taken(&mut scene, entry).await;
    let by_first = honest(&first);
    assert_eq!(shown_prekey(&mut scene, &by_first).await, Ok(()));
}

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut out = [0; 64];
    crypto_hash_sha512(&mut out, &parts.concat());
    out
}

/// The secret scalar of a key.
fn scalar(key: &DeviceKey) -> Scalar {
    let mut low: [u8; 32] = sha512(&[&*key.to_seed()])[..32].try_into().unwrap();
    low[0] &= 248;
    low[31] = (low[31] & 127) | 64;
    Scalar::from_bytes_mod_order(low)
}

/// `k` of a signature with these parts.
fn challenge(r: &[u8; 32], public: &[u8; 32], message: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&sha512(&[r, public, message]))
}

fn joined(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [*r, *s].concat().try_into().unwrap()
}

/// A signature whose `R` is `r * B + more`, written so.
fn crafted(
    a: &Scalar,
    public: &[u8; 32],
    r: &Scalar,
    more: EdwardsPoint,
    message: &[u8],
) -> [u8; 64] {
    let point = (EdwardsPoint::mul_base(r) + more).compress().to_bytes();
    let s = r + challenge(&point, public, message) * a;
    joined(&point, s.as_bytes())
}

fn any() -> Scalar {
    Scalar::from_bytes_mod_order_wide(&random_array())
}

/// `S + L`: the same residue.
fn plus_order(signature: &[u8; 64]) -> [u8; 64] {
    let mut out = *signature;
    // L, little-endian.
    let order = (Scalar::ZERO - Scalar::ONE).to_bytes();
    let mut carry = 1;
    for (byte, add) in out[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    out
}

/// `y = p + 1`: the neutral point, written in another way.
fn neutral_again() -> [u8; 32] {
    let mut out = [0xff; 32];
    (out[0], out[31]) = (0xee, 0x7f);
    out
}

/// How many [`edge`]s there are.
const EDGES: usize = 18;

/// Signatures of an honest key over this message that a looser verifier takes.
fn edge(n: usize, key: &DeviceKey, message: &[u8]) -> [u8; 64] {
    let (a, public) = (scalar(key), key.public());
    let neutral = EIGHT_TORSION[0];
    let signature = match n {
        0 => plus_order(&crafted(&a, public, &any(), neutral, message)),
        // R of small order: the neutral point, in both writings.
        1 => crafted(&a, public, &Scalar::ZERO, neutral, message),
        2 => {
            let again = neutral_again();
            joined(&again, (challenge(&again, public, message) * a).as_bytes())
        }
        // R of mixed and of small order: right for whoever multiplies by the cofactor.
        3..=9 => crafted(&a, public, &any(), EIGHT_TORSION[n - 2], message),
        10..=16 => crafted(&a, public, &Scalar::ZERO, EIGHT_TORSION[n - 9], message),
        _ => return [0; 64],
    };
    assert!(is_loosely_right(public, message, &signature), "{n}");
    signature
}

/// A verifier with every fault: it reduces S, reads points that are not canonical, allows small
/// orders, and multiplies by the cofactor.
fn is_loosely_right(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let point = |bytes: &[u8]| CompressedEdwardsY::from_slice(bytes).unwrap().decompress();
    let (r, s) = signature.split_at(32);
    let k = challenge(r.as_array().unwrap(), public, message);
    let s = Scalar::from_bytes_mod_order(s.try_into().unwrap());
    let (Some(r), Some(a)) = (point(r), point(public)) else { return false };
    (EdwardsPoint::mul_base(&s) - r - k * a).is_small_order()
}

/// Keys that no honest device has, and the signature that a looser verifier takes for theirs.
struct Odd {
    ik: [u8; 32],
    /// The scalar that the prime-order part of the key belongs to.
    a: Scalar,
    torsion: EdwardsPoint,
}

impl Odd {
    fn all() -> Vec<Self> {
        let mut list = Vec::new();
        for torsion in EIGHT_TORSION {
            let a = Scalar::ZERO;
            list.push(Self { ik: torsion.compress().to_bytes(), a, torsion });
            let a = any();
            let ik = (EdwardsPoint::mul_base(&a) + torsion).compress().to_bytes();
            list.push(Self { ik, a, torsion });
        }
        // The neutral point, not canonical.
        list.push(Self { ik: neutral_again(), a: Scalar::ZERO, torsion: EIGHT_TORSION[0] });
        // A prime-order key is none of them.
        list.retain(|odd| odd.a == Scalar::ZERO || odd.torsion != EIGHT_TORSION[0]);
        list
    }

    /// Right even without the cofactor: `R` is varied until the torsion falls out.
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        loop {
            let signature = crafted(&self.a, &self.ik, &any(), EIGHT_TORSION[0], message);
            let r: &[u8; 32] = signature[..32].as_array().unwrap();
            if challenge(r, &self.ik, message) * self.torsion == EIGHT_TORSION[0] {
                assert!(is_loosely_right(&self.ik, message, &signature));
                return signature;
            }
        }
    }
}

/// 25: at the server.
#[tokio::test]
async fn the_server_takes_no_edge_of_ed25519() {
    let server = server();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let domain = alice.domain.clone();
    let new = key();
    for n in 0..EDGES {
        let by = |key: &DeviceKey| {
            let key = key.clone();
            move |label: Label, parts: &[&[u8]]| edge(n, &key, &signed(label, parts))
        };
        let problem = genesis(&http, &domain, "someone", new.public(), &by(&new)).await.unwrap();
        assert_eq!(problem.field.as_deref(), Some("genesis"), "{n}");
        let problem = prekey(&alice, &by(&alice.key)).await.unwrap();
        assert_eq!(problem.field.as_deref(), Some("prekey"), "{n}");
        let refused = token(&alice, &by(&alice.key)).await;
        assert_eq!(refused, Some(ProblemCode::Unauthenticated), "{n}");
        let closed = hello(&alice, &by(&alice.key)).await;
        assert_eq!(closed, Some(Close::NotAuthenticated), "{n}");
    }
    for odd in Odd::all() {
        let by = |label: Label, parts: &[&[u8]]| odd.sign(&signed(label, parts));
        let problem = genesis(&http, &domain, "someone", &odd.ik, &by).await.unwrap();
        assert_eq!(problem.code, ProblemCode::BadRequest);
        assert_eq!(problem.field.as_deref(), Some("genesis"));
    }
    // Crafted without an edge, all of it is taken.
    let by = |key: &DeviceKey| {
        let (a, public) = (scalar(key), *key.public());
        move |label: Label, parts: &[&[u8]]| {
            crafted(&a, &public, &any(), EIGHT_TORSION[0], &signed(label, parts))
        }
    };
    assert_eq!(genesis(&http, &domain, "someone", new.public(), &by(&new)).await, None);
    assert_eq!(prekey(&alice, &by(&alice.key)).await, None);
    assert_eq!(token(&alice, &by(&alice.key)).await, None);
    assert_eq!(hello(&alice, &by(&alice.key)).await, None);
}

/// 25: at the SDK.
#[tokio::test]
async fn the_sdk_takes_no_edge_of_ed25519() {
    let mut scene = Scene::set().await;
    let (first, new) = (scene.mallory.person.key.clone(), key());
    for n in 0..EDGES {
        let by = |key: &DeviceKey| {
            let key = key.clone();
            move |label: Label, parts: &[&[u8]]| edge(n, &key, &signed(label, parts))
        };
        let entry = added(&scene, new.public(), &honest(&new), &by(&first));
        entry_refused(&mut scene, entry).await;
        let entry = added(&scene, new.public(), &by(&new), &honest(&first));
        entry_refused(&mut scene, entry).await;
        let verdict = shown_prekey(&mut scene, &by(&first)).await;
        assert_eq!(verdict, Err("PREKEY_INVALID".to_owned()), "{n}");
    }
    for odd in Odd::all() {
        let by = |label: Label, parts: &[&[u8]]| odd.sign(&signed(label, parts));
        let entry = added(&scene, &odd.ik, &by, &honest(&first));
        entry_refused(&mut scene, entry).await;
    }
    let by = |key: &DeviceKey| {
        let (a, public) = (scalar(key), *key.public());
        move |label: Label, parts: &[&[u8]]| {
            crafted(&a, &public, &any(), EIGHT_TORSION[0], &signed(label, parts))
        }
    };
    let entry = added(&scene, new.public(), &by(&new), &by(&first));
    entry_taken(&mut scene, entry).await;
    assert_eq!(shown_prekey(&mut scene, &by(&first)).await, Ok(()));
}
