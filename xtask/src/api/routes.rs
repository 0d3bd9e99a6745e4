//! The routes of the HTTP interface with their bodies, as `openapi.json` describes them.
//!
//! To add a route, add a row here and in PROTOCOL's table "HTTP"; tests compare this table with
//! that one, and its paths with those that the server has.

use std::borrow::Cow;

use hushwire_wire::http::ProblemCode::{
    self, EpochConflict, EpochRoster, EpochStale, Forbidden, HandleTaken, KeyKnown, LogConflict,
    NotFound, PrekeyConflict, RateLimited, Unauthenticated,
};
use hushwire_wire::http::{
    AccountExport, AuthAnswer, AuthChallenge, AuthToken, Changes, ContactAccept, ContactAsk,
    ContactAsked, ContactDecline, ContactPeer, Contacts, EpochBundle, EpochPost, EpochRef,
    LogAppend, LogEntries, LogHead, PrekeyBundle, PrekeyPut, Prekeys, Register, Registered,
    ServerCard, Sessions,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Every route under `/v1` but the WebSocket.
pub(crate) const ROUTES: &[Route] = &[
    get("/v1/server", "What a client must know before it registers.")
        .open()
        .gives::<ServerCard>(200),
    post("/v1/accounts", "Makes an account with its first device.")
        .open()
        .takes::<Register>()
        .gives::<Registered>(201)
        .refuses(&[HandleTaken, KeyKnown, RateLimited]),
    post("/v1/auth/challenge", "A nonce to sign.").open().gives::<AuthChallenge>(200),
    post("/v1/auth/token", "A session token for a signed nonce.")
        .open()
        .takes::<AuthAnswer>()
        .gives::<AuthToken>(200)
        .refuses(&[RateLimited]),
    get("/v1/users/{user}/log", "The log of a user.")
        .query::<u32>("after", "The number of an entry: only those after it.")
        .gives::<LogEntries>(200)
        .refuses(&[NotFound]),
    get("/v1/users/{user}/prekeys", "The current prekey of each active device of a user.")
        .gives::<Prekeys>(200)
        .refuses(&[NotFound]),
    put("/v1/prekey", "Puts this device's next prekey.")
        .takes::<PrekeyBundle>()
        .gives::<PrekeyPut>(200)
        .refuses(&[Forbidden, PrekeyConflict, RateLimited]),
    post("/v1/log", "Appends an entry to the own log.")
        .takes::<LogAppend>()
        .gives::<LogHead>(201)
        .refuses(&[Forbidden, KeyKnown, LogConflict, RateLimited]),
    get("/v1/contacts", "Contacts, and who asks to become one.").gives::<Contacts>(200),
    post("/v1/contacts/request", "Asks to become a contact.")
        .takes::<ContactAsk>()
        .gives::<ContactAsked>(202)
        .refuses(&[RateLimited]),
    post("/v1/contacts/accept", "Accepts a request, with epoch 0 of the pair.")
        .takes::<ContactAccept>()
        .gives::<EpochRef>(201)
        .refuses(&[Forbidden, NotFound, EpochConflict, EpochRoster, EpochStale, RateLimited]),
    post("/v1/contacts/decline", "Declines a request; the asker is not told.")
        .takes::<ContactDecline>()
        .done(204),
    post("/v1/contacts/remove", "Ends a contact; the other side is not told.")
        .takes::<ContactPeer>()
        .done(204),
    post("/v1/contacts/block", "Blocks a user, and drops what waits from it.")
        .takes::<ContactPeer>()
        .done(204),
    post("/v1/contacts/unblock", "Takes a block back.").takes::<ContactPeer>().done(204),
    post("/v1/epochs", "Posts the next epoch of a pair.")
        .takes::<EpochPost>()
        .gives::<EpochRef>(201)
        .refuses(&[NotFound, EpochConflict, EpochRoster, EpochStale, RateLimited]),
    get("/v1/epochs/{epoch}", "An epoch as this device gets it.")
        .gives::<EpochBundle>(200)
        .refuses(&[NotFound]),
    post("/v1/epochs/{epoch}/claimed", "This device has persisted the epoch's chains.")
        .done(204)
        .refuses(&[NotFound]),
    get("/v1/state", "What changed since a version.")
        .query::<u64>("after", "The version that this device knows.")
        .gives::<Changes>(200),
    get("/v1/sessions", "The own devices, and whether they are connected.").gives::<Sessions>(200),
    delete("/v1/sessions/{device}", "Signs an own device out.").done(204).refuses(&[NotFound]),
    get("/v1/account/export", "Everything that the server holds of this account.")
        .gives::<AccountExport>(200)
        .refuses(&[RateLimited]),
    delete("/v1/account", "Deletes this account, for a fresh proof.")
        .takes::<AuthAnswer>()
        .done(204)
        .refuses(&[Unauthenticated]),
];

/// A method of a path.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    /// Whether it takes no token.
    pub(crate) open: bool,
    pub(crate) query: Option<Query>,
    pub(crate) takes: Option<Body>,
    pub(crate) status: u16,
    pub(crate) gives: Option<Body>,
    /// Besides those that any request may get.
    pub(crate) refuses: &'static [ProblemCode],
}

