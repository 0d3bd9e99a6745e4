//! Tokens for the HTTP interface, kept by their hashes.
//!
//! Bounded twice: a device has so many, and its oldest goes for its newest, so that no device
//! pushes out another's; all devices together have so many, and then the oldest of all goes. Whose
//! token went signs in again.

use std::collections::{HashMap, VecDeque};

use hushwire_wire::{DeviceId, UserId};

use crate::limits::Limits;

type Hash = [u8; 32];

/// Whose a token is, and when it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) until_ms: u64,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    held: HashMap<Hash, Held>,
    /// Oldest first, at most [`Limits::tokens_per_device`] each.
    devices: HashMap<DeviceId, Vec<Hash>>,
    /// Oldest first, with what is gone already: at most twice [`Limits::tokens`].
    order: VecDeque<(u64, Hash)>,
}

impl Tokens {
    /// Remembers a token at `now_ms`.
    pub(super) fn put(&mut self, hash: Hash, token: Held, limits: &Limits, now_ms: u64) {
        self.remove(&hash);
        while let Some(&(until_ms, oldest)) = self.order.front() {
            let current = self.held.get(&oldest).is_some_and(|held| held.until_ms == until_ms);
            if current && until_ms > now_ms && self.held.len() < limits.tokens.max(1) {
                break;
            }
            self.order.pop_front();
            if current {
                self.remove(&oldest);
            }
        }
        while self
            .devices
            .get(&token.device)
            .is_some_and(|hashes| hashes.len() >= limits.tokens_per_device.max(1))
        {
            let oldest = self.devices.get(&token.device).and_then(|hashes| hashes.first().copied());
            oldest.into_iter().for_each(|oldest| self.remove(&oldest));
        }
        // Seldom, so that nobody can make every call look through all of them.
        if self.order.len() >= 2 * limits.tokens.max(1) {
            let held = &self.held;
            self.order.retain(|(until_ms, hash)| {
                held.get(hash).is_some_and(|held| held.until_ms == *until_ms)
            });
        }
        self.order.push_back((token.until_ms, hash));
        let hashes = self.devices.entry(token.device).or_default();
        // Most have one.
        hashes.reserve_exact(1);
        hashes.push(hash);
        self.held.insert(hash, token);
    }

    /// Whose a token is, if it has not ended at `now_ms`.
    pub(super) fn check(&self, hash: &Hash, now_ms: u64) -> Option<(UserId, DeviceId)> {
        let held = self.held.get(hash).filter(|held| now_ms < held.until_ms)?;
        Some((held.user, held.device))
    }

    /// Forgets all tokens of a device.
    pub(super) fn drop_device(&mut self, device: &DeviceId) {
        for hash in self.devices.remove(device).into_iter().flatten() {
            self.held.remove(&hash);
        }
    }

    fn remove(&mut self, hash: &Hash) {
        let Some(held) = self.held.remove(hash) else { return };
        if let Some(hashes) = self.devices.get_mut(&held.device) {
            hashes.retain(|one| one != hash);
            if hashes.is_empty() {
                self.devices.remove(&held.device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(tokens: &mut Tokens, device: u8, k: u8, limits: &Limits, now_ms: u64) {
        let (user, device) = (UserId([device; 32]), DeviceId([device; 16]));
        let token = Held { user, device, until_ms: now_ms + 1_000 };
        tokens.put([k; 32], token, limits, now_ms);
    }

    fn known(tokens: &Tokens, now_ms: u64) -> Vec<u8> {
        (0..=255).filter(|k| tokens.check(&[*k; 32], now_ms).is_some()).collect()
    }

    #[test]
    fn a_device_pushes_out_its_own_only() {
        let limits = Limits { tokens: 10, tokens_per_device: 3, ..Limits::default() };
        let mut tokens = Tokens::default();
        put(&mut tokens, 1, 0, &limits, 0);
        for k in 10..200 {
            put(&mut tokens, 2, k, &limits, u64::from(k));
        }
        assert_eq!(known(&tokens, 200), [0, 197, 198, 199]);
        assert!(tokens.order.len() <= 20, "{}", tokens.order.len());
        tokens.drop_device(&DeviceId([2; 16]));
        assert_eq!(known(&tokens, 200), [0]);
        put(&mut tokens, 2, 7, &limits, 300);
        assert_eq!(known(&tokens, 300), [0, 7], "it may sign in again");
        assert_eq!(known(&tokens, 1_000), [7], "and each ends");
    }

    #[test]
    fn all_together_are_bounded_and_the_oldest_goes() {
        let limits = Limits { tokens: 4, tokens_per_device: 3, ..Limits::default() };
        let mut tokens = Tokens::default();
        for k in 0..20 {
            put(&mut tokens, k, k, &limits, u64::from(k));
        }
        assert_eq!(known(&tokens, 20), [16, 17, 18, 19]);
        assert_eq!((tokens.held.len(), tokens.devices.len()), (4, 4));
        put(&mut tokens, 30, 30, &limits, 5_000);
        assert_eq!((tokens.held.len(), tokens.devices.len(), tokens.order.len()), (1, 1, 1));
    }
}
