//! E-mail shaped addresses: how people are named, in messages and in resources alike.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::rules;

/// Who a person is, folded so that equal people compare equal: the local part in lower case, the domain as lower-case
/// A-labels.
///
/// Chat systems name people more freely than RFC 5321 names mailboxes (`\9@irc.example`), so an `Address` is only
/// known to have a local part without spaces or controls, and a domain. Ask [`Address::is_mailbox`] before writing
/// one into an envelope or a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(
    description = "An address, local@domain. Upper and lower case are the same.",
    extend("x-kubernetes-validations" = rules::address())
)]
pub struct Address(#[schemars(length(min = 3, max = 320))] String);

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Nothing before or after the last `@`, or no `@` at all.
    #[error("an address has the form local@domain")]
    Form,
    /// A space, control, or bidirectional formatting character in the local part.
    #[error("the local part holds a space, a control character or a text-direction mark")]
    LocalPart,
    /// Over 64 bytes before, or 255 after the `@`: RFC 5321 4.5.3.1.
    #[error("the local part is over 64 bytes, or the domain over 255")]
    Length,
    /// The domain is not one under IDNA.
    #[error("the domain is not a valid host name")]
    Domain,
}

impl Address {
    /// Parses and folds `text`.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidAddress::Form)?;
        if local.is_empty() || domain.is_empty() {
            return Err(InvalidAddress::Form);
        }
        if local.chars().any(|c| c.is_control() || c.is_whitespace() || is_text_direction(c)) {
            return Err(InvalidAddress::LocalPart);
        }
        let local = local.to_lowercase();
        if local.len() > 64 {
            return Err(InvalidAddress::Length);
        }
        let domain = Domain::parse(domain)?;
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The folded text, `local@domain`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last `@`.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// What stands after the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether this is an RFC 5321 `Dot-string@Domain` in plain ASCII, which every server can be told.
    pub fn is_mailbox(&self) -> bool {
        let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        self.local().split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A host name as lower-case A-labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(description = "A host name.", extend("x-kubernetes-validations" = rules::domain()))]
pub struct Domain(#[schemars(length(min = 1, max = 253))] String);

impl Domain {
    /// Parses `text`, turning U-labels into A-labels.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| InvalidAddress::Domain)?;
        match ascii.len() {
            0 => Err(InvalidAddress::Domain),
            1..=255 => Ok(Self(ascii)),
            _ => Err(InvalidAddress::Length),
        }
    }

    /// The A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The Unicode marks that reorder what a reader sees (UAX #9), with which one address can be made to look like another.
fn is_text_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_and_unicode_domains_are_folded() {
        let address = Address::parse("Alice@BÜCHER.example").expect("valid");
        assert_eq!(address.as_str(), "alice@xn--bcher-kva.example");
    }

    #[test]
    fn names_that_are_no_mailbox_are_addresses_all_the_same() {
        for name in [r"[[mandrix]]@irc.example", r"\9@irc.example", "a..b@irc.example"] {
            let address = Address::parse(name).expect(name);
            assert!(!address.is_mailbox(), "{name}");
        }
        assert!(Address::parse("aaaa```@irc.example").expect("valid").is_mailbox());
        assert!(Address::parse("|trey|@irc.example").expect("valid").is_mailbox());
    }

    #[test]
    fn controls_spaces_and_direction_marks_are_refused() {
        for name in
            ["a\r\nb@x.example", "a b@x.example", "a\u{202e}b@x.example", "a\0@x.example", "@x.example", "a@", "a"]
        {
            assert!(Address::parse(name).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_is_idempotent(text in "\\PC{1,20}@[a-zA-Z0-9]{1,10}\\.example") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(address.as_str()).expect("folded stays valid"), address);
            }
        }
    }
}
