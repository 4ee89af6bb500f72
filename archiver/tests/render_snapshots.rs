//! What rendered mails look like, for people to judge: whoever changes the rendering reads the difference here.

mod render_support;

use std::collections::BTreeMap;

use archiver::render::{Earlier, Form, Replaces, mail};
use imarchive_crds::FromHeader;
use render_support::{mail_parser, ours, recorded, rendered, sealed, service};
use serde_json::{Value, json};

fn direct(id: &str, from: &str, to: &str, at: &str, text: &str) -> Value {
    json!({
        "source": "acme-chat", "id": id, "kind": "message",
        "conversation": {"type": "direct", "id": "d-7"},
        "sender": {"address": format!("{}@acme.example", from.to_lowercase()), "name": from},
        "recipients": [{"address": format!("{}@acme.example", to.to_lowercase()), "name": to}],
        "sentAt": at, "text": text,
    })
}

fn room(id: &str, kind: &str, sender: Value, at: &str, more: Value) -> Value {
    let mut document = json!({
        "source": "acme-chat", "id": id, "kind": kind,
        "conversation": {"type": "room", "id": "r-4", "name": "Trading floor"},
        "sender": sender, "sentAt": at,
        "recipients": [
            {"address": "alice@acme.example", "name": "Alice"},
            {"address": "\\9@irc.example", "name": "\\9", "type": "guest"},
        ],
    });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    document
}

#[test]
fn a_direct_chat_as_it_goes_over_the_wire() {
    let (sealed, transcript) = sealed(vec![
        direct("m-1", "Alice", "Bob", "2026-11-23T09:15:02.123Z", "Lunch?"),
        direct("m-2", "Bob", "Alice", "2026-11-23T09:15:10Z", "At noon."),
    ]);
    let mail = String::from_utf8(rendered(&sealed, &transcript)).expect("ASCII");
    insta::assert_snapshot!("direct_mail", mail.replace("\r\n", "\n"));
    insta::assert_snapshot!("direct_transcript", String::from_utf8(transcript.json).expect("UTF-8"));
}

#[test]
fn a_room_with_all_that_can_happen_in_one() {
    let alice = || json!({"address": "alice@acme.example", "name": "Alice"});
    let bob = || json!({"address": "bob@acme.example", "name": "Bob O'Neill, Jr."});
    let nine = || json!({"address": "\\9@irc.example", "name": "\\9", "type": "guest"});
    let (sealed, transcript) = sealed(vec![
        room(
            "m-1",
            "message",
            alice(),
            "2026-11-23T09:15:02.123Z",
            json!({"text": "Prices for Mnday\n  1. copper\n  2. tin"}),
        ),
        room(
            "m-2",
            "join",
            bob(),
            "2026-11-23T09:15:30Z",
            json!({"priority": {"b": 1, "a": [2]}, "receivedAt": "yesterday"}),
        ),
        room(
            "m-3",
            "message",
            bob(),
            "2026-11-23T09:16:00.5Z",
            json!({"text": "Mnday?", "html": "<p>M<b>n</b>day?</p>", "refersTo": "m-1"}),
        ),
        room("m-4", "edit", alice(), "2026-11-23T09:16:20Z", json!({"text": "Prices for Monday", "refersTo": "m-1"})),
        room(
            "m-5",
            "file",
            alice(),
            "2026-11-23T09:17:00Z",
            json!({"text": "both files", "attachments": [
                {"name": "prices.csv", "mediaType": "text/csv; charset=utf-8", "content": "copper,1\r\ntin,2\r"},
                {"name": "prices.csv", "mediaType": "text/csv", "content": "copper,3\n"},
                {"name": "big.mov", "mediaType": "video/quicktime", "size": 5_000_000_000_u64},
            ]}),
        ),
        room("m-6", "delete", bob(), "2026-11-23T09:18:00Z", json!({"refersTo": "m-3"})),
        room("m-7", "edit", nine(), "2026-11-23T09:18:30Z", json!({"text": "done", "refersTo": "m-0"})),
        room("m-8", "delete", nine(), "2026-11-23T09:18:31Z", json!({"refersTo": "l-9"})),
        room("m-9", "message", nine(), "2026-11-23T09:18:32Z", json!({"text": "what?", "refersTo": "k-9"})),
        room(
            "m-11",
            "edit",
            alice(),
            "2026-11-23T09:18:40Z",
            json!({"text": "Prices for Monday\n  1. copper\n  2. tin", "refersTo": "m-1"}),
        ),
        room("m-10", "leave", bob(), "2026-11-23T09:19:00Z", json!({})),
    ]);
    let before = room("m-0", "message", nine(), "2026-11-23T08:00:00Z", json!({"text": "dnoe\nand dusted"}));
    let earlier = BTreeMap::from([
        (
            "m-0".to_owned(),
            Earlier { batch: "journal-16".to_owned(), digest: "1".repeat(64), message: Some(recorded(before).message) },
        ),
        ("l-9".to_owned(), Earlier { batch: "journal-2".to_owned(), digest: "2".repeat(64), message: None }),
    ]);
    let digest = "3".repeat(64);
    let mail = mail(
        &sealed,
        &transcript,
        &Form {
            from: &service(),
            from_header: FromHeader::Service,
            message_type: Some("imarchive"),
            belongs: &ours,
            replaces: Some(Replaces { sequence: 12, digest: &digest }),
            earlier: &earlier,
        },
    );
    let header = String::from_utf8(mail.clone()).expect("ASCII");
    let header = header.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n", "\n");
    let parsed = mail_parser(&mail);
    keep("room", &mail);
    insta::assert_snapshot!("room_header", header);
    insta::assert_snapshot!("room_text", parsed.text);
    insta::assert_snapshot!("room_html", parsed.html);
    insta::assert_snapshot!("room_transcript", parsed.json);
    insta::assert_debug_snapshot!("room_parts", parsed.parts);
}

