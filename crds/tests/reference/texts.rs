//! Kinds of texts, told by their rules, so that each is explained once.

use std::collections::BTreeMap;

use serde_json::Value;

/// The name of a kind of text, and how the rule begins that only it has.
const KINDS: [(&str, &str); 7] = [
    ("mailbox", "must be a plain mailbox"),
    ("address", "must have the form local@domain"),
    ("host name", "must be a host name"),
    ("object name", "must be the name of an object"),
    ("namespace name", "must be the name of a namespace"),
    ("duration", "must be a duration"),
    ("size", "must be a size"),
];

/// The kind of the text that `schema` describes.
pub fn kind(schema: &Value) -> Option<&'static str> {
    let messages: Vec<&str> = messages(schema).collect();
    let found = KINDS.iter().find(|(_, begin)| messages.iter().any(|message| message.starts_with(begin)));
    found.map(|(kind, _)| *kind)
}

/// The bounds of a duration or a size: `1s to 24h`.
pub fn bounds(schema: &Value) -> Option<String> {
    let bounded = ["must be a duration from ", "must be a size from "];
    let message = messages(schema).find_map(|message| bounded.iter().find_map(|begin| message.strip_prefix(begin)))?;
    let end = message.find([',', ':'])?;
    Some(message[..end].to_owned())
}

/// What the API server says when a rule is broken.
pub fn messages(schema: &Value) -> impl Iterator<Item = &str> {
    schema["x-kubernetes-validations"].as_array().into_iter().flatten().filter_map(|rule| rule["message"].as_str())
}

/// The rules of each kind, where the bounds are those of a field.
pub fn table(seen: &BTreeMap<&'static str, String>) -> String {
    let mut table = "| text | rules |\n| --- | --- |\n".to_owned();
    for (kind, rules) in seen {
        table.push_str(&format!("| <a id=\"{}\"></a>{kind} | {rules} |\n", kind.replace(' ', "-")));
    }
    table
}

/// What is said of the kind in the table: its rules, without the bounds.
pub fn told(schema: &Value) -> String {
    let rules = messages(schema).map(|message| match bounds(schema) {
        Some(bounds) => message.replacen(&bounds, "its least to its most", 1),
        None => message.to_owned(),
    });
    super::fields::cell(&rules.collect::<Vec<_>>().join("; "))
}
