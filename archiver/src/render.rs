//! Rendering: a sealed batch becomes `transcript.json`, and that with its readable forms becomes one e-mail.
//!
//! Both steps are functions of their arguments, so the same batch gives the same bytes whenever it is rendered:
//! [`transcript`] gives the bytes that the digest stands for, [`mail`] the mail around them. What people typed may hold
//! anything, so three rules keep it in its place: into a header only through [`clean::header`] or [`clean::token`], into
//! a readable body only through [`clean::line`] or [`clean::text`], and into markup only escaped as well. The facts
//! themselves are never cleaned: `transcript.json` and the files carry them byte for byte, in base64.

mod clean;
mod facts;
mod files;
mod headers;
mod html;
mod mime;
mod roster;
mod text;
mod transcript;
mod view;
mod wrap;

use std::collections::BTreeMap;

use imarchive_crds::{Address, FromHeader};

pub use clean::line;
pub use transcript::{Transcript, transcript};

use crate::{batch::Sealed, message::Message};

/// What a mail needs to know beside its batch.
pub struct Form<'a> {
    /// The service's own mailbox: the envelope sender.
    pub from: &'a Address,
    /// Who stands in the From header.
    pub from_header: FromHeader,
    /// The value of X-GlobalRelay-MsgType.
    pub message_type: Option<&'a str>,
    /// Whether someone is a user of this endpoint, whom the To header names first.
    pub belongs: &'a dyn Fn(&Address) -> bool,
    /// The batch that this one was split or rerouted from.
    pub replaces: Option<Replaces<'a>>,
    /// What messages refer to that went out in earlier batches, by id.
    pub earlier: &'a BTreeMap<String, Earlier>,
}

/// A batch that another one stands in for.
#[derive(Clone, Copy, Debug)]
pub struct Replaces<'a> {
    /// Its sequence, which stays as a gap.
    pub sequence: i64,
    /// Its digest.
    pub digest: &'a str,
}

/// A message that was sealed before the batch which refers to it.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The name of its batch.
    pub batch: String,
    /// The digest of its batch.
    pub digest: String,
    /// Itself, while it is retained.
    pub message: Option<Message>,
}

/// The mail that carries `sealed`: 7-bit ASCII, CRLF, no line over 998 bytes, the same bytes every time.
///
/// `transcript` is that of `sealed`; a caller who finds the two digests to differ has a damaged batch, not a mail.
pub fn mail(sealed: &Sealed, transcript: &Transcript, form: &Form<'_>) -> Vec<u8> {
    let roster = roster::roster(&sealed.messages);
    let files = files::files(&sealed.messages);
    let to = headers::to(&roster, form);
    let view = view::view(sealed, &roster, &files, to.left_out, form);
    let body = mime::body(transcript, text::text(&view), html::html(&view), &files);
    mime::serialize(headers::headers(sealed, transcript, &roster, to, form), body)
}