#[test]
fn right_to_left_and_emoji() {
    let mut hebrew = direct("m-1", "Noa", "Omar", "2026-11-23T09:15:02.123Z", "שלום, ראית את המחיר של ACME? 📈👩‍🚀");
    hebrew["sender"]["name"] = json!("נועה לוי");
    let mut arabic =
        direct("m-2", "Omar", "Noa", "2026-11-23T09:15:10Z", "نعم: ١٢٫٥٠\nsee invoice \u{202e}fdp.exe\n🏴󠁧󠁢󠁳󠁣󠁴󠁿");
    arabic["sender"]["name"] = json!("عمر");
    arabic["refersTo"] = json!("m-1");
    let (sealed, transcript) = sealed(vec![hebrew, arabic]);
    let mail = rendered(&sealed, &transcript);
    let header = String::from_utf8(mail.clone()).expect("ASCII");
    let parsed = mail_parser(&mail);
    keep("rtl", &mail);
    insta::assert_snapshot!("rtl_header", header.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n", "\n"));
    insta::assert_snapshot!("rtl_text", parsed.text);
    insta::assert_snapshot!("rtl_html", parsed.html);
}

#[test]
fn a_room_of_many() {
    let everyone: Vec<_> = (0..300)
        .map(|number| json!({"address": format!("user{number:03}@acme.example"), "name": format!("Jürgen Müller {number}")}))
        .collect();
    let documents = (0..50)
        .map(|number| {
            let mut document = room(
                &format!("m-{number}"),
                "message",
                json!({"address": format!("user{:03}@acme.example", number % 7), "name": "Jürgen Müller"}),
                &format!("2026-11-23T{:02}:15:02.123Z", number % 24),
                json!({"text": format!("{} line {number}", "word ".repeat(number * 3))}),
            );
            document["recipients"] = json!(everyone);
            document
        })
        .collect();
    let (sealed, transcript) = sealed(documents);
    keep("many", &rendered(&sealed, &transcript));
}

/// Leaves `mail` where `IMARCHIVE_MAILS` says, for whoever wants to see it in a mail program.
fn keep(name: &str, mail: &[u8]) {
    if let Some(folder) = std::env::var_os("IMARCHIVE_MAILS") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.eml")), mail).expect("written");
    }
}
