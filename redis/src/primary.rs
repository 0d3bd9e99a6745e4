//! Connections to the primary, wherever it is: at the host of the URL, or where Sentinels say.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::io::tcp::TcpSettings;
use bb8_redis::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo as _, RedisError, TlsCertificates, Value, cmd,
};

use crate::error::OpenError;
use crate::library;
use crate::sentinel::Sentinels;
use crate::settings::Settings;

/// One connection, for one caller.
#[derive(Debug)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    /// Where it leads to, for people.
    at: String,
    broken: bool,
    /// Which turn it was opened in.
    turn: u64,
}

impl Connection {
    /// It is not used again.
    pub(crate) const fn broken(&mut self) {
        self.broken = true;
    }

    /// Where it leads to, for people: `host:port`.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// It is used by many callers from now on.
    pub(crate) fn into_shared(self) -> MultiplexedConnection {
        self.inner
    }
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

/// A connection on loan.
pub(crate) type Loan<'a> = bb8::PooledConnection<'a, Primary>;

/// Opens connections to the primary.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    /// With Sentinels, user, password and TLS of whatever server they name.
    info: ConnectionInfo,
    sentinels: Option<Arc<Sentinels>>,
    settings: Arc<Settings>,
    /// Whether a connection loads the functions.
    loads: bool,
    /// Which turn it is: connections of an earlier one are not lent any more.
    turn: Arc<AtomicU64>,
}

impl Primary {
    /// Reads URLs and files; nothing is connected yet.
    ///
    /// # Errors
    /// If one of them is wrong.
    pub(crate) fn new(settings: Arc<Settings>, loads: bool) -> Result<Self, OpenError> {
        let certificates = certificates(&settings)?;
        let info = info(&settings.url, certificates.as_ref())?;
        let sentinels = Sentinels::new(&settings, &info, certificates.as_ref())?.map(Arc::new);
        Ok(Self { info, sentinels, settings, loads, turn: Arc::default() })
    }

    /// Whatever connection there is may lead nowhere, or to a server that is no primary any more: none
    /// is lent again, without asking each of them whether it hangs.
    pub(crate) fn begin_turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.within))
            .set_response_timeout(Some(self.settings.within + self.settings.copied_within))
    }

    /// How to connect to another server with the same user, password and kind of connection.
    pub(crate) fn info_of(&self, host: &str, port: u16) -> ConnectionInfo {
        elsewhere(&self.info, host, port)
    }

    /// Connects to the primary; how, and a connection that knows that it is one.
    ///
    /// # Errors
    /// If there is none that can be used.
    pub(crate) async fn reach(&self) -> Result<(ConnectionInfo, Connection), OpenError> {
        match &self.sentinels {
            None => Ok((self.info.clone(), self.reach_at(&self.info).await?)),
            Some(sentinels) => sentinels.lead(self).await,
        }
    }

    /// Connects to a server that must be a primary.
    ///
    /// # Errors
    /// If it is none, or cannot be used.
    pub(crate) async fn reach_at(&self, info: &ConnectionInfo) -> Result<Connection, OpenError> {
        let at = at(info);
        let turn = self.turn.load(Ordering::Relaxed);
        let why = |error| OpenError::from_redis(error, &at);
        let client = Client::open(info.clone()).map_err(why)?;
        let connected = client.get_multiplexed_async_connection_with_config(&self.config()).await;
        let mut inner = connected.map_err(why)?;
        hello(&mut inner, &at).await?;
        if self.loads {
            library::load(&mut inner).await.map_err(why)?;
        }
        Ok(Connection { inner, at, broken: false, turn })
    }
}

impl bb8::ManageConnection for Primary {
    type Connection = Connection;
    type Error = OpenError;

