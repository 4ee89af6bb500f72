//! Numbers of bytes as Kubernetes quantities: `16Mi`, `20Gi`, `1048576`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rules;

/// A whole number of bytes, written with the suffixes `Ki Mi Gi Ti` or `k M G T`. Keeps what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteSize {
    text: String,
    bytes: u64,
}

/// A text that is no [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size such as 16Mi or 20Gi")]
pub struct InvalidSize(String);

const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

impl ByteSize {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, InvalidSize> {
        let (number, unit) =
            UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit))).unwrap_or((text, 1));
        let digits = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        let bytes = number.parse::<u64>().ok().filter(|_| digits).and_then(|number| number.checked_mul(unit));
        let bytes = bytes.ok_or_else(|| InvalidSize(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), bytes })
    }

    /// `mebibytes` MiB.
    pub fn mebibytes(mebibytes: u64) -> Self {
        Self { text: format!("{mebibytes}Mi"), bytes: mebibytes << 20 }
    }

    /// `gibibytes` GiB.
    pub fn gibibytes(gibibytes: u64) -> Self {
        Self { text: format!("{gibibytes}Gi"), bytes: gibibytes << 30 }
    }

    /// In bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A field with bounds of its own states them instead.
        json_schema!({"type": "string", "maxLength": 20, "x-kubernetes-validations": rules::size("0", "1024Ti")})
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_those_of_quantities() {
        assert_eq!(ByteSize::parse("16Mi").expect("valid").bytes(), 16 << 20);
        assert_eq!(ByteSize::parse("2G").expect("valid").bytes(), 2_000_000_000);
        assert_eq!(ByteSize::parse("17").expect("valid").bytes(), 17);
        for wrong in ["", "Mi", "+1", "1.5Gi", "1 Gi", "99999999999Ti"] {
            assert!(ByteSize::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
