//! Lines of plain text: at most 78 columns where words allow it, each with an indent that the archive chose.
//!
//! A mail program that wraps a longer line begins the rest of it in the first column, where only the archive writes: a
//! text could pose as the next message. A single word that is longer than a line stays whole, for it is often a link,
//! and holds no space to pose with.

/// RFC 5322 2.1.1: what fits on every screen and sheet.
const WIDTH: usize = 78;
/// The most that is kept of what a line is indented by itself.
const INDENT: usize = 32;

/// Writes `line`, which has no line end, to `out`: `first` before the beginning, `rest` before what follows.
pub fn wrap(first: &str, rest: &str, line: &str, out: &mut String) {
    let mut indent = first;
    let mut left = shifted(line);
    loop {
        let (now, later) = split(left, WIDTH.saturating_sub(columns(indent)));
        let written = out.len();
        out.push_str(indent);
        out.push_str(now);
        out.truncate(written + out[written..].trim_end().len());
        out.push('\n');
        let Some(later) = later else { return };
        (indent, left) = (rest, later);
    }
}

/// As much of `line` as fits, and what remains. The white space between the two belongs to neither.
fn split(line: &str, width: usize) -> (&str, Option<&str>) {
    let mut used = 0;
    let mut space: Option<(usize, usize)> = None;
    // What a line begins with is its own indent, and no place to break it.
    let begins = line.len() - line.trim_start().len();
    for (at, c) in line.char_indices() {
        if c.is_whitespace() && at >= begins {
            space = Some(match space {
                Some((from, to)) if to == at => (from, at + c.len_utf8()),
                _ if used > width => return (&line[..at], later(&line[at..])),
                _ => (at, at + c.len_utf8()),
            });
        }
        used += wide(c);
        if used > width
            && let Some((from, to)) = space
            && to <= at
        {
            return (&line[..from], later(&line[to..]));
        }
    }
    (line, None)
}

/// `line` without so much of its own indent that a mail program would wrap it there.
fn shifted(line: &str) -> &str {
    let begins = line.len() - line.trim_start().len();
    let mut over = columns(&line[..begins]).saturating_sub(INDENT);
    let mut chars = line.chars();
    while over > 0 {
        over = over.saturating_sub(chars.next().map_or(over, wide));
    }
    chars.as_str()
}

fn later(rest: &str) -> Option<&str> {
    Some(rest.trim_start()).filter(|rest| !rest.is_empty())
}

fn columns(text: &str) -> usize {
    text.chars().map(wide).sum()
}

/// About how many columns a character takes (UAX #11, in ranges).
fn wide(c: char) -> usize {
    match c {
        '\t' => 8,
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 2,
        '\u{ff01}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3ffff}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrapped(line: &str) -> Vec<String> {
        let mut out = String::new();
        wrap("1: ", "   ", line, &mut out);
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_breaks_at_its_last_space_that_fits() {
        let lines = wrapped(&format!("{} {} {}", "a".repeat(40), "b".repeat(34), "c".repeat(4)));
        assert_eq!(lines, [format!("1: {} {}", "a".repeat(40), "b".repeat(34)), format!("   {}", "c".repeat(4))]);
    }

    #[test]
    fn a_word_longer_than_a_line_stays_whole() {
        let link = format!("https://acme.example/{}", "x".repeat(90));
        assert_eq!(wrapped(&format!("see {link} now")), ["1: see".to_owned(), format!("   {link}"), "   now".into()]);
        assert_eq!(wrapped(&format!("  {link}")), [format!("1:   {link}")], "nor does it lose its indent");
    }

    #[test]
    fn a_deep_indent_pushes_no_text_over_the_edge() {
        assert_eq!(wrapped(&format!("{}[2]", " ".repeat(100))), [format!("1: {}[2]", " ".repeat(32))]);
        assert_eq!(wrapped(&format!("{}[2]", "\t".repeat(50))), [format!("1: {}[2]", "\t".repeat(4))]);
    }

    #[test]
    fn wide_characters_count_twice() {
        let lines = wrapped(&format!("{} {}", "日".repeat(30), "本".repeat(10)));
        assert_eq!(lines, [format!("1: {}", "日".repeat(30)), format!("   {}", "本".repeat(10))]);
    }

    proptest! {
        #[test]
        fn no_words_are_lost_and_only_words_are_longer(line in "[a-z日\u{a0} ]{0,400}") {
            let lines = wrapped(&line);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&lines.join(" ")[2..]), words(&line));
            for line in &lines {
                prop_assert!(columns(line) <= WIDTH || line.get(3..).unwrap_or_default().split_whitespace().count() <= 1, "{:?}", line);
            }
            prop_assert!(lines[1..].iter().all(|line| line.starts_with("   ")));
        }
    }
}