    async fn connect(&self) -> Result<Connection, OpenError> {
        Ok(self.reach().await?.1)
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), OpenError> {
        // Whoever gives up while it is asked puts it back: it must not be lent again.
        connection.broken = true;
        if connection.turn != self.turn.load(Ordering::Relaxed) {
            return Err(OpenError::Unreachable);
        }
        hello(&mut connection.inner, &connection.at).await?;
        connection.broken = false;
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.broken
    }
}

/// Whether it is a primary, of a version that is known. Needs no right.
async fn hello(connection: &mut MultiplexedConnection, at: &str) -> Result<(), OpenError> {
    let said: Result<HashMap<String, Value>, RedisError> =
        cmd("HELLO").query_async(connection).await;
    let said = match said {
        Ok(said) => said,
        Err(error) if error.detail().is_some_and(|detail| detail.contains("unknown command")) => {
            return Err(OpenError::TooOld { found: "older than 6".to_owned() });
        }
        Err(error) => return Err(OpenError::from_redis(error, at)),
    };
    let text = |name| said.get(name).cloned().and_then(|v| String::from_redis_value(v).ok());
    let found = text("version").unwrap_or_default();
    let major = found.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 7) {
        return Err(OpenError::TooOld { found });
    }
    if text("role").as_deref() != Some("master") {
        return Err(OpenError::Replica);
    }
    Ok(())
}

/// How to connect, as a URL says.
///
/// # Errors
/// If it is none.
pub(crate) fn info(
    url: &str,
    certificates: Option<&TlsCertificates>,
) -> Result<ConnectionInfo, OpenError> {
    let mut info = url.into_connection_info().map_err(|error| OpenError::Url(Some(error)))?;
    if let ConnectionAddr::TcpTls { insecure, .. } = info.addr() {
        // What nobody vouches for could be read by whoever is between.
        if *insecure {
            return Err(OpenError::Url(None));
        }
        if let Some(certificates) = certificates {
            let client = Client::build_with_tls(info, certificates.clone());
            let client = client.map_err(|error| OpenError::Url(Some(error)))?;
            info = client.get_connection_info().clone();
        }
    }
    // Off by default, it would hold replies back for 40 ms.
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Whom to trust, and what to show, as files say; `None` for the system's authorities.
fn certificates(settings: &Settings) -> Result<Option<TlsCertificates>, OpenError> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| OpenError::File { path: path.to_owned(), source: Box::new(error) })
    };
    let root_cert = settings.ca_file.as_deref().map(read).transpose()?;
    let client_tls = match &settings.certificate {
        Some((certificate, key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
        None => None,
    };
    let certificates = TlsCertificates { client_tls, root_cert };
    // Each alone, so that it is known which file is wrong.
    let fits = |certificates: TlsCertificates, path: &Path| {
        let tried = Client::build_with_tls("rediss://localhost", certificates);
        let wrong = |source| OpenError::File { path: path.to_owned(), source };
        tried.map_err(|error| wrong(Box::new(error)))
    };
    if let Some(path) = &settings.ca_file {
        let root_cert = certificates.root_cert.clone();
        fits(TlsCertificates { client_tls: None, root_cert: root_cert.clone() }, path)?;
        if !root_cert.is_some_and(|pem| holds(&pem, "CERTIFICATE")) {
            let source = "it holds no certificate".into();
            return Err(OpenError::File { path: path.clone(), source });
        }
    }
    if let Some((certificate, _)) = &settings.certificate {
        let client_tls = certificates.client_tls.clone();
        fits(TlsCertificates { client_tls, root_cert: None }, certificate)?;
    }
    let any = certificates.root_cert.is_some() || certificates.client_tls.is_some();
    Ok(Some(certificates).filter(|_| any))
}

fn holds(pem: &[u8], what: &str) -> bool {
    String::from_utf8_lossy(pem).contains(&format!("-----BEGIN {what}-----"))
}

/// The same for another server.
fn elsewhere(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(addr)
}

/// Where that is, for people: without user and password.
pub(crate) fn at(info: &ConnectionInfo) -> String {
    info.addr().to_string()
}
