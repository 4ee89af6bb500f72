//! The digest of a message: over its canonical JSON (RFC 8785), so that the same message written differently is the same.

use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

/// Up to here, and down to its negative, each integer is a double of its own.
const EXACT: u64 = 1 << 53;

/// SHA-256 of the canonical JSON of `value`, whose text as `serde_json` writes it is `written`.
pub fn digest(value: &Value, written: &[u8]) -> serde_json::Result<[u8; 32]> {
    // Nearly always that text is the canonical one, and need not be written a second time.
    match is_canonical_as_written(value) {
        true => Ok(Sha256::digest(written).into()),
        false => Ok(Sha256::digest(serde_json_canonicalizer::to_vec(value)?).into()),
    }
}

/// Whether `serde_json` writes `value` canonically. It does not write every number so, nor keys in the order of UTF-16, which
/// for ASCII is that of the bytes.
fn is_canonical_as_written(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => is_integer(number),
        Value::Array(elements) => elements.iter().all(is_canonical_as_written),
        Value::Object(object) => {
            object.keys().all(|key| key.is_ascii())
                && object.keys().is_sorted()
                && object.values().all(is_canonical_as_written)
        }
    }
}

fn is_integer(number: &Number) -> bool {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    size.is_some_and(|size| size <= EXACT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn by_the_book(value: &Value) -> [u8; 32] {
        Sha256::digest(serde_json_canonicalizer::to_vec(value).expect("canonical")).into()
    }

    fn ours(value: &Value) -> [u8; 32] {
        digest(value, &serde_json::to_vec(value).expect("JSON")).expect("a digest")
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = || prop_oneof![any::<String>(), "[a-z\u{0}-\u{20}\u{7f}\u{e000}\u{ffff}\u{10000}\"\\\\/]{0,4}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1000i64..1000).prop_map(Value::from),
            any::<f64>().prop_filter("JSON knows no other", |number| number.is_finite()).prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, move |inner| {
            let pairs = prop::collection::vec((text(), inner.clone()), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                pairs.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_digest_is_that_of_the_canonical_text(value in values()) {
            prop_assert_eq!(ours(&value), by_the_book(&value));
        }
    }

    #[test]
    fn an_ordinary_message_needs_no_second_text_and_a_fraction_does() {
        let message = json!({"b": [1, -2, null, true], "a": {"text": "line\nend \u{7f} ü \"\\/"}, "most": EXACT});
        assert!(is_canonical_as_written(&message));
        for other in [json!(1.5), json!(1e21), json!(-0.0), json!(EXACT + 1), json!({"ü": 1})] {
            assert!(!is_canonical_as_written(&other), "{other}");
            assert_eq!(ours(&other), by_the_book(&other), "{other}");
        }
    }
}
