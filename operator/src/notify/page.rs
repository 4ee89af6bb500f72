//! The two forms of a mail's words: plain text of 76 columns, and HTML that needs nothing from anywhere.

use super::words::Words;

/// Where the plain text is broken.
const WIDTH: usize = 76;
/// Where the plain text's facts begin.
const INDENT: usize = 14;
const FOOT: &str = "imarchive mails this to the administrators of the organization: spec.organization.administrators of its \
                    Archiver.";

/// As plain text.
pub fn plain(words: &Words) -> String {
    let mut lines = wrapped(&words.headline, WIDTH);
    lines.push(String::new());
    lines.extend(wrapped(&words.meaning, WIDTH));
    lines.push(String::new());
    for (label, text) in &words.facts {
        let head = format!("{label}:");
        for (number, line) in wrapped(text, WIDTH - INDENT).iter().enumerate() {
            let head = if number == 0 { head.as_str() } else { "" };
            lines.push(format!("{head:<INDENT$}{line}"));
        }
    }
    if !words.attempts.is_empty() {
        lines.extend([String::new(), "Attempts that you were not mailed about before:".to_owned()]);
        for (attempt, text) in &words.attempts {
            lines.extend(wrapped(&format!("{attempt}: {text}"), WIDTH - 4).iter().map(|line| format!("    {line}")));
        }
    }
    lines.extend([String::new(), "More:".to_owned(), format!("    {}", words.command), String::new()]);
    lines.extend(["-- ".to_owned()]);
    lines.extend(wrapped(FOOT, WIDTH));
    lines.push(String::new());
    lines.join("\r\n")
}

/// As HTML.
pub fn html(words: &Words) -> String {
    let label = "padding:6px 16px 6px 0;vertical-align:top;color:#57606a;white-space:nowrap";
    let cell = "padding:6px 0;vertical-align:top";
    let row = |(name, text): (&str, &str)| {
        format!("<tr><td style=\"{label}\">{}</td><td style=\"{cell}\">{}</td></tr>\r\n", escaped(name), escaped(text))
    };
    let table =
        |rows: String| format!("<table style=\"border-collapse:collapse;margin:0 0 20px\">\r\n{rows}</table>\r\n");
    let facts = table(words.facts.iter().map(|(name, text)| row((name, text))).collect());
    let attempts = match words.attempts.is_empty() {
        true => String::new(),
        false => {
            let rows = words.attempts.iter().map(|(attempt, text)| row((attempt, text))).collect();
            format!(
                "<p style=\"margin:0 0 4px\">Attempts that you were not mailed about before:</p>\r\n{}",
                table(rows)
            )
        }
    };
    let (headline, meaning) = (escaped(&words.headline), escaped(&words.meaning));
    let (command, title, foot) = (escaped(&words.command), escaped(&words.subject), escaped(FOOT));
    [
        "<!DOCTYPE html>\r\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
        "<meta name=\"viewport\" content=\"width=device-width\">",
        &format!("<title>{title}</title></head>\r\n"),
        "<body style=\"margin:0;padding:24px;background:#ffffff;color:#1f2328;\
         font:15px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\">\r\n<div style=\"max-width:720px\">\r\n",
        &format!("<h1 style=\"font-size:19px;line-height:1.35;margin:0 0 8px\">{headline}</h1>\r\n"),
        &format!("<p style=\"margin:0 0 16px\">{meaning}</p>\r\n"),
        &facts,
        &attempts,
        "<p style=\"margin:0 0 4px\">More:</p>\r\n",
        "<pre style=\"margin:0 0 20px;padding:10px 12px;background:#f6f8fa;border-radius:6px;white-space:pre-wrap;\
         font:13px/1.45 ui-monospace,Consolas,Menlo,monospace\">",
        &format!("{command}</pre>\r\n<p style=\"margin:0;color:#57606a;font-size:13px\">{foot}</p>\r\n"),
        "</div></body></html>\r\n",
    ]
    .concat()
}

/// `text` in lines of at most `width` characters, unless a word is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What would turn the text around is no word of anybody's.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{
        letter::tests::{letter_of, outage},
        words::words,
    };

    fn words_with(message: &str) -> Words {
        let mut retry = outage(true);
        retry["log"][2]["message"] = message.into();
        words(&letter_of(retry).expect("a letter"))
    }

    #[test]
    fn the_plain_text_has_every_fact_in_short_lines() {
        let words = words_with("550 no");
        let text = plain(&words);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 4), "{text}");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (label, fact) in &words.facts {
            assert!(
                flat.contains(&format!("{label}: {}", fact.split_whitespace().collect::<Vec<_>>().join(" "))),
                "{text}"
            );
        }
        assert!(flat.contains(&words.command) && flat.contains("not mailed about before"));
    }

    #[test]
    fn a_servers_words_are_no_markup() {
        let page = html(&words_with("550 <script>alert('x')</script> & \"more\""));
        assert!(page.contains("550 &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http"), "nothing is fetched from anywhere");
    }

    #[test]
    fn a_word_that_is_too_long_has_a_line_of_its_own() {
        assert_eq!(wrapped("a bbbbbb c", 4), ["a", "bbbbbb", "c"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
