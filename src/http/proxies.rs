//! Who really asks: behind proxies that are trusted, the address that they say; from anybody
//! else, a header is only a claim.
//!
//! `X-Forwarded-For` grows to the right, each proxy adding whom it heard from. So it is read from
//! the right, and the first address that is no trusted proxy is the client; what stands left of
//! it, the client may have made up.

use std::net::{IpAddr, SocketAddr};

use actix_http::header::{HeaderMap, HeaderName, X_FORWARDED_FOR, X_FORWARDED_PROTO};

use crate::settings::Network;

/// Addresses that are read, at most: more proxies in a row than anybody has.
const HOPS_MAX: usize = 16;

/// The proxies that are trusted.
#[derive(Debug)]
pub(crate) struct Proxies(Vec<Network>);

/// A trusted proxy sent what is no list of addresses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Proxies {
    /// Those of the setting, which has been checked.
    pub(crate) fn new(networks: &[String]) -> Self {
        Self(networks.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// The address of whoever asks; the proxy's own, if it names nobody.
    ///
    /// # Errors
    /// [`Malformed`]: taking the proxy's address instead would let a client choose to share it.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Malformed> {
        let mut found = peer.to_canonical();
        if !self.trusts(found) {
            return Ok(found);
        }
        for (hop, part) in parts(headers, &X_FORWARDED_FOR).enumerate() {
            found = part.and_then(address).filter(|_| hop < HOPS_MAX).ok_or(Malformed)?;
            if !self.trusts(found) {
                break;
            }
        }
        Ok(found)
    }

    /// Whether a trusted proxy was asked over TLS.
    pub(crate) fn says_https(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let said = || parts(headers, &X_FORWARDED_PROTO).next().flatten();
        self.trusts(peer) && said().is_some_and(|said| said.eq_ignore_ascii_case("https"))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The parts of a list, the last first, over all headers of the name.
fn parts<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    headers.get_all(name).rev().flat_map(|value| {
        let text = value.to_str().ok();
        let parts =
            text.into_iter().flat_map(|text| text.rsplit(',').map(|part| Some(part.trim())));
        parts.chain(text.is_none().then_some(None))
    })
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|full: SocketAddr| full.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn client(peer: &str, values: &[&str]) -> Result<String, Malformed> {
        let proxies = Proxies::new(&["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()]);
        let found = proxies.client(peer.parse().unwrap(), &headers(&X_FORWARDED_FOR, values));
        found.map(|address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let said = |peer, values| client(peer, values).unwrap();
        assert_eq!(said("203.0.113.1", &["198.51.100.7"]), "203.0.113.1", "an untrusted peer");
        assert_eq!(said("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(said("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(said("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(said("10.0.0.1", &[]), "10.0.0.1", "it names nobody");
    }

    #[test]
    fn the_right_most_untrusted_address_counts() {
        let said = |values| client("10.0.0.1", values).unwrap();
        assert_eq!(said(&["1.1.1.1, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(said(&["1.1.1.1", "198.51.100.7", "10.0.0.2,10.0.0.3"]), "198.51.100.7");
        assert_eq!(said(&["garbage, 198.51.100.7"]), "198.51.100.7", "the client's own garbage");
        assert_eq!(said(&["10.0.0.9, 10.0.0.8"]), "10.0.0.9", "proxies all the way");
        assert_eq!(said(&["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(said(&["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(said(&["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(said(&["::ffff:198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn what_is_no_list_of_addresses_is_refused() {
        for values in
            [&["unknown"][..], &[""], &["198.51.100.7,"], &["a b"], &["1.1.1.1", "\u{e9}"]]
        {
            assert_eq!(client("10.0.0.1", values), Err(Malformed), "{values:?}");
            assert_eq!(client("203.0.113.1", values), Ok("203.0.113.1".to_owned()), "{values:?}");
        }
        let many = vec!["10.0.0.1"; HOPS_MAX + 1].join(",");
        assert_eq!(client("10.0.0.1", &[&many]), Err(Malformed));
    }

    #[test]
    fn a_trusted_proxy_says_whether_it_was_asked_over_tls() {
        let proxies = Proxies::new(&["10.0.0.0/8".to_owned()]);
        let says = |peer: &str, values: &[&str]| {
            proxies.says_https(peer.parse().unwrap(), &headers(&X_FORWARDED_PROTO, values))
        };
        assert!(says("10.0.0.1", &["https"]));
        assert!(says("10.0.0.1", &["http, https"]));
        assert!(!says("10.0.0.1", &["https, http"]));
        assert!(!says("10.0.0.1", &[]));
        assert!(!says("203.0.113.1", &["https"]));
    }
}
