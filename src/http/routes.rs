//! The routes: every method and path, who may use it, and what answers, in one table.
//!
//! The `App` is built from these rows and from nothing else, so no route exists without one. To
//! add a route, add a row; several methods of one path are several rows. `tests/authorization.rs`
//! walks the table, and fails for a row that it has no expectation for.

use actix_web::guard::GuardContext;
use actix_web::http::Method;
use actix_web::{HttpResponse, Resource, web};
use hushwire_wire::http::ProblemCode;

use super::contacts::{accepting, asking, partings};
use super::problem::Refusal;
use super::{
    account, accounts, auth, contacts, epochs, export, health, log, sessions, state, users,
};
use crate::socket;

/// The public interface.
pub static PUBLIC: &[Route] = &[
    on("GET", "/v1/server", Who::Anyone, |route| route.to(accounts::server)),
    on("POST", "/v1/accounts", Who::Anyone, |route| route.to(accounts::register)),
    on("POST", "/v1/auth/challenge", Who::Anyone, |route| route.to(auth::challenge)),
    on("POST", "/v1/auth/token", Who::Anyone, |route| route.to(auth::token)),
    on("GET", "/v1/users/{user}/log", Who::Device, |route| route.to(users::log)),
    on("GET", "/v1/users/{user}/prekeys", Who::Device, |route| route.to(users::prekeys)),
    on("PUT", "/v1/prekey", Who::Device, |route| route.to(users::put_prekey)),
    on("GET", "/v1/contacts", Who::Device, |route| route.to(contacts::list)),
    on("POST", "/v1/contacts/request", Who::Device, |route| route.to(asking::request)),
    on("POST", "/v1/contacts/accept", Who::Device, |route| route.to(accepting::accept)),
    on("POST", "/v1/contacts/decline", Who::Device, |route| route.to(partings::decline)),
    on("POST", "/v1/contacts/remove", Who::Device, |route| route.to(partings::remove)),
    on("POST", "/v1/contacts/block", Who::Device, |route| route.to(partings::block)),
    on("POST", "/v1/contacts/unblock", Who::Device, |route| route.to(partings::unblock)),
    on("GET", "/v1/state", Who::Device, |route| route.to(state::changes)),
    on("GET", "/v1/sessions", Who::Device, |route| route.to(sessions::list)),
    on("DELETE", "/v1/sessions/{device}", Who::Device, |route| route.to(sessions::end)),
    on("POST", "/v1/log", Who::Device, |route| route.to(log::append)),
    on("DELETE", "/v1/account", Who::Device, |route| route.to(account::delete)),
    on("GET", "/v1/account/export", Who::Device, |route| route.to(export::export)),
    on("POST", "/v1/epochs", Who::Device, |route| route.to(epochs::post)),
    on("GET", "/v1/epochs/{epoch}", Who::Device, |route| route.to(epochs::find)),
    on("POST", "/v1/epochs/{epoch}/claimed", Who::Device, |route| route.to(epochs::claimed)),
    // An upgrade never comes here: it goes to the socket, where `hello` signs in.
    on("GET", socket::PATH, Who::Anyone, |route| route.to(not_upgraded)),
];

/// The interface that is not public: who reaches its address may use it.
pub static ADMIN: &[Route] = &[
    on("GET", "/healthz", Who::Anyone, |route| route.to(health::healthz)),
    on("GET", "/readyz", Who::Anyone, |route| route.to(health::readyz)),
];

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, signed in or not.
    Anyone,
    /// A signed-in device: `Authorization: Bearer TOKEN`.
    Device,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method, in capitals. `GET` takes `HEAD`, too.
    pub method: &'static str,
    /// The path, with `{name}` for what a request fills in.
    pub path: &'static str,
    /// Who may use it.
    pub who: Who,
    to: To,
}

/// Gives a route its handler.
type To = fn(actix_web::Route) -> actix_web::Route;

/// A row. The path takes this method, and those of its other rows.
const fn on(method: &'static str, path: &'static str, who: Who, to: To) -> Route {
    Route { method, path, who, to }
}

impl Route {
    fn takes(&self, method: &Method) -> bool {
        self.method == method.as_str() || (self.method == "GET" && *method == Method::HEAD)
    }
}

/// One resource a path. Any other method is answered 405 with what the path takes.
pub(super) fn resources(rows: &'static [Route]) -> Vec<Resource> {
    let mut paths: Vec<&str> = Vec::new();
    for row in rows {
        if !paths.contains(&row.path) {
            paths.push(row.path);
        }
    }
    let resource = |path| {
        let mut resource = web::resource(path);
        let rows = rows.iter().filter(move |row| row.path == path);
        for row in rows.clone() {
            let guard = move |context: &GuardContext<'_>| row.takes(&context.head().method);
            resource =
                resource.route((row.to)(web::route().guard(actix_web::guard::fn_guard(guard))));
        }
        let mut allow: Vec<&str> = rows.map(|row| row.method).collect();
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        let allow = allow.join(", ");
        let other =
            move || std::future::ready(Err::<HttpResponse, _>(Refusal::method(allow.clone())));
        resource.default_service(web::to(other))
    };
    paths.into_iter().map(resource).collect()
}

pub(super) async fn nowhere() -> Result<HttpResponse, Refusal> {
    Err(Refusal::new(ProblemCode::NotFound, "There is no such path."))
}

async fn not_upgraded() -> Result<HttpResponse, Refusal> {
    Err(socket::upgrade_required("This path takes WebSocket connections only."))
}
