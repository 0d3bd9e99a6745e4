//! The HTTP interface: routes, what every answer carries, and what is logged of a request.
//!
//! Handlers read, ask `hushwire-identity` to verify, ask the store to commit, tell the engine,
//! and answer. Rules live there; here is only their order.

mod account;
mod accounts;
mod addresses;
mod auth;
mod body;
mod buckets;
mod caller;
mod contacts;
mod epochs;
mod export;
mod health;
mod json;
mod log;
mod logs;
mod posting;
pub(crate) mod problem;
mod sessions;
mod state;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, Resource, web};
use hushwire_actors::ports::Clock;
use hushwire_actors::{Change, Engine};
use hushwire_schema::{Store, Told};
use hushwire_wire::frame::Event;
use hushwire_wire::http::ProblemCode;
use hushwire_wire::{DeviceId, UserId};
use slog::{Logger, debug, error, warn};

use self::addresses::Addresses;
use self::buckets::Buckets;
use self::contacts::{accepting, asking, partings};
use self::logs::Logs;
use self::problem::{Bound, Refusal};
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
    logs: Logs,
    registrations: Addresses,
    sign_ins: Addresses,
    calls: Buckets<UserId>,
    exports: Buckets<UserId>,
    prekeys: Buckets<DeviceId>,
    prekey_news: Buckets<DeviceId>,
}

