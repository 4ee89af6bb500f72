//! The SMTP client: a session with an archive, from its host name to the reply after the final dot.
//!
//! A [`Client`] opens a [`Session`] stage by stage, writing what happens into a [`Journal`]; the session sends mails. All
//! that is said passes one `Wire`, which bounds what it reads and how long it waits.
//!
//! ```text
//! Client::open    Dial -> Wire<plain> -> Trust::handshake -> Wire<verified> -> Session
//! Session::send   MAIL, RCPT.., DATA, mail, dot; or BDAT with the mail
//! ```
//!
//! Credentials and mail can only be given to a `Verified` wire, and only [`Trust`] makes the stream that such a wire runs
//! over: an archive whose certificate is not trusted receives neither. Connections are made by the [`Dial`] that the
//! client is given, and time is tokio's, so that all of this runs under virtual time too.

mod auth;
mod certificate;
mod content;
mod credentials;
mod dial;
mod extensions;
mod failure;
mod journal;
mod open;
mod reply;
mod send;
mod stuffing;
mod timeouts;
mod trust;
mod wire;
mod words;

pub use credentials::{Credentials, InvalidCredentials};
pub use dial::{BoxStream, Dial, Stream, Tcp};
pub use failure::{Failure, SendFailure};
pub use journal::Journal;
pub use open::Client;
pub use reply::{Enhanced, Reply};
pub use send::{Envelope, Session};
pub use timeouts::Timeouts;
pub use trust::{InvalidRoots, Trust};

/// The connection to a server whose certificate was verified.
type Verified = wire::Wire<tokio_rustls::client::TlsStream<BoxStream>>;
