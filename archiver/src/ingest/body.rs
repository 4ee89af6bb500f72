//! The bytes of a request, bounded before and after decompression.

use std::io::Read;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, header},
};
use flate2::read::MultiGzDecoder;

use super::{Kind, Problem};

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

/// Reads at most `limit` bytes, compressed and decompressed. A compression bomb costs no more than the limit.
pub async fn read(form: Form, body: Body, limit: u64) -> Result<Vec<u8>, Problem> {
    let too_large =
        || Problem::new(Kind::TooLarge, format!("a request has at most {limit} bytes, after decompression"));
    let bytes = to_bytes(body, usize::try_from(limit).unwrap_or(usize::MAX)).await.map_err(|_| too_large())?;
    if !form.gzip {
        return Ok(bytes.into());
    }
    let unpack = move || {
        let mut whole = Vec::new();
        let read = MultiGzDecoder::new(&bytes[..]).take(limit + 1).read_to_end(&mut whole);
        read.map(|_| whole)
    };
    let broken = |error: String| Problem::new(Kind::MalformedJson, format!("the body is not gzip: {error}"));
    let unpacked = tokio::task::spawn_blocking(unpack).await.map_err(|panic| broken(panic.to_string()))?;
    let whole = unpacked.map_err(|error| broken(error.to_string()))?;
    if whole.len() as u64 > limit { Err(too_large()) } else { Ok(whole) }
}
