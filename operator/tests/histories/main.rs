//! Over every history of inputs, the statuses keep the rules of kstatus and the promises of the design.
//!
//! A history is folded over the operator's decisions: what happens to the objects of a namespace, and which reconciles
//! follow in which order, some of them on writes that are lost. After each reconcile the rules are checked, and in the
//! end that the operator comes to rest, with one default.

mod event;
mod mails;
mod operate;
mod rules;
mod world;

use event::{MANY, Step, Who};
use proptest::prelude::*;
use world::{World, name};

/// Reconciles everything until nothing is written any more.
fn rest(world: &mut World) {
    let everybody = || {
        let endpoints = (0..MANY).map(Who::Endpoint);
        endpoints.chain((0..MANY).map(Who::Assignment)).chain([Who::Archiver]).collect::<Vec<_>>()
    };
    for _ in 0..20 {
        let writes = everybody().into_iter().filter(|who| world.reconcile(*who, false)).count();
        if writes == 0 {
            return;
        }
    }
    panic!("the operator does not come to rest");
}

/// At most one endpoint is the default, and it is the one that is elected.
fn check_default(world: &World) {
    let readable = world.endpoints.iter().enumerate().filter_map(|(number, kept)| Some((number, kept.as_ref()?)));
    let readable = readable.filter(|(_, kept)| kept.readable);
    let is_default = |status: &Option<imarchive_crds::ArchivingEndpointStatus>| {
        status.as_ref().is_some_and(|status| status.default == Some(true))
    };
    let defaults: Vec<String> =
        readable.clone().filter(|(_, kept)| is_default(&kept.object.status)).map(|(number, _)| name(number)).collect();
    match &world.archiver {
        None => assert!(defaults.is_empty(), "there is nobody who elects: {defaults:?}"),
        Some(kept) if kept.readable => {
            let published = kept.object.status.as_ref().and_then(|status| status.default_endpoint.clone());
            assert_eq!(published, world.elected(published.as_deref()));
            let mirrored = published.filter(|default| readable.clone().any(|(number, _)| name(number) == *default));
            assert_eq!(defaults, mirrored.into_iter().collect::<Vec<_>>());
        }
        // Nobody elects now; what was elected last stays.
        Some(_) => assert!(defaults.len() <= 1, "{defaults:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_statuses_keep_the_rules_of_kstatus(history in event::history()) {
        let mut world = World::new();
        for Step { event, reconciles } in &history {
            world.happens(event);
            for (who, lost) in reconciles {
                world.reconcile(*who, *lost);
            }
        }
        rest(&mut world);
        check_default(&world);
    }
}
