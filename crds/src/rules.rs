//! The rules of texts as the API server checks them: what a type here refuses to read is refused there, with a sentence.
//!
//! They are CEL rules and not patterns, since of a pattern the API server shows nothing but the expression. A rule may
//! take what its type refuses only where CEL cannot know better: whether `xn--...` is Punycode, for example.

use serde_json::{Value, json};

mod texts;

pub use texts::{AnnotationValue, LabelValue, Mailbox, Rung, Source};

/// What no local part holds: spaces, controls, and marks that change the direction of text.
const LOCAL: &str = r"[^\pZ\p{Cc}\x{61c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}]";
/// What a host name holds: letters, digits, hyphens and dots; of other scripts, whatever is neither space nor control.
const HOST: &str = r"[^\x00-,/:-@\[-`{-\x7f\pZ\pC]";
/// After a dot or @: an empty label, one of over 63 characters, one with a hyphen at an end, or at its third and fourth
/// place when it is no A-label.
const WRONG_LABEL: &str = r"(?i)[@.]([.-]|$|[^.]{64}|([^x.][^.]|x[^n.])--)|-([.]|$)";
/// What RFC 5321 calls an atom.
const ATOM: &str = r"[\w!#$%&'*+/=?^`{|}~-]+";
/// A number and its unit, not so large that CEL could not count it.
const SPAN: &str = "^([0-9]{1,6}h|[0-9]{1,7}m|[0-9]{1,9}s|[0-9]{1,12}ms)+$";
const SIZE: &str = "^[0-9]{1,15}([KMGT]i|[kMGT])?$";
/// Of a DNS name, as Kubernetes names objects.
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
/// Of a label's key what stands after the prefix; of its value all.
const NAME: &str = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)";

/// One rule, for `x-kubernetes-validations`.
pub fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// Of a block that has `tls`, `port` and `startTlsPort`.
pub fn tls() -> Vec<Value> {
    vec![
        rule(
            "!(self.tls == 'Implicit' && has(self.port) && self.port == 25)",
            "port 25 is never implicit TLS: use 465, or tls StartTLS",
        ),
        rule("self.tls == 'Implicit' || !has(self.startTlsPort)", "a startTlsPort is for tls Implicit alone"),
        rule(
            "self.tls != 'Implicit' || (has(self.port) ? self.port : 465) != \
             (has(self.startTlsPort) ? self.startTlsPort : 587)",
            "port and startTlsPort must differ: one port cannot speak TLS both from the first byte and after STARTTLS",
        ),
    ]
}

/// Of an [`Address`](crate::Address). Two rules, since the API server bounds what one may cost.
pub fn address() -> Vec<Value> {
    let local = "self.substring(0, self.lastIndexOf('@'))";
    vec![
        rule(
            &format!("self.contains('@') && {local}.matches(r'^{LOCAL}{{1,64}}$') && size(bytes({local})) <= 64"),
            "must have the form local@domain, such as alice@acme.example, with at most 64 bytes and no spaces before the @",
        ),
        rule(
            &format!("!self.contains('@') || ({})", host("self.substring(self.lastIndexOf('@'))")),
            "must have a host name after the @: letters, digits and hyphens, with dots between",
        ),
    ]
}

/// That `text` is @ or a dot, and a host name.
fn host(text: &str) -> String {
    format!("{text}.matches(r'^[@.]{HOST}{{1,253}}$') && !{text}.matches(r'{WRONG_LABEL}')")
}

