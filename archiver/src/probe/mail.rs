//! The mail with which a test ends when it is asked to send one.

use imarchive_crds::Server;
use jiff::Timestamp;

/// A mail that nobody can take for a transcript. All of it is ASCII: the addresses are mailboxes, which was checked when
/// the server was parsed.
pub(super) fn marked(server: &Server, connection: &str, now: Timestamp) -> Vec<u8> {
    let Server { from, recipients, message_type, .. } = server;
    let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let to = recipients.iter().map(|recipient| recipient.as_str()).collect::<Vec<_>>().join(",\r\n ");
    let message_type = message_type.as_ref().map(|value| format!("X-GlobalRelay-MsgType: {value}\r\n"));
    let headers = [
        format!("From: {from}\r\n"),
        format!("To: {to}\r\n"),
        format!("Date: {date}\r\n"),
        format!("Message-ID: <test.{connection}.{}@{}>\r\n", now.as_millisecond(), from.domain()),
        "Subject: imarchive connection test\r\n".to_owned(),
        "Auto-Submitted: auto-generated\r\n".to_owned(),
        message_type.unwrap_or_default(),
        format!("X-IMArchive-Test: {connection}\r\n"),
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n".to_owned(),
    ];
    let body = "This mail tests the way to the archive. It is no transcript, and can be deleted.\r\n";
    [&headers.concat(), "\r\n", body].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use imarchive_crds::{Address, Domain, FromHeader, Tls};
    use mail_parser::MessageParser;

    use super::*;

    #[test]
    fn a_test_mail_is_a_mail() {
        let address = |text| Address::parse(text).expect("an address");
        let server = Server {
            host: Domain::parse("archive.example").expect("a domain"),
            port: 25,
            tls: Tls::StartTLS,
            start_tls_port: None,
            from: address("archive@acme.example"),
            from_header: FromHeader::Participant,
            recipients: vec![address("a@archive.example"), address("b@archive.example")],
            credentials: None,
            message_type: Some("imarchive".to_owned()),
        };
        let now = "2026-11-23T09:15:02Z".parse().expect("a time");
        let mail = marked(&server, "0123456789abcdef", now);
        let parsed = MessageParser::default().parse(&mail).expect("a mail");
        assert_eq!(parsed.date().map(ToString::to_string).as_deref(), Some("2026-11-23T09:15:02Z"));
        assert_eq!(parsed.message_id(), Some("test.0123456789abcdef.1795425302000@acme.example"));
        assert_eq!(parsed.to().map(|to| to.iter().count()), Some(2));
        assert_eq!(parsed.header_raw("X-GlobalRelay-MsgType").map(str::trim), Some("imarchive"));
        assert!(mail.is_ascii());
    }
}
