//! TLS on the public interface: 1.3 and 1.2 over ring, HTTP/1.1 only, no client certificates.
//!
//! The handshake happens here, before anything of HTTP, within a time and at most so many at
//! once; after it nobody knows of TLS but [`Stream`]. Certificate and key come from files only,
//! and are read again when told to: connections that stand keep what they have.

mod handshakes;
mod stream;
mod validity;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use slog::{Logger, debug, info, warn};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use self::handshakes::Handshakes;
pub(crate) use self::stream::Stream;
use self::validity::Validity;
use crate::settings;

/// How long a handshake may take, its wait for others included.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);
/// Certificates in a file, at most.
const CHAIN_MAX: usize = 16;
/// From when on the end of a certificate is a warning: 14 days, in milliseconds.
const SOON_MS: u64 = 14 * 24 * 3_600_000;

/// Certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("{path} ({key}): expected {expected}, as PEM")]
    File {
        /// Which.
        path: PathBuf,
        /// The setting that names it.
        key: &'static str,
        /// What should be in it.
        expected: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// There is no certificate in the file, or too many.
    #[error("{path} (tls.certificate_file): expected 1 to 16 certificates, the server's own first")]
    Chain {
        /// Which.
        path: PathBuf,
    },
    /// The server's certificate is none.
    #[error("{path} (tls.certificate_file): its first certificate is not one of X.509")]
    Certificate {
        /// Which.
        path: PathBuf,
    },
    /// The certificate is not valid yet, or any more.
    #[error(
        "{path} (tls.certificate_file): the certificate is valid from {from} until {until}. \
         Renew it, or set the clock right"
    )]
    Expired {
        /// Which.
        path: PathBuf,
        /// The first day.
        from: String,
        /// The last day.
        until: String,
    },
    /// The key is another certificate's, or of a kind that cannot sign here.
    #[error(
        "{key} (tls.key_file) and {certificate} (tls.certificate_file) do not belong together: \
         expected the key that the first certificate was made for"
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// TLS with a certificate that can be changed. A clone is the same.
#[derive(Clone)]
pub(crate) struct Tls {
    files: settings::Tls,
    standing: Arc<RwLock<Standing>>,
    handshakes: Arc<Handshakes>,
}

/// What new connections get.
#[derive(Clone)]
struct Standing {
    config: Arc<ServerConfig>,
    validity: Validity,
}

/// Nothing of the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key; `None` if TLS is off.
    pub(crate) fn load(files: &settings::Tls, now_ms: u64) -> Result<Option<Self>, TlsError> {
        let Some((certificate, key)) = files.files() else { return Ok(None) };
        let standing = read(certificate, key, now_ms)?;
        Ok(Some(Self {
            files: files.clone(),
            standing: Arc::new(RwLock::new(standing)),
            handshakes: Arc::new(Handshakes::new()),
        }))
    }

    /// Reads both again. New connections get them; if they cannot be used, nothing changes.
    pub(crate) fn reload(&self, now_ms: u64) -> Result<(), TlsError> {
        if let Some((certificate, key)) = self.files.files() {
            let standing = read(certificate, key, now_ms)?;
            *self.standing.write().unwrap_or_else(PoisonError::into_inner) = standing;
        }
        Ok(())
    }

    /// Logs until when the certificate is good.
    pub(crate) fn report(&self, now_ms: u64, log: &Logger) {
        let validity = self.standing().validity;
        let until = validity.until();
        if validity.until_ms < now_ms.saturating_add(SOON_MS) {
            warn!(log, "the certificate ends soon: renew it, and send SIGHUP"; "until" => until);
        } else {
            info!(log, "certificate read"; "until" => until);
        }
        if is_open(&self.files.key_file) {
            warn!(log, "everybody on this machine may read the file of tls.key_file: chmod o= it");
        }
    }

    fn standing(&self) -> Standing {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shakes hands.
    async fn accept(&self, io: TcpStream, from: IpAddr) -> Result<Stream, &'static str> {
        let shaken = async {
            let _place = self.handshakes.begin(from).await.ok_or("closed")?;
            let acceptor = TlsAcceptor::from(self.standing().config);
            // The client's own words about what went wrong are not repeated.
            acceptor.accept(io).await.map_err(|_| "broken")
        };
        let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, shaken).await;
        shaken.unwrap_or(Err("too slow")).map(|stream| Stream::Tls(Box::new(stream)))
    }
}

