//! What can happen to the objects of a namespace.

use imarchive_crds::Reason;
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Why a pod's container waits, in Kubernetes' words, and in others.
const WORDS: [&str; 5] =
    ["ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CrashLoopBackOff", "odd word"];
/// How many endpoints, and how many assignments, there are at most.
pub const MANY: usize = 3;

/// One thing that happens, and which reconciles follow.
#[derive(Clone, Debug)]
pub struct Step {
    pub event: Event,
    /// Who is reconciled, in this order; and whether the write meets a conflict, and is lost.
    pub reconciles: Vec<(Who, bool)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Who {
    Archiver,
    Endpoint(usize),
    Assignment(usize),
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The clock may also go back.
    SecondsPass(i64),
    /// Another operator goes on, which remembers nothing.
    Restart,
    /// From now on Jobs are refused, or not.
    Quota(bool),
    Archiver(ArchiverEvent),
    Endpoint(usize, EndpointEvent),
    Assignment(usize, AssignmentEvent),
}

#[derive(Clone, Debug)]
pub enum ArchiverEvent {
    Comes,
    Goes,
    Edited,
    Paused(bool),
    /// Somebody is to be mailed, or nobody.
    Administered(bool),
    Readable(bool),
    Pod(PodState),
    /// The API server refuses something that it owns, or not.
    Refused(bool),
    /// A new image is installed.
    Upgrade,
    /// As many archivers as may be replaced are being replaced, or not.
    SlotFree(bool),
}

#[derive(Clone, Copy, Debug)]
pub enum PodState {
    Missing,
    Starting,
    Ready,
    /// Ready, and of the revision before.
    Outdated,
    Terminating,
    Unschedulable,
    Waiting(&'static str),
    Exited(i32),
}

#[derive(Clone, Debug)]
pub enum EndpointEvent {
    Comes,
    Goes,
    /// Another block; the last one is none that can be used.
    Block(u8),
    /// Something outside of the block.
    Edited,
    Default(Option<bool>),
    Suspended(bool),
    Annotated(u8),
    Probe(ProbeEnd),
    Row(Row),
    /// The letter that is due is taken by the relay, or not.
    Mailed(bool),
    Readable(bool),
}

#[derive(Clone, Copy, Debug)]
pub enum ProbeEnd {
    Passes,
    Fails(Reason, Option<i32>),
    Breaks,
}

#[derive(Clone, Copy, Debug)]
pub enum Row {
    Idle,
    Outage { outage: i64, attempt: i64, why: Option<Reason> },
    CredentialsChanged,
}

#[derive(Clone, Debug)]
pub enum AssignmentEvent {
    Comes,
    Goes,
    /// Names an endpoint, and these users.
    Names(usize, Vec<u8>),
    Readable(bool),
}

/// Some history.
pub fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (event(), vec((who(), prop::bool::weighted(0.2)), 0..8));
    vec(step.prop_map(|(event, reconciles)| Step { event, reconciles }), 1..60)
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        Just(Who::Archiver),
        (0..MANY).prop_map(Who::Endpoint),
        (0..MANY).prop_map(Who::Endpoint),
        (0..MANY).prop_map(Who::Assignment),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0i64..20_000).prop_map(Event::SecondsPass),
        1 => (-20_000i64..100).prop_map(Event::SecondsPass),
        1 => Just(Event::Restart),
        1 => prop::bool::weighted(0.3).prop_map(Event::Quota),
        6 => archiver().prop_map(Event::Archiver),
        12 => ((0..MANY), endpoint()).prop_map(|(number, event)| Event::Endpoint(number, event)),
        4 => ((0..MANY), assignment()).prop_map(|(number, event)| Event::Assignment(number, event)),
    ]
}

fn archiver() -> impl Strategy<Value = ArchiverEvent> {
    let pod = prop_oneof![
        1 => Just(PodState::Missing),
        1 => Just(PodState::Starting),
        4 => Just(PodState::Ready),
        1 => Just(PodState::Outdated),
        1 => Just(PodState::Terminating),
        1 => Just(PodState::Unschedulable),
        1 => select(&WORDS).prop_map(PodState::Waiting),
        1 => (0..6).prop_map(PodState::Exited),
    ];
    prop_oneof![
        2 => Just(ArchiverEvent::Comes),
        1 => Just(ArchiverEvent::Goes),
        1 => Just(ArchiverEvent::Edited),
        1 => any::<bool>().prop_map(ArchiverEvent::Paused),
        1 => any::<bool>().prop_map(ArchiverEvent::Administered),
        1 => prop::bool::weighted(0.7).prop_map(ArchiverEvent::Readable),
        4 => pod.prop_map(ArchiverEvent::Pod),
        1 => any::<bool>().prop_map(ArchiverEvent::Refused),
        2 => Just(ArchiverEvent::Upgrade),
        1 => any::<bool>().prop_map(ArchiverEvent::SlotFree),
    ]
}

fn endpoint() -> impl Strategy<Value = EndpointEvent> {
    prop_oneof![
        2 => Just(EndpointEvent::Comes),
        1 => Just(EndpointEvent::Goes),
        2 => (0u8..4).prop_map(EndpointEvent::Block),
        1 => Just(EndpointEvent::Edited),
        4 => option::of(prop::bool::weighted(0.8)).prop_map(EndpointEvent::Default),
        1 => any::<bool>().prop_map(EndpointEvent::Suspended),
        1 => (0u8..3).prop_map(EndpointEvent::Annotated),
        8 => probe().prop_map(EndpointEvent::Probe),
        4 => row().prop_map(EndpointEvent::Row),
        2 => any::<bool>().prop_map(EndpointEvent::Mailed),
        1 => prop::bool::weighted(0.7).prop_map(EndpointEvent::Readable),
    ]
}

fn reason() -> impl Strategy<Value = Reason> {
    select(&[
        Reason::DnsFailed,
        Reason::AuthRejected,
        Reason::CertificateExpired,
        Reason::RecipientRejected,
        Reason::SecretMissing,
    ])
}

fn probe() -> impl Strategy<Value = ProbeEnd> {
    let code = option::of(select(&[421, 550]));
    prop_oneof![
        3 => Just(ProbeEnd::Passes),
        2 => (reason(), code).prop_map(|(reason, code)| ProbeEnd::Fails(reason, code)),
        1 => Just(ProbeEnd::Breaks),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let outage = (1i64..3, 0i64..4, option::of(reason()));
    prop_oneof![
        Just(Row::Idle),
        Just(Row::CredentialsChanged),
        outage.prop_map(|(outage, attempt, why)| Row::Outage { outage, attempt, why }),
    ]
}

fn assignment() -> impl Strategy<Value = AssignmentEvent> {
    prop_oneof![
        2 => Just(AssignmentEvent::Comes),
        1 => Just(AssignmentEvent::Goes),
        4 => (0..MANY, vec(0u8..4, 0..4)).prop_map(|(endpoint, users)| AssignmentEvent::Names(endpoint, users)),
        1 => prop::bool::weighted(0.7).prop_map(AssignmentEvent::Readable),
    ]
}
