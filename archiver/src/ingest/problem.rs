//! What is wrong with a request, as problem+json (RFC 9457).

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// The types of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not JSON, or JSON that two programs could read differently.
    MalformedJson,
    /// JSON that is no message.
    InvalidMessage,
    /// Over `ingest.maxRequestBytes`, compressed or not, or too many messages.
    TooLarge,
    /// A body that did not go on.
    TooSlow,
    /// A content type or encoding that is not known.
    UnsupportedMediaType,
    /// Another message with this source and id was acknowledged before.
    IdConflict,
    /// No token.
    TokenMissing,
    /// A token that is not this archiver's.
    TokenInvalid,
    /// A token whose time is over.
    TokenExpired,
    /// A source that is not the caller's.
    SourceForbidden,
    /// The messages cannot be made durable now.
    NotDurable,
    /// Too much is handed in at once.
    Overloaded,
    /// It is not known yet who is archived, or who may call.
    NotReady,
    /// A message that was never acknowledged.
    UnknownMessage,
}

impl Kind {
    /// The last part of the type's URN.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed-json",
            Self::InvalidMessage => "invalid-message",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::IdConflict => "id-conflict",
            Self::TokenMissing => "token-missing",
            Self::TokenInvalid => "token-invalid",
            Self::TokenExpired => "token-expired",
            Self::SourceForbidden => "source-forbidden",
            Self::NotDurable => "not-durable",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not-ready",
            Self::UnknownMessage => "unknown-message",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::MalformedJson => "The request is not JSON that can be kept",
            Self::InvalidMessage => "A message of the request is not valid",
            Self::TooLarge => "The request is too large",
            Self::TooSlow => "The request did not come to its end",
            Self::UnsupportedMediaType => "The request's content type or encoding is not supported",
            Self::IdConflict => "The id of another message is repeated",
            Self::TokenMissing => "A bearer token is needed",
            Self::TokenInvalid => "The token is not valid here",
            Self::TokenExpired => "The token has expired",
            Self::SourceForbidden => "The source is not the caller's",
            Self::NotDurable => "The messages cannot be made durable now",
            Self::Overloaded => "Too much is handed in at once",
            Self::NotReady => "The archiver is not ready yet",
            Self::UnknownMessage => "The message is unknown",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson | Self::InvalidMessage => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IdConflict => StatusCode::CONFLICT,
            Self::TokenMissing | Self::TokenInvalid | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::SourceForbidden => StatusCode::FORBIDDEN,
            Self::NotDurable | Self::Overloaded | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::UnknownMessage => StatusCode::NOT_FOUND,
        }
    }
}

/// A problem with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub kind: Kind,
    /// This one, in a sentence.
    pub detail: String,
    /// What is wrong where.
    pub errors: Vec<FieldError>,
}

/// What is wrong at one place of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Which message, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Which line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Which field of the message, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

/// The most errors that one answer lists.
const LISTED: usize = 100;

impl Problem {
    /// A problem without places.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new() }
    }

    /// The same with what is wrong where.
    pub fn with_errors(self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        Self { errors: errors.into_iter().take(LISTED).collect(), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Document {
            #[serde(rename = "type")]
            kind: String,
            title: &'static str,
            status: u16,
            detail: String,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            errors: Vec<FieldError>,
        }
        let status = self.kind.status();
        let document = Document {
            kind: format!("urn:imarchive:problem:{}", self.kind.name()),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
