//! JSON Schema of everything that crosses the network, from the types of `wire/`.
//!
//! What no type can say is added here: integers end at 2^53 - 1, and what is optional is absent
//! rather than null.

use hushwire_wire::close::Close;
use hushwire_wire::frame::{ClientFrame, ServerFrame};
use hushwire_wire::http::{Problem, ProblemCode};
use hushwire_wire::limits::INT_MAX;
use hushwire_wire::{Reject, Rule};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::routes::{Body, ROUTES};

/// Schemas by the names of the types.
pub(crate) type Schemas = Map<String, Value>;

/// Where a document keeps them.
const DEFS: &str = "#/$defs/";

/// All types: frames, and the bodies that the table of routes names.
pub(crate) fn schemas() -> Schemas {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    generator.subschema_for::<ClientFrame>();
    generator.subschema_for::<ServerFrame>();
    generator.subschema_for::<Problem>();
    for route in ROUTES {
        for body in [route.takes, route.gives].into_iter().flatten() {
            (body.schema)(&mut generator);
        }
    }
    let mut found = generator.take_definitions(true);
    found.values_mut().for_each(tidy);
    found.sort_keys();
    found
}

/// The document that validators read.
pub(crate) fn document(schemas: &Schemas) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hushwire: frames and HTTP bodies",
        "description": "Made by `cargo xtask api` from the types. Validate a client's frame with \
            #/$defs/ClientFrame, a server's with #/$defs/ServerFrame, an HTTP body with the type \
            that openapi.json names. In CBOR, byte strings take the place of base64url.",
        "$defs": schemas,
    })
}

/// The same schemas for a document that keeps them under `#/components/schemas`.
pub(crate) fn components(schemas: &Schemas) -> Value {
    let mut all = Value::Object(schemas.clone());
    each(&mut all, &mut |object| {
        if let Some(Value::String(to)) = object.get_mut("$ref") {
            *to = to.replace(DEFS, "#/components/schemas/");
        }
    });
    all
}

/// The schema of a type that refers to no other, like a number.
pub(crate) fn plain_schema(body: Body) -> Value {
    let mut schema = Value::from((body.schema)(&mut SchemaGenerator::default()));
    tidy(&mut schema);
    schema
}

/// A row of a closed table: name on the wire, fields, and what it means.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
    pub(crate) meaning: String,
}

pub(crate) fn rejects() -> Vec<Row> {
    rows::<Reject>()
}

pub(crate) fn rules() -> Vec<Row> {
    rows::<Rule>()
}

pub(crate) fn closes() -> Vec<Row> {
    rows::<Close>()
}

pub(crate) fn problems() -> Vec<Row> {
    rows::<ProblemCode>()
}

/// The variants of an enum, in the order of its source.
fn rows<T: JsonSchema>() -> Vec<Row> {
    let mut schema =
        SchemaGenerator::from(SchemaSettings::draft2020_12()).into_root_schema_for::<T>();
    let mut schema = std::mem::take(schema.ensure_object());
    let Some(Value::Array(variants)) = schema.remove("oneOf") else { return Vec::new() };
    variants.into_iter().filter_map(row).collect()
}

fn row(mut variant: Value) -> Option<Row> {
    tidy(&mut variant);
    let meaning = variant["description"].as_str().unwrap_or_default().to_owned();
    if let Some(name) = variant["const"].as_str() {
        return Some(Row { name: name.to_owned(), fields: Vec::new(), meaning });
    }
    let (name, inner) = variant["properties"].as_object()?.iter().next()?;
    let fields = inner["properties"].as_object();
    let fields = fields.map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    Some(Row { name: name.clone(), fields, meaning })
}

/// Integers' bounds, absence instead of null, and sentences instead of source.
fn tidy(schema: &mut Value) {
    each(schema, &mut |object| {
        if let Some(Value::String(words)) = object.get_mut("description") {
            *words = plain(words);
        }
        let most = match object.get("format").and_then(Value::as_str) {
            Some("uint64" | "uint") => INT_MAX,
            Some("uint32") => u64::from(u32::MAX),
            _ => return absent(object),
        };
        object.insert("maximum".to_owned(), json!(most));
        absent(object);
    });
}

/// A property that need not be there is not null.
fn absent(object: &mut Map<String, Value>) {
    let required = object.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        required.as_array().is_some_and(|names| names.iter().any(|other| other == name))
    };
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    for (_, property) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
        let Some(property) = property.as_object_mut() else { continue };
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                property.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(any)) = property.remove("anyOf") {
            let some = any.into_iter().find(|kind| kind["type"] != "null");
            if let Some(Value::Object(some)) = some {
                property.extend(some);
            }
        }
    }
}

/// Visits every object, the outermost first.
fn each(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values_mut().for_each(|inner| each(inner, visit));
        }
        Value::Array(values) => values.iter_mut().for_each(|inner| each(inner, visit)),
        _ => {}
    }
}

/// A doc comment as a sentence: one line, and the last name of a linked path.
pub(crate) fn plain(comment: &str) -> String {
    let words = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(words.len());
    for (at, part) in words.split("[`").enumerate() {
        let Some((path, rest)) = part.split_once("`]").filter(|_| at > 0) else {
            out.push_str(part);
            continue;
        };
        let name = path.rsplit("::").next().unwrap_or(path);
        out.push_str(&format!("`{name}`{rest}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_names() {
        let comment = "At most\n[`crate::limits::WITHDRAW_MAX`] of [`Send`]s [0].";
        assert_eq!(plain(comment), "At most `WITHDRAW_MAX` of `Send`s [0].");
    }

    #[test]
    fn what_is_optional_is_absent_and_integers_end() {
        let all = schemas();
        let hello = &all["Hello"]["properties"]["gen"];
        assert_eq!(hello["$ref"], "#/$defs/Gen");
        assert!(hello.get("anyOf").is_none());
        assert_eq!(all["ClientFrame"]["properties"]["id"]["type"], "integer");
        assert_eq!(all["Send"]["properties"]["sn"]["maximum"], json!(INT_MAX));
        assert_eq!(all["Send"]["additionalProperties"], false);
        assert!(all["Welcome"].get("additionalProperties").is_none());
    }

    #[test]
    fn every_row_of_the_closed_tables_is_described() {
        assert!(rejects().iter().any(|row| row.name == "stale_sn" && row.fields.len() == 3));
        assert_eq!(closes().len(), hushwire_wire::close::CLOSES.len());
        for row in [rejects(), rules(), closes(), problems()].into_iter().flatten() {
            assert!(!row.meaning.is_empty(), "{}", row.name);
        }
    }
}
