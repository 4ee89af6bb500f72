//! The bytes of a request, bounded before and after decompression.

use std::io::Read;

use axum::{
    body::{Body, BodyDataStream, Bytes},
    http::{HeaderMap, header},
};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use tokio::time::{Duration, timeout};

use super::{Kind, Problem, load::Share};

/// The longest that a caller may be silent in the middle of a body.
const PAUSE: Duration = Duration::from_secs(30);
/// How much is decompressed between two looks at the limits.
const STEP: u64 = 256 << 10;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// One message a line, instead of one JSON value.
    pub lines: bool,
    gzip: bool,
}

impl Form {
    /// As the headers say.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_ascii_lowercase()
        };
        let media_type = text(header::CONTENT_TYPE);
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let unsupported = |detail: String| Problem::new(Kind::UnsupportedMediaType, detail);
        let lines = match media_type {
            "application/json" => false,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => true,
            other => {
                let wanted = "send application/json or application/x-ndjson";
                return Err(unsupported(format!("the content type {other:?} is not known: {wanted}")));
            }
        };
        let gzip = match text(header::CONTENT_ENCODING).as_str() {
            "" | "identity" => false,
            "gzip" | "x-gzip" => true,
            other => {
                return Err(unsupported(format!("the content encoding {other:?} is not known: send gzip or none")));
            }
        };
        Ok(Self { lines, gzip })
    }
}

/// Reads at most `limit` bytes, compressed and decompressed, and counts what it holds into `share`, which is given back.
/// A compression bomb costs no more than the limit; a caller who stops in the middle costs it for [`PAUSE`].
pub async fn read(
    form: Form,
    headers: &HeaderMap,
    body: Body,
    limit: u64,
    share: Share,
) -> Result<(Vec<u8>, Share), Problem> {
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut pieces = body.into_data_stream();
    let collected = match stated {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => collect(&mut pieces, stated.unwrap_or_default() as usize, limit, share).await,
    };
    if let Err(Problem { kind: Kind::TooLarge | Kind::Overloaded, .. }) = &collected {
        discard(&mut pieces, limit).await;
    }
    let (bytes, share) = collected?;
    if !form.gzip {
        return Ok((bytes, share));
    }
    let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, limit, share)).await;
    unpacked.map_err(|panic| not_gzip(&panic))?
}

async fn collect(
    pieces: &mut BodyDataStream,
    expected: usize,
    limit: u64,
    mut share: Share,
) -> Result<(Vec<u8>, Share), Problem> {
    let mut bytes = Vec::with_capacity(expected);
    while let Some(piece) = next(pieces).await? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        share.grow(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, share))
}

/// Reads on and keeps nothing: most callers read the answer only when all is sent, and would never see it.
pub(super) async fn discard(pieces: &mut BodyDataStream, most: u64) {
    let mut read = 0;
    while let Ok(Some(piece)) = next(pieces).await
        && read < most
    {
        read += piece.len() as u64;
    }
}

async fn next(pieces: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    let slow = |_| Problem::new(Kind::TooSlow, format!("no more came for {} s", PAUSE.as_secs()));
    let broken = |error| Problem::new(Kind::MalformedJson, format!("the body broke off: {error}"));
    timeout(PAUSE, pieces.next()).await.map_err(slow)?.transpose().map_err(broken)
}

fn unpack(packed: &[u8], limit: u64, mut share: Share) -> Result<(Vec<u8>, Share), Problem> {
    let mut whole = Vec::new();
    let mut rest = MultiGzDecoder::new(packed);
    loop {
        let read = rest.by_ref().take(STEP).read_to_end(&mut whole).map_err(|error| not_gzip(&error))?;
        if whole.len() as u64 > limit {
            return Err(too_large(limit));
        }
        if read == 0 {
            return Ok((whole, share));
        }
        share.grow(read)?;
    }
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("a request has at most {limit} bytes, after decompression"))
}

fn not_gzip(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(Kind::MalformedJson, format!("the body is not gzip: {error}"))
}
