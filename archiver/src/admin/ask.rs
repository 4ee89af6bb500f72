//! The person's side of the socket: says the request, and shows the answer as it comes.

use std::io::{self, BufRead, BufReader, Read, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;

use super::{
    command::{Output, Said},
    print::Printer,
    protocol::{Line, Request},
};
use crate::render::line;

/// The longest line of an answer: that of a batch with its messages.
const LONGEST: u64 = 16 << 20;

/// How it ended, as the process says it by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was asked for.
    Done = 0,
    /// Some of it was refused.
    Refused = 1,
    /// It could not be asked, or not be done to its end.
    Failed = 2,
}

/// Asks over `stream`; what it comes to goes to `shown`, and what went wrong to `wrong`.
pub fn ask(
    said: &Said,
    stream: impl Read + Write,
    now: Timestamp,
    shown: &mut impl Write,
    wrong: &mut impl Write,
) -> io::Result<End> {
    let mut stream = BufReader::new(stream);
    let mut request = serde_json::to_vec(&said.request)?;
    request.push(b'\n');
    stream.get_mut().write_all(&request)?;
    let mut printer = Printer::new(said.request.act(), now);
    let mut text = String::new();
    loop {
        text.clear();
        stream.by_ref().take(LONGEST).read_line(&mut text)?;
        if text.is_empty() {
            writeln!(wrong, "archiver: the archiver ended before it was done; what it did stays done: ask again")?;
            return Ok(End::Failed);
        }
        match serde_json::from_str(&text)? {
            Line::Failed(error) => {
                printer.end(shown)?;
                shown.flush()?;
                writeln!(wrong, "archiver: {error}; what was done before stays done: ask again")?;
                return Ok(End::Failed);
            }
            Line::Refused { what, why } => {
                printer.end(shown)?;
                shown.flush()?;
                writeln!(wrong, "{}: {}", line(&what, 400), line(&why, 2_000))?;
            }
            Line::Mail(piece) => shown.write_all(&BASE64_STANDARD.decode(piece).map_err(io::Error::other)?)?,
            Line::End(outcome) => {
                match (said.output, &said.request) {
                    (Output::Text, _) => printer.outcome(&outcome, shown)?,
                    (Output::Json, Request::Replay { .. }) => writeln!(shown, "{}", serde_json::to_string(&outcome)?)?,
                    (Output::Json, _) => {}
                }
                shown.flush()?;
                return Ok(if outcome.refused == 0 { End::Done } else { End::Refused });
            }
            other => match said.output {
                Output::Text => printer.line(other, shown)?,
                // Of a replay it is the counts alone.
                Output::Json if matches!(said.request, Request::Replay { .. }) => {}
                Output::Json => json(&other, shown)?,
            },
        }
    }
}

/// What is in the line, without its name.
fn json(line: &Line, shown: &mut impl Write) -> io::Result<()> {
    let text = match line {
        Line::Batch(batch) => serde_json::to_string(batch)?,
        Line::Open(open) => serde_json::to_string(open)?,
        Line::Details(details) => serde_json::to_string(details)?,
        // What is done is counted in the last line.
        _ => return Ok(()),
    };
    writeln!(shown, "{text}")
}
