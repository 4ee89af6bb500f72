//! JSON that every program reads alike: I-JSON (RFC 7493).
//!
//! Duplicate keys, lone surrogates, and numbers that a double cannot hold exactly are refused: a digest over canonical
//! JSON (RFC 8785) is only worth something when there is one reading.

use std::{cell::Cell, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

/// The most values in one message. Ten thousand participants are forty thousand; each takes up to a hundred times the
/// memory of its text.
const VALUES: usize = 100_000;

/// What is wrong, and in which line of the text, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub detail: String,
}

impl Malformed {
    fn of(error: &serde_json::Error, first_line: usize) -> Self {
        let text = error.to_string();
        // The place is told by `line`; the text counts from the start of one message.
        let detail = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Self { line: first_line + error.line().saturating_sub(1), detail }
    }
}

/// One message's text, and the line that it begins in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The text.
    pub text: &'a str,
    /// The line, from 1.
    pub line: usize,
}

/// The messages of a body: of one object, of an array, or one a line. At most `most`; the rest is only read over.
pub fn elements(bytes: &[u8], lines: bool, most: usize) -> Result<Vec<Element<'_>>, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|error| Malformed {
        line: line_of(bytes, error.valid_up_to()),
        detail: "the text is not UTF-8".to_owned(),
    })?;
    if lines {
        let numbered = text.lines().enumerate().map(|(index, text)| Element { text: text.trim(), line: index + 1 });
        return Ok(numbered.filter(|element| !element.text.is_empty()).take(most).collect());
    }
    if !text.trim_start().starts_with('[') {
        let start = text.len() - text.trim_start().len();
        return Ok(vec![Element { text, line: 1 }]).map(|one| if start == text.len() { Vec::new() } else { one });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let raw = First(most).deserialize(&mut reader).and_then(|raw| reader.end().map(|()| raw));
    let raw = raw.map_err(|error| Malformed::of(&error, 1))?;
    let mut line = 1;
    let mut counted = 0;
    let place = |raw: &RawValue| raw.get().as_ptr() as usize - text.as_ptr() as usize;
    Ok(raw
        .into_iter()
        .map(|raw| {
            line += text.as_bytes()[counted..place(raw)].iter().filter(|byte| **byte == b'\n').count();
            counted = place(raw);
            Element { text: raw.get(), line }
        })
        .collect())
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes[..offset].iter().filter(|byte| **byte == b'\n').count()
}

/// Parses one message's text.
pub fn parse(element: Element<'_>) -> Result<Value, Malformed> {
    let Strict(value) = serde_json::from_str(element.text).map_err(|error| Malformed::of(&error, element.line))?;
    match inexact_number(element.text) {
        None => Ok(value),
        Some((offset, number)) => Err(Malformed {
            line: element.line + line_of(element.text.as_bytes(), offset) - 1,
            detail: format!("the number {number} has no exact double: send it as a string"),
        }),
    }
}

/// The first number of valid JSON `text` that changes its value when read as a double.
fn inexact_number(text: &str) -> Option<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|byte| !b"+-.eE0123456789".contains(byte));
                let number = &text[at..end.map_or(bytes.len(), |end| at + end)];
                if !is_exact(number) {
                    return Some((at, number));
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    None
}

/// Whether the shortest text of the nearest double has the same digits.
fn is_exact(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(|double| double.is_finite() && digits(number) == digits(&format!("{double:e}")))
}

/// A decimal number as its significant digits and the power of ten of the last.
fn digits(number: &str) -> (String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return (String::new(), 0);
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
    (significant.to_owned(), exponent - fraction.len() as i64 + zeros as i64)
}

/// The first elements of an array, so many as it says.
struct First(usize);

impl<'de> DeserializeSeed<'de> for First {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for First {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < self.0 {
            match elements.next_element()? {
                Some(element) => first.push(element),
                None => return Ok(first),
            }
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

/// A value whose objects name each key once, and that takes no more memory than a message has use for.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictSeed(&Cell::new(VALUES)).deserialize(deserializer).map(Self)
    }
}

/// How many values there may still be.
#[derive(Clone, Copy)]
struct StrictSeed<'n>(&'n Cell<usize>);

impl<'de> DeserializeSeed<'de> for StrictSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.ok_or_else(|| D::Error::custom(format!("more than {VALUES} values in one message")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} stands twice in one object")));
            }
            let value = entries.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Result<Value, Malformed> {
        parse(Element { text, line: 1 })
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_line() {
        let error = whole("{\n \"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2}}").expect_err("refused");
        assert_eq!((error.line, error.detail.as_str()), (3, "the key \"c\" stands twice in one object"));
    }

    #[test]
    fn a_lone_surrogate_is_refused() {
        assert!(whole(r#"{"text": "\ud800"}"#).is_err());
        assert!(whole(r#"{"text": "\ud83d\ude00"}"#).is_ok());
    }

    #[test]
    fn numbers_that_change_when_read_are_refused() {
        for number in ["9007199254740993", "0.1000000000000000055511151231257827", "1e400", "-123456789012345678901"] {
            assert!(whole(number).is_err(), "{number}");
        }
        for number in ["0", "-0", "0.1", "1e2", "100", "9007199254740992", "1.50", "-1E-7", "123456789012345680000"] {
            assert!(whole(number).is_ok(), "{number}");
        }
    }

    #[test]
    fn digits_inside_strings_are_no_numbers() {
        assert!(whole(r#"{"a\"9007199254740993": "\\9007199254740993"}"#).is_ok());
    }

    #[test]
    fn an_array_tells_the_line_of_each_message() {
        let found = elements(b"[\n {\"a\":1},\n\n {\"b\":2}]", false, 9).expect("an array");
        assert_eq!(found.iter().map(|element| element.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn a_body_of_lines_skips_blank_ones_and_counts_them() {
        let found = elements(b"{}\n\n{}\r\n", true, 9).expect("lines");
        assert_eq!(found.iter().map(|element| element.line).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn only_so_many_messages_are_kept_and_the_rest_must_still_be_json() {
        assert_eq!(elements(b"[1, 2, 3, 4]", false, 2).expect("an array").len(), 2);
        assert_eq!(elements(b"1\n2\n3\n4\n", true, 2).expect("lines").len(), 2);
        for broken in ["[1, 2, 3, x]", "[1, 2, 3", "[1, 2] 3"] {
            assert!(elements(broken.as_bytes(), false, 2).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_message_of_very_many_values_is_refused() {
        let array = |values: usize| format!("[{}]", vec!["{}"; values].join(","));
        assert!(whole(&array(VALUES - 1)).is_ok());
        let error = whole(&array(VALUES)).expect_err("refused");
        assert_eq!(error.detail, "more than 100000 values in one message");
        assert!(whole(&"[".repeat(1000)).is_err(), "nor is a deep one read");
    }

    #[test]
    fn what_is_not_utf_8_is_refused_with_its_line() {
        assert_eq!(elements(b"{}\n\xff", true, 9).expect_err("refused").line, 2);
    }

    proptest! {
        #[test]
        fn every_double_in_its_shortest_form_is_exact(double in prop::num::f64::NORMAL) {
            let (plain, scientific) = (format!("{double}"), format!("{double:e}"));
            prop_assert!(is_exact(&plain) && is_exact(&scientific));
        }

        #[test]
        fn nothing_that_serde_reads_makes_the_scan_panic(text in "\\PC{0,60}") {
            let _ = whole(&text);
        }
    }
}
