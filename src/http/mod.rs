//! The HTTP interface: what every answer carries, and what is logged of a request. Which routes
//! there are is the table in [`routes`].
//!
//! Handlers read, ask `hushwire-identity` to verify, ask the store to commit, tell the engine,
//! and answer. Rules live there; here is only their order.

mod account;
mod accounts;
pub(crate) mod addresses;
mod auth;
mod body;
mod buckets;
mod caller;
mod contacts;
mod epochs;
mod export;
mod finish;
pub(crate) mod headers;
mod health;
mod json;
mod log;
mod logs;
mod posting;
pub(crate) mod problem;
mod proxies;
pub mod routes;
mod sessions;
mod state;
mod users;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_http::header::HeaderMap;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpRequest, web};
use hushwire_actors::ports::{Clock, SignIns};
use hushwire_actors::{Change, Engine};
use hushwire_schema::{Store, Told};
use hushwire_wire::frame::Event;
use hushwire_wire::{DeviceId, UserId};
use slog::{Logger, debug, error, warn};

use self::addresses::Addresses;
use self::buckets::Buckets;
use self::logs::Logs;
use self::problem::{Bound, Refusal};
use self::proxies::Proxies;
use crate::logging::causes;
use crate::settings::Settings;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) log: Logger,
    proxies: Proxies,
    logs: Logs,
    registrations: Addresses,
    sign_ins: Arc<dyn SignIns>,
    upgrades: Addresses,
    requests: Buckets<UserId>,
    exports: Buckets<UserId>,
    log_entries: Buckets<UserId>,
    prekeys: Buckets<DeviceId>,
    prekey_news: Buckets<DeviceId>,
}

impl State {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        engine: Engine,
        clock: Arc<dyn Clock>,
        sign_ins: Arc<dyn SignIns>,
        settings: Settings,
        log: Logger,
    ) -> Self {
        let limits = &settings.limits;
        let most = limits.addresses;
        Self {
            proxies: Proxies::new(&settings.http.proxies),
            registrations: Addresses::new(limits.registrations_per_hour, HOUR_MS, most),
            upgrades: Addresses::new(limits.upgrades_per_minute, MINUTE_MS, most),
            sign_ins,
            requests: Buckets::new(limits.http_requests_per_minute, MINUTE_MS, most),
            exports: Buckets::new(limits.exports_per_hour, HOUR_MS, most),
            log_entries: Buckets::new(limits.log_entries_per_hour, HOUR_MS, most),
            prekeys: Buckets::new(limits.prekeys_per_hour, HOUR_MS, most),
            prekey_news: Buckets::new(1, HOUR_MS, most),
            logs: Logs::default(),
            store,
            engine,
            clock,
            settings,
            log,
        }
    }

    /// What limits by address hold for, past the proxies that are trusted; `None` where they do
    /// not hold.
    ///
    /// # Errors
    /// If a trusted proxy sends a list of addresses that is none.
    pub(crate) fn limited(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<IpAddr>, Refusal> {
        let Some(peer) = peer else { return Ok(None) };
        let expected = "a list of addresses, as the trusted proxy itself adds them";
        let found = self.proxies.client(peer.ip(), headers);
        let found = found.map_err(|_| Refusal::field("x-forwarded-for", expected))?;
        Ok(addresses::limited(Some(found), self.settings.limits.loopback_exempt))
    }

    /// One more upgrade from there.
    pub(crate) fn admit_upgrade(&self, from: Option<IpAddr>) -> Result<(), Refusal> {
        let rate = self.settings.limits.upgrades_per_minute;
        let rule = "limits.upgrades_per_minute";
        let often = |ms| too_often("Connections from one address in a minute", rule, rate, ms);
        self.upgrades.admit(from, self.now_ms()).map_err(often)
    }

    fn domain(&self) -> &str {
        &self.settings.server.domain
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Whether an answer goes out over TLS, ended here or at a trusted proxy.
    pub(crate) fn is_secure(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
        self.settings.tls.files().is_some()
            || peer.is_some_and(|peer| self.proxies.says_https(peer.ip(), headers))
    }

    /// After a commit: has what was cached of `pairs` forgotten everywhere, and tells live devices.
    ///
    /// # Errors
    /// If other servers may not know yet. What was committed stays: a repeat finds it done.
    async fn tell(
        &self,
        pairs: Vec<(UserId, UserId)>,
        told: impl IntoIterator<Item = Told>,
    ) -> Result<(), Refusal> {
        let event = |Told { user, v, kind, peer }| (user, Event { v, kind, peer: Some(peer) });
        let events = told.into_iter().map(event).collect();
        let told = self.engine.committed(Change { pairs, events }).await;
        told.map_err(Refusal::unavailable)
    }

    /// Counts a request of a user.
    fn admit_call(&self, user: &UserId) -> Result<(), Refusal> {
        let rate = self.settings.limits.http_requests_per_minute;
        self.requests.admit(*user, self.now_ms()).map_err(|ms| {
            let rule = "limits.http_requests_per_minute";
            too_often("Requests of one user in a minute", rule, rate, ms)
        })
    }

    fn body_within(&self) -> Duration {
        Duration::from_millis(self.settings.http.body_timeout_ms)
    }
}

/// The public interface.
pub(crate) fn public(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .wrap(from_fn(finish::finished))
        .wrap(from_fn(headers::cross_origin))
        .wrap(from_fn(headers::dressed))
        .wrap(from_fn(record))
        .configure(|config| serve(config, routes::PUBLIC))
        .default_service(web::to(routes::nowhere))
}

/// The interface that is not public.
pub(crate) fn admin(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .wrap(from_fn(headers::dressed))
        .wrap(from_fn(record))
        .configure(|config| serve(config, routes::ADMIN))
        .default_service(web::to(routes::nowhere))
}

/// Adds the rows of a table; it is how routes get into an `App`.
fn serve(config: &mut web::ServiceConfig, rows: &'static [routes::Route]) {
    for resource in routes::resources(rows) {
        config.service(resource);
    }
}

/// Logs a request by its route's template: never its path, its query or its caller.
async fn record(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let state = req.app_data::<web::Data<State>>().cloned();
    let method = known(req.method());
    let response = next.call(req).await?;
    if let Some(state) = state {
        let route = response.request().match_pattern().unwrap_or_else(|| "-".to_owned());
        let status = response.status().as_u16();
        let refusal = response.response().error().and_then(|error| error.as_error::<Refusal>());
        if let Some(refusal) = refusal
            && let Some(cause) = refusal.cause()
        {
            let (id, why) = (refusal.request_id().unwrap_or("-"), causes(cause));
            if status == 503 {
                warn!(state.log, "refused"; "route" => &route, "request" => id, "why" => why);
            } else {
                error!(state.log, "failed"; "route" => &route, "request" => id, "why" => why);
            }
        }
        debug!(state.log, "request"; "method" => method, "route" => route, "status" => status);
    }
    Ok(response)
}

/// A method as it may be logged: an unknown one is the client's own words.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|name| *name == method.as_str()).unwrap_or("-")
}

/// What limits by address hold for, past the proxies that are trusted.
fn address(state: &State, req: &HttpRequest) -> Result<Option<IpAddr>, Refusal> {
    state.limited(req.peer_addr(), req.headers())
}

/// 429 for a bucket that is full.
fn too_often(what: &str, rule: &'static str, rate: u32, retry_after_ms: u64) -> Refusal {
    Refusal::rate(what, Bound::new(rule, rate, rate), retry_after_ms)
}
