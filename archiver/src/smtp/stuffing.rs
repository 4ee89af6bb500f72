//! Makes a mail's lines transparent: one that begins with a dot gets another (RFC 5321 4.5.2).

/// How much of a mail is written at once.
const BLOCK: usize = 64 << 10;

/// A mail in stuffed blocks.
pub(super) struct Blocks<'m> {
    rest: &'m [u8],
    line_begins: bool,
}

impl<'m> Blocks<'m> {
    pub(super) fn of(mail: &'m [u8]) -> Self {
        Self { rest: mail, line_begins: true }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.rest.is_empty() {
            return None;
        }
        let (block, rest) = self.rest.split_at(self.rest.len().min(BLOCK));
        self.rest = rest;
        let mut stuffed = Vec::with_capacity(block.len() + block.len() / 64);
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            if self.line_begins && line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
            self.line_begins = line.ends_with(b"\n");
        }
        Some(stuffed)
    }
}

/// What ends the mail: a dot on a line of its own.
pub(super) fn final_dot(mail: &[u8]) -> &'static [u8] {
    if mail.is_empty() || mail.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" }
}

/// Where a CR or LF stands alone. Servers disagree whether it ends a line, which lets one mail be read as two.
pub(super) fn stray_line_end(mail: &[u8]) -> Option<usize> {
    let mut before = 0;
    for (at, byte) in mail.iter().enumerate() {
        match (before, byte) {
            (b'\r', b'\n') => {}
            (b'\r', _) => return Some(at - 1),
            (_, b'\n') => return Some(at),
            _ => {}
        }
        before = *byte;
    }
    (before == b'\r').then(|| mail.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(mail: &[u8]) -> Vec<u8> {
        [&Blocks::of(mail).flatten().collect::<Vec<_>>()[..], final_dot(mail)].concat()
    }

    /// What a server does, after RFC 5321 4.5.2: line by line until the dot; returns what follows too.
    fn received(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
        let mut mail = Vec::new();
        loop {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a final dot") + 2;
            let (line, rest) = bytes.split_at(end);
            bytes = rest;
            if line == b".\r\n" {
                return (mail, rest);
            }
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    #[test]
    fn the_first_line_is_stuffed_too() {
        assert_eq!(stuffed(b".\r\n..a\r\nb.\r\n"), b"..\r\n...a\r\nb.\r\n.\r\n");
    }

    #[test]
    fn a_mail_without_a_last_line_end_gets_one() {
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
    }

    #[test]
    fn a_line_that_begins_with_a_block_is_stuffed() {
        let mail = [&vec![b'a'; BLOCK - 2][..], b"\r\n.\r\n.b\r\n"].concat();
        assert_eq!(received(&stuffed(&mail)), (mail, &b""[..]));
    }

    #[test]
    fn a_dot_that_begins_a_block_but_no_line_is_left_alone() {
        for head in [BLOCK, BLOCK - 1] {
            let mail = [&vec![b'a'; head][..], b"..\r\n"].concat();
            assert_eq!(received(&stuffed(&mail)), (mail, &b""[..]));
        }
    }

    #[test]
    fn stray_line_ends_are_found() {
        for (mail, at) in
            [("a\nb", Some(1)), ("a\rb", Some(1)), ("a\r", Some(1)), ("\n", Some(0)), ("a\r\r\n", Some(1))]
        {
            assert_eq!(stray_line_end(mail.as_bytes()), at, "{mail:?}");
        }
        for mail in ["", "a", "\r\n", "a\r\n.\r\n\r\nb"] {
            assert_eq!(stray_line_end(mail.as_bytes()), None, "{mail:?}");
        }
    }

    proptest! {
        #[test]
        fn every_mail_arrives_as_it_was_sent(lines in prop::collection::vec("[.]{0,3}[ -~]{0,5}", 0..40)) {
            let mail = lines.iter().fold(String::new(), |mail, line| mail + line + "\r\n");
            let bytes = stuffed(mail.as_bytes());
            let (got, rest) = received(&bytes);
            prop_assert_eq!(got, mail.as_bytes());
            prop_assert!(rest.is_empty(), "the final dot is the only one");
        }
    }
}