/// Of an [`Address`](crate::Address) that can be written into an envelope: what
/// [`is_mailbox`](crate::Address::is_mailbox) says.
fn mailbox() -> Vec<Value> {
    let plain = rule(
        &format!(r#"!self.contains('@') || self.matches(r"^{ATOM}([.]{ATOM})*@[^@]*$")"#),
        "must be a plain mailbox: before the @ only letters from a to z, digits and !#$%&'*+-/=?^_`{|}~, with single dots \
         between them",
    );
    let mut rules = address();
    rules.push(plain);
    rules
}

/// Of the name of a chat system.
fn source() -> Vec<Value> {
    let rule = rule(
        r"self.matches(r'^\P{Cc}+$') && size(bytes(self)) <= 63",
        "must have at most 63 bytes, and no control characters",
    );
    vec![rule]
}

/// Of a [`Domain`](crate::Domain).
pub fn domain() -> Vec<Value> {
    let rule = rule(
        &host("('.' + self)"),
        "must be a host name such as journal.archive.example: letters, digits and hyphens, with dots between",
    );
    vec![rule]
}

/// Of a [`Span`](crate::Span), with its bounds.
pub fn span(least: &str, most: &str) -> Vec<Value> {
    let rule = rule(
        &format!(
            "self.matches('{SPAN}') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
        ),
        &format!("must be a duration from {least} to {most}, in h, m, s and ms, such as 90s or 1h30m"),
    );
    vec![rule]
}

/// Of durations in a row, which are none the shorter the longer it lasts. What is no duration at all its own rule tells.
pub fn climbing() -> Vec<Value> {
    let rule = rule(
        &format!("!self.all(span, span.matches('{SPAN}')) || self.map(span, duration(span)).isSorted()"),
        "must not decrease: no rung is shorter than the one before it",
    );
    vec![rule]
}

/// Of a [`ByteSize`](crate::ByteSize), with its bounds.
pub fn size(least: &str, most: &str) -> Vec<Value> {
    let rule = rule(
        &format!(
            "self.matches('{SIZE}') && quantity(self).compareTo(quantity('{least}')) >= 0 && \
             quantity(self).compareTo(quantity('{most}')) <= 0"
        ),
        &format!("must be a size from {least} to {most}: a whole number of bytes, or of k, M, G, T, Ki, Mi, Gi or Ti"),
    );
    vec![rule]
}

/// Of the names of most objects: a DNS subdomain.
pub fn object_name() -> Vec<Value> {
    let rule = rule(
        &format!("self.matches('^{LABEL}([.]{LABEL})*$')"),
        "must be the name of an object: lower-case letters, digits, hyphens and dots",
    );
    vec![rule]
}

/// Of the names of namespaces: a DNS label.
pub fn namespace_name() -> Vec<Value> {
    let rule = rule(
        &format!("self.matches('^{LABEL}$')"),
        "must be the name of a namespace: lower-case letters, digits and hyphens",
    );
    vec![rule]
}

/// Of what people read, and headers carry.
pub fn one_line() -> Vec<Value> {
    vec![rule(r"self.matches(r'^\P{Cc}+$')", "must be on one line, without control characters")]
}

/// Of what stands in a header as it is.
pub fn header_word() -> Vec<Value> {
    let rule = rule(
        "self.matches('^[A-Za-z0-9][A-Za-z0-9 ._-]*$')",
        "must begin with a letter or digit, and hold only letters, digits, spaces, dots, hyphens and underscores",
    );
    vec![rule]
}

/// Of a pod's node selector.
pub fn node_selector() -> Vec<Value> {
    let rule = rule(
        &format!("self.all(key, {} && self[key].matches('^{NAME}?$'))", qualified("key")),
        "must map labels to their values, such as kubernetes.io/arch to amd64",
    );
    vec![rule]
}

/// Of annotations.
pub fn annotations() -> Vec<Value> {
    let rule =
        rule(&format!("self.all(key, {})", qualified("key")), "must have keys such as example.com/name, or name");
    vec![rule]
}

fn qualified(key: &str) -> String {
    format!("{key}.matches('^([a-z0-9.-]{{1,253}}/)?{NAME}$')")
}

/// Of an Archiver's storage as a whole. A field that is left out has its default here, on both sides of an update.
pub fn storage() -> Vec<Value> {
    let same_class = "has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || \
                      self.storageClassName == oldSelf.storageClassName)";
    let span = |field: &str| format!("self.{field}.matches('{SPAN}')");
    let ledger = format!(
        "!({} && {}) || duration(self.retainLedger) >= duration('2160h') + duration(self.retainDelivered)",
        span("retainLedger"),
        span("retainDelivered")
    );
    vec![
        json!({
            "rule": "!isQuantity(self.size) || !isQuantity(oldSelf.size) || \
                     quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            "message": "the size may only grow",
            // Whoever takes the whole block away did not write the size that it is then.
            "messageExpression": "'the size may only grow: it was ' + oldSelf.size + ', and would be ' + self.size + \
                                  ' (left out, it is 20Gi)'",
            "fieldPath": ".size"
        }),
        json!({
            "rule": same_class,
            "message": "the storageClassName cannot be changed, since the claim has it: to move to another class, delete the \
                        Archiver and the claim spool once all is delivered, and make the Archiver anew",
            "fieldPath": ".storageClassName"
        }),
        json!({
            "rule": ledger,
            "message": "the retainLedger must be at least 2160h longer than retainDelivered",
            "fieldPath": ".retainLedger"
        }),
    ]
}

/// Of what a pod asks of its node.
pub fn resources() -> Vec<Value> {
    let quantities = |field: &str| {
        rule(
            &format!("!has(self.{field}) || self.{field}.all(key, isQuantity(string(self.{field}[key])))"),
            &format!("{field} must be quantities such as 500m, 2 or 1Gi"),
        )
    };
    let within = "!has(self.requests) || !has(self.limits) || self.requests.all(key, !(key in self.limits) || \
                  !isQuantity(string(self.requests[key])) || !isQuantity(string(self.limits[key])) || \
                  quantity(string(self.requests[key])).compareTo(quantity(string(self.limits[key]))) <= 0)";
    vec![
        quantities("limits"),
        quantities("requests"),
        rule(within, "requests must not be more than the limits"),
        rule("!has(self.claims)", "claims cannot be used, since the archiver's pod has no resourceClaims"),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use crate::{Address, ByteSize, Domain, Span};

    #[derive(Deserialize)]
    struct Texts {
        taken: Vec<String>,
        refused: Vec<String>,
    }

    /// The story of the rules holds the API server to the same texts.
    #[test]
    fn the_types_read_what_the_api_server_takes_and_refuse_what_it_refuses() {
        let texts: BTreeMap<String, Texts> = serde_json::from_str(include_str!("../tests/texts.json")).expect("JSON");
        for (kind, texts) in texts {
            let reads = |text: &str| match kind.as_str() {
                "address" => Address::parse(text).is_ok(),
                "mailbox" => Address::parse(text).is_ok_and(|address| address.is_mailbox()),
                "domain" => Domain::parse(text).is_ok(),
                "span" => Span::parse(text).is_ok(),
                "size" => ByteSize::parse(text).is_ok(),
                other => panic!("no type for {other}"),
            };
            for text in &texts.taken {
                assert!(reads(text), "{kind} {text:?} is refused");
            }
            for text in &texts.refused {
                assert!(!reads(text), "{kind} {text:?} is taken");
            }
        }
    }
}
