//! `openapi.json`: the HTTP interface as OpenAPI 3.1.

use hushwire_wire::http::ProblemCode;
use hushwire_wire::limits::HTTP_BODY_MAX;
use serde_json::{Map, Value, json};

use super::routes::{Body, ROUTES, Route};
use super::types::{Schemas, components, plain_schema};

/// Any request may be answered with these.
const ALWAYS: &[ProblemCode] = &[ProblemCode::Internal, ProblemCode::Unavailable];

pub(crate) fn document(schemas: &Schemas) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hushwire over HTTP",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("What is looked up and changed rarely. Everything that moves \
                is in asyncapi.json; what it means is in PROTOCOL.md. Bodies are JSON of at most \
                {HTTP_BODY_MAX} bytes. Made by `cargo xtask api`."),
        },
        "paths": paths,
        "components": {
            "schemas": components(schemas),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A session token as base64url, from `POST /v1/auth/token` or \
                        from `welcome`.",
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": id(route),
        "summary": route.summary,
        "security": if route.open { json!([]) } else { json!([{ "token": [] }]) },
        "responses": responses(route),
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = route.takes {
        operation["requestBody"] = json!({ "required": true, "content": content(body) });
    }
    operation
}

/// `get_users_user_log` of `GET /v1/users/{user}/log`.
fn id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/v1").replace(['{', '}'], "");
    format!("{}{}", route.method.to_lowercase(), path.replace(['/', '-', '.'], "_"))
}

/// What the path names, and the query.
fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = names
        .map(|name| {
            let schema = json!({ "$ref": format!("#/components/schemas/{}", type_of(name)) });
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if let Some(query) = route.query {
        let schema = plain_schema(query.kind);
        all.push(json!({
            "name": query.name, "in": "query", "description": query.what, "schema": schema,
        }));
    }
    all
}

/// The type of an id in a path: `user` is a `UserId`.
fn type_of(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!("{}{rest}Id", first.to_uppercase())
}

fn responses(route: &Route) -> Map<String, Value> {
    let mut done = json!({ "description": "Done." });
    if let Some(body) = route.gives {
        done["content"] = content(body);
    }
    let mut all = Map::new();
    all.insert(route.status.to_string(), done);
    let mut codes = ALWAYS.to_vec();
    if !route.open {
        codes.push(ProblemCode::Unauthenticated);
    }
    if route.takes.is_some() {
        codes.push(ProblemCode::TooLarge);
    }
    if route.takes.is_some() || route.query.is_some() || route.path.contains('{') {
        codes.push(ProblemCode::BadRequest);
    }
    codes.extend(route.refuses);
    codes.sort_by_key(|code| code.status());
    for code in codes {
        let named = serde_json::to_value(code).unwrap_or_default();
        let named = format!("`{}`", named.as_str().unwrap_or_default());
        let status = code.status().to_string();
        let answer = all.entry(status).or_insert_with(|| problem(&named));
        let words = answer["description"].as_str().unwrap_or_default();
        if !words.contains(&named) {
            answer["description"] = format!("{words}, {named}").into();
        }
    }
    all
}

fn problem(named: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let content = json!({ "application/problem+json": { "schema": schema } });
    json!({ "description": named, "content": content })
}

fn content(body: Body) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{}", (body.name)()) });
    json!({ "application/json": { "schema": schema } })
}

#[cfg(test)]
mod tests {
    use super::super::types::schemas;
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        for document in [document(&schemas()), super::super::asyncapi::document(&schemas())] {
            let text = document.to_string();
            let targets =
                text.split(r##""$ref":"#"##).skip(1).filter_map(|rest| rest.split('"').next());
            let mut count = 0;
            for target in targets {
                // JSON Pointer has `~1` for `/`, as in the names of channels' messages.
                assert!(document.pointer(target).is_some(), "{target}");
                count += 1;
            }
            assert!(count > 40, "{count}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let mut names: Vec<String> = ROUTES.iter().map(id).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ROUTES.len());
        assert!(names.contains(&"get_users_user_log".to_owned()), "{names:?}");
    }
}
