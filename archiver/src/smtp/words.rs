//! Makes a stranger's words fit for a status: short, on one line, without people's addresses.

use std::borrow::Cow;

/// The most characters of somebody's words.
const LIMIT: usize = 300;

/// `text` on one line, mailboxes masked, and shortened.
pub(super) fn fit(text: &str) -> String {
    shorten(&mask(&one_line(text)), LIMIT).into_owned()
}

/// `text`, or its beginning and an ellipsis.
pub(super) fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()),
    }
}

/// Replaces what would move a terminal's cursor or turn its text around.
fn one_line(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.trim().chars().map(|c| if harmful(c) { ' ' } else { c }).collect()
}

/// Replaces the local part of everything that looks like a mailbox. The domain stays: it helps, and names nobody.
fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        let local = match before.strip_suffix('"') {
            Some(quoted) => quoted.rfind('"').unwrap_or(0),
            None => before.len() - before.chars().rev().take_while(|c| is_local(*c)).map(char::len_utf8).sum::<usize>(),
        };
        masked.push_str(&before[..local]);
        if local < before.len() {
            masked.push_str("***");
        }
        masked.push('@');
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// What a local part is made of: RFC 5321 `Dot-string`, and RFC 6531's letters.
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.\\".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mailboxes_are_masked_and_the_rest_stays() {
        for (said, shown) in [
            ("<alice@acme.example>: unknown", "<***@acme.example>: unknown"),
            ("no alice.o'hara+x@acme.example, nor bob@b.example", "no ***@acme.example, nor ***@b.example"),
            ("\"john doe\"@acme.example", "***@acme.example"),
            ("zoë@büro.example", "***@büro.example"),
            ("@acme.example and @", "@acme.example and @"),
            ("a@b@c", "***@***@c"),
        ] {
            assert_eq!(fit(said), shown);
        }
    }

    #[test]
    fn controls_become_spaces() {
        assert_eq!(fit("a\r\nb\x1b[2Jc\u{202e}d\0"), "a  b [2Jc d ");
    }

    #[test]
    fn long_words_end_in_an_ellipsis() {
        assert_eq!(fit(&"ü".repeat(LIMIT)), "ü".repeat(LIMIT));
        let shortened = fit(&"ü".repeat(LIMIT + 1));
        assert_eq!((shortened.chars().count(), shortened.ends_with('…')), (LIMIT, true));
        assert_eq!(shorten("abc", 0), "…");
    }

    proptest! {
        #[test]
        fn no_words_grow_beyond_the_limit_or_keep_a_control(said in "\\PC{0,400}|.{0,400}") {
            let shown = fit(&said);
            prop_assert!(shown.chars().count() <= LIMIT);
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn no_local_part_survives(local in "[a-z0-9._+-]{1,20}", before in "[<(: ]", after in "[>): ]") {
            let shown = fit(&format!("user{before}{local}@acme.example{after}"));
            let expected = format!("user{before}***@acme.example{after}");
            prop_assert_eq!(shown.trim(), expected.trim());
        }
    }
}
