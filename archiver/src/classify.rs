//! Whose fault a failed delivery is, which decides what is done about it.

use imarchive_crds::{Reason, Stage};

use crate::smtp::{Failure, Reply, SendFailure};

/// What a failed delivery means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The connection had grown old: once more on a fresh one, uncounted.
    Stale,
    /// The archive is pressed too hard: fewer connections, and soon again.
    Throttle,
    /// The mail is too big for the archive: split it, or hold it.
    TooBig,
    /// The archive refuses this mail: try another one, which tells whether it refuses all.
    Batch {
        /// 5xx: it will refuse this one always.
        permanent: bool,
    },
    /// The archive, or the way to it, is out of order: the ladder.
    Endpoint,
    /// The archive may have the mail: send the same bytes again, counted.
    Ambiguous,
}

/// What is known beside the failure itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// A mail was sent in this session before.
    pub reused: bool,
    /// Another session with this archive is taking mails.
    pub another_connection_works: bool,
    /// In this session the archive took a mail that is smaller than this one.
    pub smaller_mail_taken: bool,
}

/// Judges a failure. What keeps a session from opening is a [`SendFailure::Before`].
pub fn classify(failure: &SendFailure, context: Context) -> Verdict {
    match failure {
        // All was in one flight, and the server did not even answer its beginning: it was gone before. Should it have the
        // mail all the same, it gets the same bytes again.
        SendFailure::Ambiguous(lost) if context.reused && is_unheard(lost) => Verdict::Stale,
        SendFailure::Ambiguous(_) => Verdict::Ambiguous,
        SendFailure::Refused(refused) => match &refused.reply {
            // The mail is not one, which no archive has to tell us.
            None => Verdict::Batch { permanent: true },
            Some(reply) if is_too_big(reply, context) => Verdict::TooBig,
            Some(reply) if reply.is_goodbye() => throttle_or_endpoint(context),
            Some(reply) => Verdict::Batch { permanent: reply.is_permanent() },
        },
        SendFailure::Before(failure) => match &failure.reply {
            Some(reply) if matches!(failure.stage, Stage::Sender | Stage::Data) && is_too_big(reply, context) => {
                Verdict::TooBig
            }
            _ if context.reused => Verdict::Stale,
            // Mailbox busy, or a mail from a stranger put off: it is this archive's way to slow us down.
            Some(reply) if failure.stage == Stage::Recipient && matches!(reply.code(), 450 | 451) => Verdict::Throttle,
            Some(reply) if reply.is_transient() => throttle_or_endpoint(context),
            _ => Verdict::Endpoint,
        },
    }
}

/// The connection was gone, and with it the answer to MAIL.
fn is_unheard(lost: &Failure) -> bool {
    lost.stage == Stage::Sender && lost.reason == Reason::ConnectionLost && lost.reply.is_none()
}

/// A plain 552 means "too big" to some servers and "mailbox full" to others: a smaller mail that was taken tells.
fn is_too_big(reply: &Reply, context: Context) -> bool {
    reply.is_too_big() || (reply.code() == 552 && reply.enhanced().is_none() && context.smaller_mail_taken)
}

