//! Cleaning: what people typed, made fit for the place where it is shown.
//!
//! There are four places: one line of a body ([`line`]), a header ([`header`]), the paragraphs of a body ([`text`]), and
//! a machine-readable header ([`token`]).

/// `text` as one line of at most `max` characters, without controls and text-direction marks.
pub fn line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut space = false;
    for c in text.chars() {
        if is_direction(c) || is_invisible(c) {
            continue;
        }
        if c.is_whitespace() || c.is_control() {
            space = count > 0;
            continue;
        }
        if count + usize::from(space) >= max {
            // The sign that something was cut off takes the place of the last character.
            if count >= max {
                line.pop();
            }
            line.truncate(line.trim_end().len());
            line.push('…');
            return line;
        }
        if space {
            line.push(' ');
            count += 1;
            space = false;
        }
        line.push(c);
        count += 1;
    }
    line
}

/// [`line()`] for a header, also without what a parser could take for an RFC 2047 encoded word.
///
/// RFC 2047 5 (3) says that none is decoded inside a quoted string, but parsers do, mail-builder writes one as it is
/// when the rest is plain ASCII, and so a name could turn into another one, or into line ends, after the checks.
pub fn header(text: &str, max: usize) -> String {
    line(text, max).replace("=?", "= ?")
}

/// `text` for the paragraphs of a body: line ends are `\n`, and what would act unseen is shown.
///
/// The marks that only help right-to-left text to read well stay: each line is a bidi paragraph of its own, at whose
/// end embeddings and isolates end too (UAX #9, 3.3.2). Overrides stay not, for they make text read as another one.
pub fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                shown.push('\n');
            }
            '\n' | '\u{0b}' | '\u{0c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => shown.push('\n'),
            '\t' => shown.push('\t'),
            // The block U+2400 holds a picture of each.
            '\0'..='\u{1f}' => shown.extend(char::from_u32(0x2400 + u32::from(c))),
            '\u{7f}' => shown.push('\u{2421}'),
            '\u{202d}' | '\u{202e}' => shown.push_str(&format!("[U+{:04X}]", u32::from(c))),
            c if c.is_control() || is_invisible(c) => shown.push_str(&format!("[U+{:04X}]", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// `text` percent-encoded (RFC 3986 2.1) so that nothing but unreserved ASCII is left.
///
/// What is longer than `max` is cut, and an asterisk and the SHA-256 of the whole follow: a header line has at most
/// 998 bytes (RFC 5322 2.1.1) and nowhere to fold.
pub fn token(text: &str, max: usize) -> String {
    let mut token = String::new();
    for c in text.chars() {
        let piece = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => c.to_string(),
            _ => c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect(),
        };
        if token.len() + piece.len() > max {
            return format!("{token}*{}", super::transcript::sha256(text.as_bytes()));
        }
        token.push_str(&piece);
    }
    token
}

/// The marks that reorder what a reader sees (UAX #9).
fn is_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What takes no space and has no use in a text: byte order marks and annotation marks. Joiners do have one: emoji.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_no_ends_and_no_marks() {
        assert_eq!(line("  a\r\n b\u{2028}c\u{202e}d\0e\t ", 50), "a b cd e");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcd fg", 6), "abcd…");
        assert_eq!(line("\u{1f469}\u{200d}\u{1f680}", 9), "\u{1f469}\u{200d}\u{1f680}", "joiners stay");
    }

    #[test]
    fn a_header_has_no_encoded_words() {
        assert_eq!(header("=?utf-8?q?=0D=0A?=", 50), "= ?utf-8?q?=0D=0A?=");
        assert_eq!(header("=\u{feff}?utf-8?q?x?=", 50), "= ?utf-8?q?x?=", "nor what removing a mark made one");
    }

    #[test]
    fn text_shows_what_would_act_unseen() {
        assert_eq!(text("a\r\nb\rc\u{2029}d"), "a\nb\nc\nd");
        assert_eq!(text("a\0\u{1b}[0m\u{7f}\u{90}"), "a␀␛[0m␡[U+0090]");
        assert_eq!(text("gpj.\u{202e}exe"), "gpj.[U+202E]exe");
        assert_eq!(text("\u{5d0}\u{200f}!"), "\u{5d0}\u{200f}!");
    }

    #[test]
    fn a_token_is_plain_and_bounded() {
        assert_eq!(token("r 4/ä", 50), "r%204%2F%C3%A4");
        assert_eq!(token(&"ä".repeat(9), 15).find('*'), Some(12), "no half characters");
        assert_ne!(token(&"a".repeat(21), 20), token(&"a".repeat(22), 20));
    }

    proptest! {
        #[test]
        fn headers_hold_no_controls_whatever_was_typed(typed in any::<String>(), max in 2usize..80) {
            let header = header(&typed, max);
            prop_assert!(!header.chars().any(|c| c.is_control() || is_direction(c)));
            prop_assert!(!header.contains("=?"));
            prop_assert_eq!(header.trim(), &header);
            prop_assert!(line(&typed, max).chars().count() <= max);
        }

        #[test]
        fn text_holds_no_control_but_line_ends_and_tabs(typed in any::<String>()) {
            prop_assert!(!text(&typed).chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }

        #[test]
        fn tokens_are_plain_and_bounded(typed in any::<String>(), max in 0usize..80) {
            let token = token(&typed, max);
            prop_assert!(token.len() <= max + 65);
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%*".contains(&byte)));
        }
    }
}
