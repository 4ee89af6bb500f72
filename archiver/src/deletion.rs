//! What becomes of the mail of an endpoint that is deleted: it is held, and released when the name is accepted again.
//!
//! An endpoint was deleted when all resources are known and it is not among them ([`Resources::lacks`]). A file that
//! cannot be read, a list that is not complete, a folder without an Archiver prove nothing: until they do, its mail waits.
//! Then everything for it that is not delivered is held for the reason `EndpointDeleted`: sealed batches, and the
//! messages in open windows, whose copies are marked one by one. These windows stay open. They cannot be sealed, since
//! nobody knows who their mail would be from, and need not be: when the endpoint is back they end when they would have,
//! and their batches carry on the endpoint's sequence and chain of digests.
//!
//! Back means accepted. An endpoint of the name that is not tested yet takes new messages, which wait for it as for every
//! new endpoint, and leaves alone what is held. Once it is accepted, what was held waits again, and only that: what is
//! held for another reason needs a person as before. A batch keeps its bytes and its Message-ID, with the UID of the
//! endpoint that it was sealed for. When a new endpoint has taken the name before anybody saw it gone, nothing is held:
//! the mail waits until the new one is accepted. In both cases an outage of the old endpoint is over.
//!
//! Each step commits its rows together with the books, and what has to be done is found from the rows and the resources
//! alone, so that a crash between any two steps costs nothing: the next start goes on. The task that seals does this, too,
//! before it seals anything by the same resources: no batch can be sealed out of copies that are held. A mail that is being
//! sent meanwhile is sent to its end, and its outcome counts.

use tracing::{info, warn};

use crate::{
    directory::Resources,
    spool::{
        Spool, WriteError,
        deleted::{Step, Turn, names, step},
    },
};

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages whose copies are held now.
    pub held: usize,
    /// Messages whose copies wait again.
    pub released: usize,
}

/// Holds the mail of every endpoint that was deleted, and releases that of those that are accepted again.
pub async fn settle(spool: &Spool, resources: &Resources) -> Result<Moved, WriteError> {
    let names = spool.read(names).await?;
    let mut moved = Moved::default();
    for endpoint in names.waiting.iter().filter(|name| resources.lacks(name)) {
        let messages = turn(spool, endpoint, Turn::Hold).await?;
        if messages > 0 {
            warn!(endpoint, messages, "the endpoint was deleted; its mail is held until one of its name is accepted");
        }
        moved.held += messages;
    }
    let accepted = |name: &&String| resources.endpoints.get(*name).is_some_and(|endpoint| endpoint.accepted.is_some());
    for endpoint in names.held.iter().filter(accepted) {
        let messages = turn(spool, endpoint, Turn::Release).await?;
        info!(endpoint, messages, "an endpoint of this name is accepted again; its mail waits for it");
        moved.released += messages;
    }
    Ok(moved)
}

/// Step by step, so that no other job waits long.
async fn turn(spool: &Spool, endpoint: &str, turn: Turn) -> Result<usize, WriteError> {
    let mut messages = 0;
    let mut next = Some(0);
    while let Some(after) = next {
        let name = endpoint.to_owned();
        let step: Step = spool.write_waiting(move |connection| step(connection, &name, turn, after)).await?;
        messages += step.messages;
        next = step.next;
    }
    Ok(messages)
}
