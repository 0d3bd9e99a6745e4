//! What goes wrong with bytes and with JSON.

use serde_json::{Map, Number, Value};

use crate::dice::Dice;

/// Bytes of JSON that copies of an item may add. Copies of copies of copies would take this
/// program longer to write than it waits for the server, which would then seem to stall.
const COPIED: usize = 512 * 1024;

/// Some damage to bytes: flips, cuts, repeats, inserts.
pub(crate) fn bytes(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..dice.between(1, 3) {
        let at = dice.below(bytes.len());
        match dice.below(7) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            2 if !bytes.is_empty() => bytes[at] = dice.pick([0, 0x0a, 0x0d, 0x7f, 0x80, 0xff]),
            3 => bytes.insert(at, dice.byte()),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            5 => {
                let end = (at + dice.between(1, 16)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let (length, more) = (dice.between(1, 40), dice.byte());
                bytes.splice(at..at, std::iter::repeat_n(more, length));
            }
        }
    }
}

/// JSON that is not what it was: a value, a field or the nesting.
pub(crate) fn json(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !dice.one_in(4) => {
            let at = dice.below(fields.len());
            let Some(name) = fields.keys().nth(at).cloned() else { return };
            match dice.below(8) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(odd_text(dice), odd(dice))),
                2 => {
                    let was = fields.remove(&name).unwrap_or_default();
                    fields.insert(name.to_uppercase(), was);
                }
                _ => {
                    if let Some(inner) = fields.get_mut(&name) {
                        json(dice, inner);
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() && !dice.one_in(3) => {
            let at = dice.below(items.len());
            match dice.below(3) {
                0 => drop(items.remove(at)),
                1 => {
                    let item = items[at].clone();
                    let many = dice.pick([2, 17, 300]).min(COPIED / item.to_string().len());
                    items.extend(std::iter::repeat_n(item, many));
                }
                _ => json(dice, &mut items[at]),
            }
        }
        Value::String(text) if !dice.one_in(3) => {
            let mut bytes = std::mem::take(text).into_bytes();
            self::bytes(dice, &mut bytes);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        other => *other = odd(dice),
    }
}

fn odd(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => Value::Bool(dice.one_in(2)),
        2 => Value::Number(dice.next().into()),
        3 => Value::Number((-1_i64).into()),
        4 => Number::from_f64(1e300).map_or(Value::Null, Value::Number),
        5 => Value::String(odd_text(dice)),
        6 => Value::Array(vec![Value::Null; dice.pick([0, 1, 500])]),
        7 => {
            let mut deep = Value::Null;
            for _ in 0..dice.pick([2, 100, 200]) {
                deep = Value::Array(vec![deep]);
            }
            deep
        }
        _ => Value::Object(Map::new()),
    }
}

fn odd_text(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => String::new(),
        1 => "\u{0}\u{202e}\u{feff}".to_owned(),
        2 => "A".repeat(dice.pick([43, 22, 1_000, 9_000])),
        3 => "__proto__".to_owned(),
        4 => "../../etc/passwd".to_owned(),
        _ => String::from_utf8_lossy(&dice.bytes(12)).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn copies_of_copies_stay_small() {
        for index in 0..2_000 {
            let mut dice = Dice::new(11, index);
            let mut value = json!([[["a wrap", 500]]]);
            for _ in 0..8 {
                json(&mut dice, &mut value);
            }
            let length = value.to_string().len();
            assert!(length <= 9 * COPIED, "{length} bytes from dice {index}");
        }
    }
}