/// An archive that takes other mails at this moment is not out of order.
fn throttle_or_endpoint(context: Context) -> Verdict {
    if context.another_connection_works { Verdict::Throttle } else { Verdict::Endpoint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Enhanced;

    const FRESH: Context = Context { reused: false, another_connection_works: false, smaller_mail_taken: false };
    const REUSED: Context = Context { reused: true, ..FRESH };
    const CROWDED: Context = Context { another_connection_works: true, ..FRESH };
    const SMALLER_TAKEN: Context = Context { smaller_mail_taken: true, ..FRESH };

    fn lost(stage: Stage) -> Failure {
        Failure::new(stage, Reason::ConnectionLost, "the server closed the connection")
    }

    /// `552 5.3.4` or `552`.
    fn said(stage: Stage, codes: &str) -> Failure {
        let (code, enhanced) = codes.split_once(' ').unwrap_or((codes, ""));
        let digits: Vec<u16> = enhanced.split('.').filter_map(|digit| digit.parse().ok()).collect();
        let enhanced = match digits[..] {
            [class, subject, detail] => Some(Enhanced { class, subject, detail }),
            _ => None,
        };
        Failure::refused(stage, Reason::MessageRejected, Reply::new(code.parse().expect("a code"), enhanced, "no"))
    }

    fn before(stage: Stage, codes: &str) -> SendFailure {
        SendFailure::Before(said(stage, codes))
    }

    fn at_the_dot(codes: &str) -> SendFailure {
        SendFailure::Refused(said(Stage::Data, codes))
    }

    #[test]
    fn every_failure_has_its_verdict() {
        use Stage::{Auth, Connect, Data, Ehlo, Greeting, Recipient, Sender};
        use Verdict::{Ambiguous, Batch, Endpoint, Stale, Throttle, TooBig};
        let kept_for_later = Batch { permanent: false };
        let held = Batch { permanent: true };
        let dropped = |stage| SendFailure::Before(lost(stage));
        let no_answer = SendFailure::Ambiguous(lost(Data));
        let unheard = SendFailure::Ambiguous(lost(Sender));
        let no_mail = SendFailure::Refused(Failure::new(Data, Reason::MessageRejected, "a stray LF"));
        for (what, failure, context, verdict) in [
            ("a reused connection that is gone is stale", dropped(Sender), REUSED, Stale),
            ("a reused connection that ends inside the mail is stale", dropped(Data), REUSED, Stale),
            ("a reused connection that said goodbye is stale", before(Sender, "421 4.4.2"), REUSED, Stale),
            ("a reused connection that refuses is stale", before(Sender, "503"), REUSED, Stale),
            ("a fresh connection that is gone is the endpoint's fault", dropped(Sender), FRESH, Endpoint),
            ("no connection is the endpoint's fault", dropped(Connect), FRESH, Endpoint),
            ("no connection is the endpoint's fault among others too", dropped(Connect), CROWDED, Endpoint),
            ("421 among connections that work is throttling", before(Greeting, "421 4.7.0"), CROWDED, Throttle),
            ("421 to the only connection is the endpoint's fault", before(Greeting, "421 4.7.0"), FRESH, Endpoint),
            ("4xx among connections that work is throttling", before(Ehlo, "450"), CROWDED, Throttle),
            ("4xx to DATA among connections that work is throttling", before(Data, "452 4.3.1"), CROWDED, Throttle),
            ("4xx to the only connection is the endpoint's fault", before(Sender, "452 4.3.1"), FRESH, Endpoint),
            ("450 at RCPT is throttling", before(Recipient, "450 4.2.1"), FRESH, Throttle),
            ("451 at RCPT is throttling", before(Recipient, "451 4.7.1"), FRESH, Throttle),
            ("452 at RCPT is the endpoint's fault", before(Recipient, "452 4.2.2"), FRESH, Endpoint),
            ("5xx at RCPT is the endpoint's fault", before(Recipient, "550 5.1.1"), CROWDED, Endpoint),
            ("a wrong password is the endpoint's fault", before(Auth, "535 5.7.8"), CROWDED, Endpoint),
            ("5.3.4 at MAIL is too big", before(Sender, "552 5.3.4"), FRESH, TooBig),
            ("5.3.4 at MAIL is too big on a reused connection", before(Sender, "552 5.3.4"), REUSED, TooBig),
            ("5.2.3 at DATA is too big", before(Data, "554 5.2.3"), FRESH, TooBig),
            ("5.3.4 at the dot is too big", at_the_dot("552 5.3.4"), FRESH, TooBig),
            ("a full mailbox is not too big", at_the_dot("552 5.2.2"), SMALLER_TAKEN, held),
            ("a full mailbox at RCPT is not too big", before(Recipient, "552"), SMALLER_TAKEN, Endpoint),
            ("552 is too big when a smaller one was taken", at_the_dot("552"), SMALLER_TAKEN, TooBig),
            ("552 at MAIL is too big when a smaller one was taken", before(Sender, "552"), SMALLER_TAKEN, TooBig),
            ("552 alone is a refusal like others", at_the_dot("552"), FRESH, held),
            ("552 at MAIL alone is the endpoint's fault", before(Sender, "552"), FRESH, Endpoint),
            ("5xx at the dot is about the mail", at_the_dot("554 5.7.1"), FRESH, held),
            ("5xx at the dot of a reused connection is about the mail", at_the_dot("554 5.7.1"), REUSED, held),
            ("4xx at the dot is about the mail", at_the_dot("451 4.3.0"), FRESH, kept_for_later),
            ("4xx at the dot is about the mail among others too", at_the_dot("451 4.3.0"), CROWDED, kept_for_later),
            ("421 at the dot among connections that work is throttling", at_the_dot("421 4.3.2"), CROWDED, Throttle),
            ("421 at the dot of the only connection is the endpoint's fault", at_the_dot("421 4.3.2"), FRESH, Endpoint),
            ("a mail that is none is held", no_mail, FRESH, held),
            ("no answer after the dot is ambiguous", no_answer.clone(), FRESH, Ambiguous),
            ("no answer after the dot is never stale", no_answer, REUSED, Ambiguous),
            ("a reused connection that was gone before all of it is stale", unheard.clone(), REUSED, Stale),
            ("a fresh connection that is lost with all of it is ambiguous", unheard, FRESH, Ambiguous),
        ] {
            assert_eq!(classify(&failure, context), verdict, "{what}");
        }
    }
}
