//! Shows the credentials to a server (RFC 4954).

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use imarchive_crds::{Reason, Stage};
use zeroize::Zeroizing;

use super::{Credentials, Failure, Reply, Verified, extensions::Extensions, failure::At};

/// The longest command line, without its CRLF (RFC 5321 4.5.3.1.4). A longer initial response is sent on its own line.
const COMMAND_LIMIT: usize = 510;

/// Authenticates by PLAIN, or else by LOGIN. One try: a second one with the same password could lock the account.
///
/// That the wire is [`Verified`] is what keeps credentials from a server that is not trusted.
pub(super) async fn authenticate(
    wire: &mut Verified,
    offered: &Extensions,
    credentials: &Credentials,
    patience: Duration,
) -> Result<Reply, Failure> {
    let user = encode(credentials.username());
    let password = encode(credentials.password());
    let both = Zeroizing::new(format!("\0{}\0{}", credentials.username(), credentials.password()));
    let both = encode(&both);

    let mut dialogue = Dialogue { wire, patience };
    let outcome = if offered.auth_plain {
        dialogue.plain(&both).await
    } else if offered.auth_login {
        dialogue.login(&user, &password).await
    } else {
        let detail = "the server offers neither AUTH PLAIN nor AUTH LOGIN";
        Err(Failure::new(Stage::Auth, Reason::AuthNotOffered, detail))
    };

    // The words go into a status. The longest secret first: it may contain the others.
    let redact = |reply: &mut Reply| {
        for secret in [&both, &password, &user, credentials.password(), credentials.username()] {
            reply.redact(secret);
        }
    };
    match outcome {
        Ok(mut reply) => {
            redact(&mut reply);
            Ok(reply)
        }
        Err(mut failure) => {
            failure.reply.as_mut().map(redact);
            Err(failure)
        }
    }
}

struct Dialogue<'w> {
    wire: &'w mut Verified,
    patience: Duration,
}

impl Dialogue<'_> {
    async fn plain(&mut self, response: &str) -> Result<Reply, Failure> {
        let at_once = Zeroizing::new(format!("AUTH PLAIN {response}"));
        if at_once.len() <= COMMAND_LIMIT {
            return self.say(&at_once, Reply::is_done).await;
        }
        self.say("AUTH PLAIN", Reply::is_go_on).await?;
        self.say(response, Reply::is_done).await
    }

    async fn login(&mut self, user: &str, password: &str) -> Result<Reply, Failure> {
        self.say("AUTH LOGIN", Reply::is_go_on).await?;
        self.say(user, Reply::is_go_on).await?;
        self.say(password, Reply::is_done).await
    }

    async fn say(&mut self, line: &str, wanted: fn(&Reply) -> bool) -> Result<Reply, Failure> {
        self.wire.command(line, self.patience).await.at(Stage::Auth, Reason::AuthRejected, wanted)
    }
}

fn encode(text: &str) -> Zeroizing<String> {
    Zeroizing::new(BASE64_STANDARD.encode(text))
}
