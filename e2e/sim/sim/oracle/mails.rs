//! Of the mails: a duplicate only when it must be, and byte-identical; every message in its order; the chain of digests.

use std::collections::BTreeMap;

use crate::{
    history::{Event, Fate, Mail, Millis, What},
    plan::Plan,
};

/// When a mail came, and what the archive did with it.
type Arrival<'a> = (Millis, &'a Mail, Fate);

/// What did not hold.
pub fn judge(plan: &Plan, events: &[Event]) -> Vec<String> {
    let mut wrong = Vec::new();
    let arrivals: Vec<Arrival<'_>> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Arrived { mail, fate } => Some((event.at, mail, *fate)),
            _ => None,
        })
        .collect();
    let mut batches: BTreeMap<(u32, usize, i64), Vec<Arrival<'_>>> = BTreeMap::new();
    for arrival in &arrivals {
        let mail = arrival.1;
        batches.entry((mail.generation, mail.endpoint, mail.sequence)).or_default().push(*arrival);
    }
    for ((_, endpoint, sequence), times) in &batches {
        for pair in times.windows(2) {
            let ((_, first, fate), (at, second, _)) = (pair[0], pair[1]);
            if first.bytes != second.bytes {
                wrong.push(format!("{at}: batch {sequence} of endpoint {endpoint} came again with other bytes"));
            }
            if fate == Fate::Taken {
                wrong.push(format!("{at}: batch {sequence} of endpoint {endpoint} came again, although it was taken"));
            }
        }
    }
    let firsts: BTreeMap<_, &Mail> = batches.iter().map(|(key, times)| (*key, times[0].1)).collect();
    for ((generation, endpoint, sequence), mail) in &firsts {
        let before = firsts.get(&(*generation, *endpoint, sequence - 1)).map(|mail| &mail.digest);
        if before.is_some_and(|before| mail.previous.as_ref() != Some(before))
            || (*sequence == 1) != mail.previous.is_none()
        {
            wrong.push(format!("batch {sequence} of endpoint {endpoint} does not follow on the one before"));
        }
    }
    wrong.extend(order(plan, events, &firsts));
    wrong
}

/// By sequence, and inside each batch, a thread's messages come as they were acknowledged, each in one batch.
fn order(plan: &Plan, events: &[Event], batches: &BTreeMap<(u32, usize, i64), &Mail>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut place: BTreeMap<(u32, usize), usize> = BTreeMap::new();
    let mut generation = 0;
    for event in events {
        match &event.what {
            What::Started { generation: of } => generation = *of,
            What::Acknowledged { message, status } if status == "stored" => {
                let next = place.len();
                place.insert((generation, *message), next);
            }
            _ => {}
        }
    }
    let mut last: BTreeMap<(u32, usize, String), usize> = BTreeMap::new();
    for ((generation, endpoint, sequence), mail) in batches {
        let mut threads: Vec<String> = mail.messages.iter().map(|message| plan.thread(*message)).collect();
        threads.dedup();
        let [thread] = &threads[..] else {
            wrong.push(format!("batch {sequence} of endpoint {endpoint} mixes conversations: {threads:?}"));
            continue;
        };
        for message in &mail.messages {
            let Some(at) = place.get(&(*generation, *message)) else {
                wrong.push(format!("message {message} was sent to endpoint {endpoint}, and never acknowledged"));
                continue;
            };
            let key = (*generation, *endpoint, thread.clone());
            if last.insert(key, *at).is_some_and(|before| before >= *at) {
                wrong.push(format!("message {message} is out of its order in batch {sequence} of endpoint {endpoint}"));
            }
            if !plan.messages[*message].endpoints.contains(endpoint) {
                wrong.push(format!("message {message} is none of endpoint {endpoint}'s"));
            }
        }
    }
    wrong
}
