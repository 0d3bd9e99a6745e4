//! `asyncapi.json`: the WebSocket as AsyncAPI 3.0, from a client's point of view: it sends what
//! `ClientOp` lists and receives what `ServerOp` lists.

use hushwire_wire::close::CLOSES;
use hushwire_wire::limits::{FRAME_MAX, FRAME_MAX_UNSIGNED};
use serde_json::{Map, Value, json};

use super::types::{Schemas, closes, components};

pub(crate) fn document(schemas: &Schemas) -> Value {
    let (mut messages, mut in_channel) = (Map::new(), Map::new());
    let mut operations = Map::new();
    for (op, frame, action) in
        [("ClientOp", "ClientFrame", "send"), ("ServerOp", "ServerFrame", "receive")]
    {
        let mut refs = Vec::new();
        for (name, variant) in variants(&schemas[op]) {
            let key = format!("{}_{name}", action);
            let fields = &variant["properties"][&name];
            messages.insert(key.clone(), message(&name, frame, fields, &variant["description"]));
            in_channel
                .insert(key.clone(), json!({ "$ref": format!("#/components/messages/{key}") }));
            refs.push(json!({ "$ref": format!("#/channels/socket/messages/{key}") }));
        }
        operations.insert(
            action.to_owned(),
            json!({
                "action": action,
                "channel": { "$ref": "#/channels/socket" },
                "messages": refs,
            }),
        );
    }
    let mut all = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hushwire over WebSocket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("Everything that moves, seen by a client. What it means is in \
                PROTOCOL.md. Frames have at most {FRAME_MAX} bytes, {FRAME_MAX_UNSIGNED} before \
                sign-in. Made by `cargo xtask api`."),
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/v1/ws",
                "title": "One connection of one device",
                "description": "Subprotocol hushwire.v1.json: these frames as text. Subprotocol \
                    hushwire.v1.cbor: the same maps as CBOR in binary frames, with byte strings \
                    where JSON has base64url.",
                "messages": in_channel,
                "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
                "x-close-codes": close_codes(),
            },
        },
        "operations": operations,
        "components": { "messages": messages },
    });
    all["components"]["schemas"] = components(schemas);
    all
}

/// The operations of an externally tagged enum.
fn variants(schema: &Value) -> Vec<(String, Value)> {
    let all = schema["oneOf"].as_array().cloned().unwrap_or_default();
    all.into_iter()
        .filter_map(|variant| {
            let name = variant["properties"].as_object()?.keys().next()?.clone();
            Some((name, variant))
        })
        .collect()
}

/// A frame with this operation in it.
fn message(name: &str, frame: &str, fields: &Value, summary: &Value) -> Value {
    let fields = components(&Map::from_iter([("op".to_owned(), fields.clone())]));
    json!({
        "name": name,
        "summary": summary,
        "payload": {
            "allOf": [
                { "$ref": format!("#/components/schemas/{frame}") },
                { "properties": { "op": { "required": [name], "properties": { name: fields["op"] } } } },
            ],
        },
    })
}

fn close_codes() -> Vec<Value> {
    let described = closes();
    CLOSES
        .iter()
        .map(|close| {
            let name = close.to_string();
            let row = described.iter().find(|row| row.name == name);
            json!({
                "code": close.code(),
                "name": name,
                "description": row.map(|row| row.meaning.clone()),
                "comes_back": close.comes_back(),
            })
        })
        .collect()
}
