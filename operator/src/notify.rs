//! The administrators' mails: one at each failed attempt to deliver, and one at the end of an outage.
//!
//! What was told is in the endpoint's status, as `notifiedAt` beside each attempt and beside the outage that is over; what
//! lacks it is news. A reconcile says what is news, as a [`Letter`], and goes on; the [`Notifier`] sends it, and asks for
//! the reconcile that writes `notifiedAt`. So a mail goes out at least once: an operator that ends between the two leaves
//! news to the next, which sends the same mail again, with the same Message-ID. While the relay is away, news gathers, and
//! one letter tells of all of it. No attempt to deliver waits for any of this.

mod letter;
mod mail;
mod notifier;
mod page;
mod relay;
mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use letter::{Letter, Matter, due};
pub use mail::message;
pub use notifier::{Notices, Notifier, Sent};
pub use relay::{Failure, Relay, RelayTls};

/// Something that the administrators are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum News {
    /// An attempt failed.
    Attempt {
        /// The number of the outage.
        outage: i64,
        /// The number of the attempt in it.
        attempt: i64,
    },
    /// An outage is over.
    End {
        /// Its number.
        outage: i64,
    },
}

/// What the administrators were told, and when.
pub type Told = BTreeMap<News, Timestamp>;
