//! JSON as request bodies may be: objects where objects are meant, each key once, not deep.
//!
//! serde takes an array where a struct is meant. So a body is read into a [`Node`] first, which is
//! bounded by the body's size and [`DEPTH_MAX`], and then decoded from that.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

/// Objects and arrays in one another, at most.
pub(crate) const DEPTH_MAX: usize = 16;

type Error = serde_json::Error;

/// A JSON value that keeps these rules.
#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Count(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads a body.
    ///
    /// # Errors
    /// What the body breaks: the words are ours, and never the input's.
    pub(crate) fn read(body: &[u8]) -> Result<Self, &'static str> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let node = Seed { depth: DEPTH_MAX }.deserialize(&mut json).map_err(|error| {
            let words = error.to_string();
            [TWICE, DEEP].into_iter().find(|rule| words.starts_with(rule)).unwrap_or("JSON")
        })?;
        json.end().map_err(|_| "JSON and nothing after it")?;
        if matches!(node, Self::Object(_)) { Ok(node) } else { Err("a JSON object") }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Count(value) => Unexpected::Unsigned(*value),
            Self::Negative(value) => Unexpected::Signed(*value),
            Self::Float(value) => Unexpected::Float(*value),
            Self::Text(_) => Unexpected::Other("a string"),
            Self::List(_) => Unexpected::Seq,
            Self::Object(_) => Unexpected::Map,
        }
    }
}

const TWICE: &str = "each key once";
const DEEP: &str = "at most 16 objects and arrays in one another";

/// Reads a node that may hold `depth` more levels.
#[derive(Clone, Copy)]
struct Seed {
    depth: usize,
}

impl Seed {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom(DEEP))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Count(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Negative(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(node) = seq.next_element_seed(inner)? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let inner = self.inner()?;
        let mut keys = std::collections::HashSet::new();
        let mut object = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(TWICE));
            }
            object.push((key, map.next_value_seed(inner)?));
        }
        Ok(Node::Object(object))
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Count(value) => visitor.visit_u64(value),
            Self::Negative(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(value) => visitor.visit_string(value),
            Self::List(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter())),
            Self::Object(object) => visitor.visit_map(MapDeserializer::new(object.into_iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_none(),
            other => visitor.visit_some(other),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            other => Err(Error::invalid_type(other.unexpected(), &"a JSON object")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    }

    #[test]
    fn only_objects_with_each_key_once_and_not_deep_are_read() {
        for good in ["{}", "{\"a\":[1,-1,1.5,null,true,\"x\",{}]}", &nested(DEPTH_MAX)] {
            assert!(Node::read(good.as_bytes()).is_ok(), "{good}");
        }
        let deep = nested(DEPTH_MAX + 1);
        for (bad, rule) in [
            ("[]", "a JSON object"),
            ("1", "a JSON object"),
            ("null", "a JSON object"),
            ("\"hunter2\"", "a JSON object"),
            ("{\"a\":1,\"a\":1}", TWICE),
            ("{\"b\":[{\"a\":1,\"\\u0061\":1}]}", TWICE),
            (&deep, DEEP),
            (&"[".repeat(10_000), DEEP),
            ("", "JSON"),
            ("{\"a\":}", "JSON"),
            ("{} {}", "JSON and nothing after it"),
        ] {
            assert_eq!(Node::read(bad.as_bytes()).unwrap_err(), rule, "{bad:.40}");
        }
    }
}