/// What may stand after the `?`.
#[derive(Clone, Copy)]
pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) kind: Body,
}

/// A type that a body has.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub(crate) name: fn() -> Cow<'static, str>,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

const fn route(method: &'static str, path: &'static str, summary: &'static str) -> Route {
    let (takes, gives) = (None, None);
    Route {
        method,
        path,
        summary,
        open: false,
        query: None,
        takes,
        status: 200,
        gives,
        refuses: &[],
    }
}

const fn get(path: &'static str, summary: &'static str) -> Route {
    route("GET", path, summary)
}

const fn post(path: &'static str, summary: &'static str) -> Route {
    route("POST", path, summary)
}

const fn put(path: &'static str, summary: &'static str) -> Route {
    route("PUT", path, summary)
}

const fn delete(path: &'static str, summary: &'static str) -> Route {
    route("DELETE", path, summary)
}

impl Route {
    const fn open(self) -> Self {
        Self { open: true, ..self }
    }

    const fn query<T: JsonSchema>(self, name: &'static str, what: &'static str) -> Self {
        Self { query: Some(Query { name, what, kind: body::<T>() }), ..self }
    }

    const fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Some(body::<T>()), ..self }
    }

    const fn gives<T: JsonSchema>(self, status: u16) -> Self {
        Self { status, gives: Some(body::<T>()), ..self }
    }

    /// An answer without a body.
    const fn done(self, status: u16) -> Self {
        Self { status, ..self }
    }

    const fn refuses(self, refuses: &'static [ProblemCode]) -> Self {
        Self { refuses, ..self }
    }
}

const fn body<T: JsonSchema>() -> Body {
    Body { name: T::schema_name, schema: |generator| generator.subschema_for::<T>() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    /// A row as PROTOCOL has it, but for what it calls the value of a query.
    fn written(route: &Route) -> String {
        let query = route.query.map(|query| format!("?{}", query.name)).unwrap_or_default();
        let takes = route.takes.map(|body| format!("`{}` ", (body.name)())).unwrap_or_default();
        let gives = route.gives.map(|body| format!(" `{}`", (body.name)())).unwrap_or_default();
        let Route { method, path, status, .. } = route;
        format!("| `{method} {path}{query}` | {takes}| {status}{gives} |")
    }

    /// `?after={seq}` as `?after`.
    fn without_value(row: &str) -> String {
        let cut = |(before, rest): (&str, &str)| Some(before.to_owned() + rest.split_once('}')?.1);
        row.split_once("={").and_then(cut).unwrap_or_else(|| row.to_owned())
    }

    #[test]
    fn the_table_is_that_of_the_protocol() {
        let text = fs::read_to_string(crate::root().join("docs/PROTOCOL.md")).unwrap();
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"].map(|m| format!("| `{m} /v1/"));
        let rows = text.lines().filter(|line| methods.iter().any(|start| line.starts_with(start)));
        let book: Vec<String> = rows.map(without_value).collect();
        let ours: Vec<String> = ROUTES.iter().map(written).collect();
        assert_eq!(ours, book, "docs/PROTOCOL.md, \"HTTP\", and xtask/src/api/routes.rs");
    }

    #[test]
    fn the_paths_are_those_of_the_server() {
        let mut server = BTreeSet::new();
        for file in fs::read_dir(crate::root().join("src/http")).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap_or_default();
            let literals = text.split("\"/v1/").skip(1).filter_map(|rest| rest.split_once('"'));
            server.extend(literals.map(|(path, _)| format!("/v1/{path}")));
        }
        let ours: BTreeSet<String> = ROUTES.iter().map(|route| route.path.to_owned()).collect();
        assert_eq!(ours, server, "xtask/src/api/routes.rs and the routes in src/http");
    }
}
