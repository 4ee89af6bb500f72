//! What a server offers in its reply to EHLO (RFC 5321 4.1.1.1).

use super::Reply;

/// The extensions that the client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// RFC 3207.
    pub(super) start_tls: bool,
    /// RFC 4954, with RFC 4616.
    pub(super) auth_plain: bool,
    /// RFC 4954, with the mechanism that was never standardized.
    pub(super) auth_login: bool,
    /// RFC 1870: the largest mail; 0 when the server does not say.
    pub(super) size: Option<u64>,
    /// RFC 2920.
    pub(super) pipelining: bool,
    /// RFC 3030.
    pub(super) chunking: bool,
}

impl Extensions {
    /// Reads the lines after the first, which is the server's name.
    pub(super) fn of(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines().iter().skip(1) {
            // Old servers write AUTH=PLAIN for the clients of their time.
            let mut words = line.split([' ', '=', '\t']).filter(|word| !word.is_empty()).map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                Some("STARTTLS") => extensions.start_tls = true,
                Some("PIPELINING") => extensions.pipelining = true,
                Some("CHUNKING") => extensions.chunking = true,
                Some("SIZE") => extensions.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                Some("AUTH") => {
                    for mechanism in words {
                        extensions.auth_plain |= mechanism == "PLAIN";
                        extensions.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        extensions
    }

    /// Whether a mail of `bytes` is larger than the server says it takes.
    pub(super) fn smaller_than(&self, bytes: u64) -> Option<u64> {
        self.size.filter(|size| *size > 0 && bytes > *size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::reply::Reader;

    fn extensions(lines: &str) -> Extensions {
        let mut reader = Reader::default();
        reader.push(lines.as_bytes());
        Extensions::of(&reader.next().expect("well-formed").expect("complete"))
    }

    #[test]
    fn keywords_are_read_in_any_case() {
        let found = extensions("250-mx.example\r\n250-StartTLS\r\n250-size 1000\r\n250 AUTH CRAM-MD5 login PLAIN\r\n");
        assert_eq!(
            found,
            Extensions {
                start_tls: true,
                auth_plain: true,
                auth_login: true,
                size: Some(1000),
                ..Extensions::default()
            }
        );
    }

    #[test]
    fn the_first_line_is_a_name_and_no_extension() {
        assert_eq!(extensions("250-STARTTLS\r\n250 8BITMIME\r\n"), Extensions::default());
    }

    #[test]
    fn old_servers_write_an_equals_sign() {
        assert!(extensions("250-mx\r\n250 AUTH=LOGIN\r\n").auth_login);
    }

    #[test]
    fn a_size_of_zero_or_without_a_number_is_no_limit() {
        for lines in ["250-mx\r\n250 SIZE\r\n", "250-mx\r\n250 SIZE 0\r\n", "250-mx\r\n250 SIZE x\r\n"] {
            let found = extensions(lines);
            assert_eq!((found.size, found.smaller_than(u64::MAX)), (Some(0), None), "{lines:?}");
        }
        assert_eq!(extensions("250-mx\r\n250 SIZE 10\r\n").smaller_than(11), Some(10));
    }
}