/// What a listener hands to HTTP: a stream, and whose it is.
type Accepted = (Stream, Protocol, Option<std::net::SocketAddr>);

/// Takes connections in, through TLS if it is on.
pub(crate) fn accept(
    tls: Option<Tls>,
    log: Logger,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = Accepted,
    Error = DispatchError,
    InitError = (),
> {
    fn_service(move |io: TcpStream| {
        let (tls, log) = (tls.clone(), log.clone());
        async move {
            // A frame must not wait for the next one.
            let _ = io.set_nodelay(true);
            let peer = io.peer_addr().ok();
            let stream = match tls {
                None => Stream::Plain(io),
                Some(tls) => {
                    // Without an address it is gone already.
                    let shaken = match peer {
                        Some(peer) => tls.accept(io, peer.ip()).await,
                        None => Err("gone"),
                    };
                    shaken.map_err(|why| {
                        debug!(log, "no handshake"; "why" => why);
                        DispatchError::Io(io::Error::from(io::ErrorKind::ConnectionAborted))
                    })?
                }
            };
            Ok((stream, Protocol::Http1, peer))
        }
    })
}

/// Whether users that are neither the owner nor of the group may do something with a file.
#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

fn read(certificate: &Path, key: &Path, now_ms: u64) -> Result<Standing, TlsError> {
    let path = || certificate.to_owned();
    let file = |source| TlsError::File {
        path: path(),
        key: "tls.certificate_file",
        expected: "certificates",
        source,
    };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(file)?;
    let chain = chain.take(CHAIN_MAX + 1).collect::<Result<Vec<_>, _>>().map_err(file)?;
    let Some(own) = chain.first().filter(|_| chain.len() <= CHAIN_MAX) else {
        return Err(TlsError::Chain { path: path() });
    };
    let validity = Validity::of(own).ok_or_else(|| TlsError::Certificate { path: path() })?;
    if !validity.holds(now_ms) {
        let (from, until) = (validity.from(), validity.until());
        return Err(TlsError::Expired { path: path(), from, until });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
        path: key.to_owned(),
        key: "tls.key_file",
        expected: "a private key",
        source,
    })?;
    let pair = |source| TlsError::Pair { certificate: path(), key: key.to_owned(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Standing { config: Arc::new(config), validity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(folder: &Path) -> settings::Tls {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let files = settings::Tls {
            certificate_file: folder.join("chain.pem"),
            key_file: folder.join("key.pem"),
        };
        std::fs::write(&files.certificate_file, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key_file, key.serialize_pem()).unwrap();
        files
    }

    #[actix_web::test]
    async fn an_address_waits_for_itself_only_and_not_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::load(&pair(folder.path()), 1_800_000_000_000).unwrap().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect = async || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        };
        let (greedy, other) = (IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2]));
        let mut held = Vec::new();
        for _ in 0..handshakes::ADDRESS_MAX {
            held.push(tls.handshakes.begin(greedy).await.unwrap());
        }
        // All of its places are taken: it does not even begin, and gives up.
        let (_client, io) = connect().await;
        assert_eq!(tls.accept(io, greedy).await.unwrap_err(), "too slow");
        // Another address begins at once; a client that goes away gives its place back.
        for _ in 0..handshakes::ADDRESS_MAX + 1 {
            let (client, io) = connect().await;
            drop(client);
            assert_eq!(tls.accept(io, other).await.unwrap_err(), "broken");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_may_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let key = pair(folder.path()).key_file;
        for (mode, open) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open(&key), open, "{mode:o}");
        }
    }

    #[test]
    fn it_is_off_without_files_and_prints_no_key() {
        assert!(Tls::load(&settings::Tls::default(), 0).unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        let files = pair(folder.path());
        let tls = Tls::load(&files, 1_800_000_000_000).unwrap().unwrap();
        let shown = format!("{tls:?}");
        assert!(shown.contains("key.pem") && !shown.contains("Signing"), "{shown}");
    }
}
