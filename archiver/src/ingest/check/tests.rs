use super::*;
use axum::http::HeaderMap;
use serde_json::json;

fn form(media_type: &'static str) -> Form {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", axum::http::HeaderValue::from_static(media_type));
    Form::of(&headers).expect("known")
}

fn valid() -> Value {
    json!({
        "source": "acme-chat", "id": "m-17", "kind": "message", "conversation": {"type": "direct", "id": "d-1"},
        "sender": {"address": "alice@acme.example"}, "recipients": [{"address": "Bob@Acme.example"}],
        "sentAt": "2026-11-23T09:15:02.123Z", "text": "hello", "unknown": {"kept": true},
    })
}

fn sources() -> BTreeSet<String> {
    ["acme-chat".to_owned(), "s".to_owned()].into()
}

fn read(value: &Value) -> Result<Vec<Entry>, Problem> {
    entries(&serde_json::to_vec(value).expect("JSON"), form("application/json"), &Table::default(), &sources())
}

fn changed(change: impl FnOnce(&mut Value)) -> Problem {
    let mut value = valid();
    change(&mut value);
    read(&value).expect_err("refused")
}

#[test]
fn a_missing_field_is_named_with_its_line() {
    let text = format!("{}\n{}", valid(), json!({"source": "s"}));
    let problem =
        entries(text.as_bytes(), form("application/x-ndjson"), &Table::default(), &sources()).expect_err("refused");
    assert_eq!(problem.kind, Kind::InvalidMessage);
    assert_eq!((problem.errors[0].index, problem.errors[0].line), (Some(1), Some(2)));
    assert!(problem.errors[0].detail.contains("missing field `id`"), "{:?}", problem.errors[0]);
}

#[test]
fn a_wrong_field_is_named_by_its_pointer() {
    let problem = changed(|message| message["recipients"][0]["address"] = "nobody".into());
    assert_eq!(problem.errors[0].pointer, "/recipients/0/address");
    assert_eq!(changed(|message| message["kind"] = "shout".into()).errors[0].pointer, "/kind");
    assert_eq!(changed(|message| message["sentAt"] = "yesterday".into()).errors[0].pointer, "/sentAt");
}

#[test]
fn a_source_that_is_not_the_callers_is_named_with_its_place() {
    let problem = changed(|message| message["source"] = "other".into());
    assert_eq!(problem.kind, Kind::SourceForbidden);
    assert_eq!((problem.errors[0].index, problem.errors[0].pointer.as_str()), (Some(0), "/source"));
}

#[test]
fn a_direct_chat_has_exactly_two_distinct_addresses() {
    let problem = changed(|message| message["recipients"] = json!([{"address": "ALICE@acme.example"}]));
    assert_eq!(problem.errors[0].pointer, "/recipients");
}

#[test]
fn content_goes_out_of_the_document_and_its_size_and_digest_go_in() {
    let mut value = valid();
    value["attachments"] = json!([{"name": "a.txt", "content": "aGVsbG8="}, {"name": "lost.txt"}]);
    let entry = read(&value).expect("valid").remove(0);
    let document: Value = serde_json::from_slice(&entry.document).expect("JSON");
    let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(document["attachments"][0], json!({"name": "a.txt", "size": 5, "sha256": sha256}));
    assert_eq!(entry.contents, [Some(b"hello".to_vec()), None]);
    assert_eq!(document["unknown"], json!({"kept": true}));
}

#[test]
fn content_that_is_not_what_it_claims_is_refused() {
    let attach =
        |attachment: Value| changed(|message| message["attachments"] = json!([attachment])).errors[0].pointer.clone();
    assert_eq!(attach(json!({"content": "aGVsbG8=", "size": 6})), "/attachments/0/size");
    assert_eq!(attach(json!({"content": "aGVsbG8=", "sha256": "00"})), "/attachments/0/sha256");
    assert_eq!(attach(json!({"content": "*"})), "/attachments/0/content");
}

#[test]
fn the_same_message_written_otherwise_has_the_same_digest() {
    let one = read(&valid()).expect("valid");
    let text = serde_json::to_string_pretty(&valid()).expect("JSON").replace("hello", "h\\u0065llo");
    let other = entries(text.as_bytes(), form("application/json"), &Table::default(), &sources()).expect("valid");
    assert_eq!(one[0].digest, other[0].digest);
}

#[test]
fn both_directions_of_a_direct_chat_are_one_thread() {
    let mut back = valid();
    back["sender"] = json!({"address": "bob@acme.example"});
    back["recipients"] = json!([{"address": "alice@acme.example"}]);
    let (one, other) = (read(&valid()).expect("valid"), read(&back).expect("valid"));
    assert_eq!(one[0].group.thread, other[0].group.thread);
}

#[test]
fn an_empty_request_is_refused() {
    for body in ["", "  ", "[]"] {
        assert!(entries(body.as_bytes(), form("application/json"), &Table::default(), &sources()).is_err(), "{body:?}");
    }
}
