//! The resources that the archiver is given, and the messages that it is sent.

use std::{collections::BTreeMap, path::Path};

use archiver::directory::{Directory, Resources};
use imarchive_crds::RetryStatus;
use serde_json::{Value, json};

use crate::{archive::host, plan::Plan};

/// What the archiver reads at its start: the resources with their statuses, as they were published.
pub fn read(folder: &Path, suspended: &[bool], published: &BTreeMap<usize, RetryStatus>) -> Resources {
    let mut documents = vec![json!({
        "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver", "metadata": {"name": "archiver"},
        "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]},
                 "storage": {"retainDelivered": "8760h", "retainLedger": "17520h"}},
    })];
    for (endpoint, suspend) in suspended.iter().enumerate() {
        let smtp = json!({"host": host(endpoint), "port": 587, "from": "archive@acme.example",
                          "recipients": [format!("acme@{}", host(endpoint))]});
        documents.push(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
            "metadata": {"name": name(endpoint), "uid": uid(endpoint), "generation": 1},
            "spec": {"type": "SecureSMTP", "default": endpoint == 0, "suspend": suspend,
                     "smtp": smtp},
            "status": {"accepted": {"generation": 1, "connection": {"type": "SecureSMTP", "smtp": smtp}},
                       "retry": published.get(&endpoint)},
        }));
        documents.push(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "UserAssignment",
            "metadata": {"name": format!("users{endpoint}")},
            "spec": {"endpointRef": {"name": name(endpoint)},
                     "users": [format!("user{endpoint}@acme.example"), format!("other{endpoint}@acme.example")]},
        }));
    }
    let text: Vec<String> = documents.iter().map(Value::to_string).collect();
    std::fs::write(folder.join("acme.yaml"), text.join("\n---\n")).expect("written");
    Directory::new(folder, false).read().expect("readable").expect("new")
}

/// An endpoint's name.
pub fn name(endpoint: usize) -> String {
    format!("journal{endpoint}")
}

/// Its number, by its name.
pub fn number(name: &str) -> usize {
    name.trim_start_matches("journal").parse().expect("an endpoint's name")
}

/// Its UID.
pub fn uid(endpoint: usize) -> String {
    format!("uid-{endpoint}")
}

/// A message, as a chat server sends it.
pub fn document(plan: &Plan, id: usize) -> Value {
    let message = &plan.messages[id];
    let kind = if message.room { "room" } else { "direct" };
    json!({
        "source": "chat", "id": id.to_string(), "kind": "message",
        "conversation": {"type": kind, "id": message.conversation},
        "sender": {"address": message.sender}, "recipients": [{"address": message.recipient}],
        "sentAt": "2026-11-23T09:15:02.123Z", "text": format!("message {id}"),
    })
}
