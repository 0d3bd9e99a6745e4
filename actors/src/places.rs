//! Places for sockets: how many are not signed in, and how many come from one address.
//!
//! An address is what the server made of it (a network for IPv6, none where limits by address do
//! not hold). The table has a row for each address with a socket, so at most as many as sockets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use hushwire_wire::Close;

use crate::limits::Limits;

/// Who has which places.
#[derive(Debug)]
pub(crate) struct Places {
    unsigned_max: usize,
    unsigned_per_address: usize,
    signed_in_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    unsigned: usize,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Debug, Default)]
struct Count {
    unsigned: usize,
    signed_in: usize,
}

/// The place of one socket.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) from: Option<IpAddr>,
    signed_in: bool,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            unsigned_max: limits.unsigned,
            unsigned_per_address: limits.unsigned_per_address,
            signed_in_per_address: limits.signed_in_per_address,
            taken: Mutex::default(),
        }
    }

    /// A place for a socket that has not signed in; [`Close::Overloaded`] at a bound.
    pub(crate) fn take(&self, from: Option<IpAddr>) -> Result<Place, Close> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.unsigned >= self.unsigned_max {
            return Err(Close::Overloaded);
        }
        if let Some(from) = from {
            let before = taken.by_address.get(&from).map_or(0, |count| count.unsigned);
            if before >= self.unsigned_per_address {
                return Err(Close::Overloaded);
            }
            taken.by_address.entry(from).or_default().unsigned += 1;
        }
        taken.unsigned += 1;
        Ok(Place { from, signed_in: false })
    }

    /// The socket signed in; [`Close::Overloaded`] if too many from there have.
    pub(crate) fn sign_in(&self, place: &mut Place) -> Result<(), Close> {
        if place.signed_in {
            return Ok(());
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = place.from.and_then(|from| taken.by_address.get_mut(&from)) {
            let most = self.signed_in_per_address;
            if most > 0 && count.signed_in >= most {
                return Err(Close::Overloaded);
            }
            count.unsigned -= 1;
            count.signed_in += 1;
        }
        taken.unsigned -= 1;
        place.signed_in = true;
        Ok(())
    }

    /// The socket is gone.
    pub(crate) fn give_back(&self, place: &Place) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.signed_in {
            taken.unsigned -= 1;
        }
        let Some(from) = place.from else { return };
        let Some(count) = taken.by_address.get_mut(&from) else { return };
        if place.signed_in {
            count.signed_in -= 1;
        } else {
            count.unsigned -= 1;
        }
        if count.unsigned + count.signed_in == 0 {
            taken.by_address.remove(&from);
        }
    }

    /// Sockets that are not signed in.
    pub(crate) fn unsigned(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).unsigned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(unsigned: usize, per_address: usize, signed_in: usize) -> Places {
        Places::new(&Limits {
            unsigned,
            unsigned_per_address: per_address,
            signed_in_per_address: signed_in,
            ..Limits::default()
        })
    }

    fn four(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([203, 0, 113, last]))
    }

    #[test]
    fn who_has_not_signed_in_is_bounded_by_address_and_in_all() {
        let places = places(3, 2, 0);
        let mut first = places.take(four(1)).unwrap();
        let second = places.take(four(1)).unwrap();
        assert_eq!(places.take(four(1)).unwrap_err(), Close::Overloaded);
        let third = places.take(None).unwrap();
        assert_eq!(places.take(four(2)).unwrap_err(), Close::Overloaded, "three in all");
        assert_eq!(places.take(None).unwrap_err(), Close::Overloaded);
        places.sign_in(&mut first).unwrap();
        assert_eq!(places.unsigned(), 2);
        let fourth = places.take(four(1)).unwrap();
        for place in [first, second, third, fourth] {
            places.give_back(&place);
        }
        assert_eq!(places.unsigned(), 0);
        assert!(places.taken.lock().unwrap().by_address.is_empty(), "no row without a socket");
    }

    #[test]
    fn signed_in_sockets_are_bounded_by_address_if_asked_for() {
        for (most, allowed) in [(0, true), (1, false)] {
            let places = places(10, 10, most);
            let mut all: Vec<_> = (0..2).map(|_| places.take(four(1)).unwrap()).collect();
            places.sign_in(&mut all[0]).unwrap();
            assert_eq!(places.sign_in(&mut all[1]).is_ok(), allowed);
            let mut exempt = places.take(None).unwrap();
            places.sign_in(&mut exempt).unwrap();
            all.iter().for_each(|place| places.give_back(place));
            assert_eq!(places.unsigned(), 0);
        }
    }
}