impl State {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        engine: Engine,
        clock: Arc<dyn Clock>,
        settings: Settings,
        log: Logger,
    ) -> Self {
        let limits = &settings.limits;
        let (per_hour, per_minute) = (limits.registrations_per_hour, limits.sign_ins_per_minute);
        Self {
            registrations: Addresses::new(per_hour, HOUR_MS, limits.addresses),
            sign_ins: Addresses::new(per_minute, MINUTE_MS, limits.addresses),
            calls: Buckets::new(limits.calls_per_minute, MINUTE_MS, limits.addresses),
            exports: Buckets::new(limits.exports_per_hour, HOUR_MS, limits.addresses),
            prekeys: Buckets::new(limits.prekeys_per_hour, HOUR_MS, limits.addresses),
            prekey_news: Buckets::new(1, HOUR_MS, limits.addresses),
            logs: Logs::default(),
            store,
            engine,
            clock,
            settings,
            log,
        }
    }

    fn domain(&self) -> &str {
        &self.settings.server.domain
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// After a commit: forgets what was cached of `pairs`, and tells live devices.
    fn tell(&self, pairs: Vec<(UserId, UserId)>, told: impl IntoIterator<Item = Told>) {
        let event = |Told { user, v, kind, peer }| (user, Event { v, kind, peer: Some(peer) });
        let events = told.into_iter().map(event).collect();
        self.engine.changed(Change { pairs, events });
    }

    /// Counts a request of a user.
    fn admit_call(&self, user: &UserId) -> Result<(), Refusal> {
        let rate = self.settings.limits.calls_per_minute;
        self.calls.admit(*user, self.now_ms()).map_err(|ms| {
            let rule = "limits.calls_per_minute";
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
        .wrap(headers())
        .wrap(from_fn(record))
        .service(takes("/v1/server", "GET").get(web::get().to(accounts::server)))
        .service(takes("/v1/accounts", "POST").get(web::post().to(accounts::register)))
        .service(takes("/v1/auth/challenge", "POST").get(web::post().to(auth::challenge)))
        .service(takes("/v1/auth/token", "POST").get(web::post().to(auth::token)))
        .service(takes("/v1/users/{user}/log", "GET").get(web::get().to(users::log)))
        .service(takes("/v1/users/{user}/prekeys", "GET").get(web::get().to(users::prekeys)))
        .service(takes("/v1/prekey", "PUT").get(web::put().to(users::put_prekey)))
        .service(takes("/v1/contacts", "GET").get(web::get().to(contacts::list)))
        .service(takes("/v1/contacts/request", "POST").get(web::post().to(asking::request)))
        .service(takes("/v1/contacts/accept", "POST").get(web::post().to(accepting::accept)))
        .service(takes("/v1/contacts/decline", "POST").get(web::post().to(partings::decline)))
        .service(takes("/v1/contacts/remove", "POST").get(web::post().to(partings::remove)))
        .service(takes("/v1/contacts/block", "POST").get(web::post().to(partings::block)))
        .service(takes("/v1/contacts/unblock", "POST").get(web::post().to(partings::unblock)))
        .service(takes("/v1/state", "GET").get(web::get().to(state::changes)))
        .service(takes("/v1/sessions", "GET").get(web::get().to(sessions::list)))
        .service(takes("/v1/sessions/{device}", "DELETE").get(web::delete().to(sessions::end)))
        .service(takes("/v1/log", "POST").get(web::post().to(log::append)))
        .service(takes("/v1/account", "DELETE").get(web::delete().to(account::delete)))
        .service(takes("/v1/account/export", "GET").get(web::get().to(export::export)))
        .service(takes("/v1/epochs", "POST").get(web::post().to(epochs::post)))
        .service(takes("/v1/epochs/{epoch}", "GET").get(web::get().to(epochs::find)))
        .service(takes("/v1/epochs/{epoch}/claimed", "POST").get(web::post().to(epochs::claimed)))
        .service(takes(crate::socket::PATH, "GET").get(web::get().to(not_upgraded)))
        .default_service(web::to(nowhere))
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
        .wrap(headers())
        .wrap(from_fn(record))
        .service(takes("/healthz", "GET").get(web::get().to(health::healthz)))
        .service(takes("/readyz", "GET").get(web::get().to(health::readyz)))
        .default_service(web::to(nowhere))
}

/// A path that takes one method.
struct Takes {
    path: &'static str,
    method: &'static str,
}

const fn takes(path: &'static str, method: &'static str) -> Takes {
    Takes { path, method }
}

impl Takes {
    /// With this route; any other method is answered 405.
    fn get(self, route: actix_web::Route) -> Resource {
        let method = self.method;
        let other = move || std::future::ready(Err::<HttpResponse, _>(Refusal::method(method)));
        web::resource(self.path).route(route).default_service(web::to(other))
    }
}

async fn nowhere() -> Result<HttpResponse, Refusal> {
    Err(Refusal::new(ProblemCode::NotFound, "There is no such path."))
}

async fn not_upgraded() -> Result<HttpResponse, Refusal> {
    Err(crate::socket::upgrade_required("This path takes WebSocket connections only."))
}

/// What every answer carries. There is no page here: nothing may be loaded, framed or kept.
fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add(("cache-control", "no-store"))
        .add(("content-security-policy", "default-src 'none'; frame-ancestors 'none'"))
        .add(("referrer-policy", "no-referrer"))
        .add(("x-content-type-options", "nosniff"))
}

/// Logs a request by its route's template: never its path, its query or its caller.
async fn record(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let state = req.app_data::<web::Data<State>>().cloned();
    let method = req.method().clone();
    let response = next.call(req).await?;
    if let Some(state) = state {
        let route = response.request().match_pattern().unwrap_or_else(|| "-".to_owned());
        let status = response.status().as_u16();
        let refusal = response.response().error().and_then(|error| error.as_error::<Refusal>());
        match refusal.and_then(Refusal::cause) {
            Some(cause) if status == 503 => {
                warn!(state.log, "refused"; "route" => &route, "why" => causes(cause));
            }
            Some(cause) => error!(state.log, "failed"; "route" => &route, "why" => causes(cause)),
            None => {}
        }
        debug!(state.log, "request"; "method" => %method, "route" => route, "status" => status);
    }
    Ok(response)
}

/// The address that a request came from.
fn address(req: &HttpRequest) -> Option<IpAddr> {
    req.peer_addr().map(|address| address.ip())
}

/// 429 for a bucket that is full.
fn too_often(what: &str, rule: &'static str, rate: u32, retry_after_ms: u64) -> Refusal {
    Refusal::rate(what, Bound::new(rule, rate, rate), retry_after_ms)
}
