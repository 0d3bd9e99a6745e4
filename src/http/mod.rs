//! The HTTP interface: routes, what every answer carries, and what is logged of a request.
//!
//! Handlers read, ask `hushwire-identity` to verify, ask the store to commit, tell the engine,
//! and answer. Rules live there; here is only their order.

mod accounts;
pub(crate) mod addresses;
mod auth;
mod body;
mod caller;
mod contacts;
mod epochs;
mod health;
mod posting;
pub(crate) mod problem;
mod users;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, Resource, web};
use hushwire_actors::Engine;
use hushwire_actors::ports::{Clock, SignIns};
use hushwire_schema::Store;
use hushwire_wire::http::ProblemCode;
use slog::{Logger, debug, error, warn};

use self::addresses::Addresses;
use self::problem::Refusal;
use crate::logging::causes;
use crate::settings::Settings;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) log: Logger,
    registrations: Addresses,
    sign_ins: Arc<dyn SignIns>,
    upgrades: Addresses,
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
            registrations: Addresses::new(limits.registrations_per_hour, 3_600_000, most),
            upgrades: Addresses::new(limits.upgrades_per_minute, 60_000, most),
            sign_ins,
            store,
            engine,
            clock,
            settings,
            log,
        }
    }

    /// What limits by address hold for.
    pub(crate) fn limited(&self, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let exempt = self.settings.limits.loopback_exempt;
        addresses::limited(peer.map(|address| address.ip()), exempt)
    }

    /// One more upgrade from there.
    pub(crate) fn admit_upgrade(&self, from: Option<IpAddr>) -> Result<(), Refusal> {
        let rate = self.settings.limits.upgrades_per_minute;
        let often = |ms| too_often("Connections", rate, "a minute", ms);
        self.upgrades.admit(from, self.now_ms()).map_err(often)
    }

    fn domain(&self) -> &str {
        &self.settings.server.domain
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
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
        .service(takes("/v1/contacts/request", "POST").get(web::post().to(contacts::request)))
        .service(takes("/v1/contacts/accept", "POST").get(web::post().to(contacts::accept)))
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

/// The address that a request came from, if limits hold for it.
fn address(state: &State, req: &HttpRequest) -> Option<IpAddr> {
    state.limited(req.peer_addr())
}

/// 429 for an address.
fn too_often(what: &str, rate: u32, span: &str, retry_after_ms: u64) -> Refusal {
    let detail = format!("{what} from one address: at most {rate} {span}. All of them are used.");
    Refusal::new(ProblemCode::RateLimited, detail).retry_after(retry_after_ms)
}
