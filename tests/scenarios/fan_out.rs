//! Many copies at once: kills in the middle, places that hang or fail, an API server that asks to wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use certkeeper_simulator::server::{ApiError, Before, Gate, RequestInfo};
use futures::{StreamExt, future::BoxFuture, stream};
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::json;
use tokio::{sync::Notify, time::Instant};

use crate::{
    pki::{self, Ca, Pair},
    scenarios,
    world::{Keeper, World, normalised},
};

scenarios!(
    killed_in_the_middle_of_many_copies_it_converges_and_tells_everything_once,
    two_replicas_write_every_copy_and_tell_it_once,
);

async fn many(world: &World, count: usize) {
    let make = |number: usize| async move {
        let labels = json!({"copies": world.home});
        world.labelled_namespace(&format!("{}-{number}", world.own("n")), labels).await;
    };
    stream::iter(0..count).for_each_concurrent(16, make).await;
}

async fn asked(world: &World, pair: &Pair) {
    world.supply(pair).await;
    world
        .ask(json!({"targets": [{
            "name": "all", "secretName": world.own("copy"), "layout": "certificate-only",
            "namespaceSelector": {"matchLabels": {"copies": world.home}},
        }]}))
        .await;
}

fn keeper(world: &World, client: Client) -> Keeper {
    let grant = format!("*/{}", world.own("copy"));
    world.keeper_with(world.settings_with(&[&grant]), client)
}

/// How many copies hold this pair.
async fn current(world: &World, count: usize, pair: &Pair) -> usize {
    let (chain, _) = normalised(pair);
    let mut current = 0;
    for number in 0..count {
        let secret = world.secrets(&format!("{}-{number}", world.own("n"))).get_opt(&world.own("copy")).await;
        let secret = secret.expect("readable");
        let value = secret.and_then(|secret| crate::world::value(&secret, "tls.crt"));
        current += usize::from(value.as_deref() == Some(chain.as_bytes()));
    }
    current
}

async fn killed_in_the_middle_of_many_copies_it_converges_and_tells_everything_once(world: World) {
    // A real API server takes its time to make namespaces.
    let count = if world.server.is_some() { 1000 } else { 100 };
    many(&world, count).await;
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    asked(&world, &first).await;
    for (round, pair) in [first, second].iter().enumerate() {
        world.supply(pair).await;
        for fatal in [count / 2, count / 3] {
            let (client, dead) = mortal(&world, fatal);
            let keeper = keeper(&world, client);
            dead.notified().await;
            drop(keeper);
        }
        let survivor = keeper(&world, world.client.clone());
        let message = world.condition("x", "Distributed", "True", "Distributed").await;
        world
            .eventually("the new pair is everywhere", || async {
                let targets = world.status("x").await.targets?;
                let told = world.condition("x", "Distributed", "True", "Distributed").await;
                (told.contains(&pair.fingerprint()) && targets.current == targets.desired).then_some(())
            })
            .await;
        assert!(message.contains("copies"), "{message}");
        assert_eq!(current(&world, count, pair).await, count);
        world.is_silent().await;
        survivor.stop().await;
        for reason in ["Promoted", "Distributed"] {
            let told = world.status("x").await.history.iter().filter(|entry| entry.reason == reason).count();
            assert_eq!(told, round + 1, "{reason} is told once a rotation");
            let events = world.events().await;
            let events = events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count();
            assert_eq!(events, round + 1, "and by one event");
        }
    }
}

async fn two_replicas_write_every_copy_and_tell_it_once(world: World) {
    let count = 20;
    many(&world, count).await;
    let ca = Ca::new();
    let (first, second) = (ca.issue(&[pki::WILDCARD]), ca.issue(&[pki::WILDCARD]));
    asked(&world, &first).await;
    let _both = [keeper(&world, world.client.clone()), keeper(&world, world.client.clone())];
    for (round, pair) in [first, second].iter().enumerate() {
        world.supply(pair).await;
        world
            .eventually("the pair is everywhere", || async {
                let targets = world.status("x").await.targets?;
                let told = world.condition("x", "Distributed", "True", "Distributed").await;
                (told.contains(&pair.fingerprint()) && targets.current == targets.desired).then_some(())
            })
            .await;
        assert_eq!(current(&world, count, pair).await, count);
        world.is_silent().await;
        for reason in ["Promoted", "Distributed"] {
            let history = world.status("x").await.history;
            let told = history.iter().filter(|entry| entry.reason == reason).count();
            assert_eq!(told, round + 1, "{reason} is told once a rotation: {history:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_of_a_name_are_watched_across_namespaces_by_their_metadata_alone() {
    let world = World::in_memory().await;
    many(&world, 3).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    asked(&world, &pair).await;
    let _keeper = keeper(&world, world.client.clone());
    world.condition("x", "Distributed", "True", "Distributed").await;
    let requests = world.server.as_ref().expect("in memory").requests();
    let across = |request: &&certkeeper_simulator::server::Request| {
        request.info.resource == "secrets"
            && request.info.namespace.is_none()
            && request.info.manager != "a-person"
            && ["list", "watch"].contains(&request.info.verb.as_str())
    };
    let across: Vec<_> = requests.iter().filter(across).collect();
    assert!(!across.is_empty(), "they are watched");
    for request in across {
        assert!(request.info.metadata_only, "{:?}", request.info);
        assert_eq!(request.info.name, Some(world.own("copy")), "only those of the target's name");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_goes_says_which_copy_cannot_be_deleted() {
    let (world, _places) = faulty(Fault::Refuses, 3, 0).await;
    asked(&world, &Ca::new().issue(&[pki::WILDCARD])).await;
    world.patch_object("x", json!({"spec": {"deletionPolicy": "DeleteTargets"}})).await;
    let _keeper = keeper(&world, world.client.clone());
    world.condition("x", "Distributed", "True", "Distributed").await;
    let server = world.server.as_ref().expect("in memory");
    let prefix = format!("{}-", world.own("n"));
    server.set_gate(Places { fault: Fault::Refuses, below: 1, prefix: prefix.clone(), attempts: Arc::default() });
    world.objects().delete("x", &Default::default()).await.expect("deleted");
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    for words in [format!("{prefix}0/{}", world.own("copy")), "no Secrets here".to_owned()] {
        assert!(message.contains(&words), "{message}");
    }
    server.clear_gate();
    world
        .eventually("the object is gone", || async {
            world.objects().get_opt("x").await.expect("readable").is_none().then_some(())
        })
        .await;
}

/// A client that dies at its write to a copy number `fatal`: from there on nothing is sent or answered.
fn mortal(world: &World, fatal: usize) -> (Client, Arc<Notify>) {
    let (wrote, dead, copy) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), world.own("copy"));
    let (inner, notify) = (world.client.clone(), dead.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, wrote, notify, copy) = (inner.clone(), wrote.clone(), notify.clone(), copy.clone());
        async move {
            let dead = wrote.load(Ordering::Relaxed) > fatal;
            if !dead && request.method() == Method::GET {
                return inner.send(request).await;
            }
            let ours = request.uri().path().ends_with(&copy);
            if !dead && (!ours || wrote.fetch_add(1, Ordering::Relaxed) < fatal) {
                return inner.send(request).await;
            }
            notify.notify_one();
            std::future::pending::<Result<Response<Body>, kube::Error>>().await
        }
    });
    (Client::new(service, "default"), dead)
}

/// What a [`Places`] gate does to writes in the namespaces it is about.
#[derive(Clone, Copy)]
enum Fault {
    Hangs,
    Refuses,
    AsksToWait,
}

/// Lets the writes in some namespaces hang or fail, and counts them.
#[derive(Clone)]
struct Places {
    fault: Fault,
    below: usize,
    prefix: String,
    attempts: Arc<AtomicUsize>,
}

impl Gate for Places {
    fn before<'a>(&'a self, request: &'a RequestInfo) -> BoxFuture<'a, Before> {
        let number = request.namespace.as_deref().and_then(|namespace| namespace.strip_prefix(&self.prefix));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let concerned = request.method != Method::GET && number.is_some_and(|number| number < self.below);
        Box::pin(async move {
            if !concerned {
                return Before::Apply;
            }
            self.attempts.fetch_add(1, Ordering::Relaxed);
            match self.fault {
                Fault::Hangs => std::future::pending().await,
                Fault::Refuses => {
                    Before::Refuse(ApiError::new(403, "Forbidden", "admission webhook denied it: no Secrets here"))
                }
                Fault::AsksToWait => Before::Refuse(ApiError {
                    details: Some(json!({"retryAfterSeconds": 30})),
                    ..ApiError::new(429, "TooManyRequests", "too many requests")
                }),
            }
        })
    }
}

/// A world of `count` namespaces of which the first `below` have this fault.
async fn faulty(fault: Fault, count: usize, below: usize) -> (World, Places) {
    let world = World::in_memory().await;
    many(&world, count).await;
    let prefix = format!("{}-", world.own("n"));
    let places = Places { fault, below, prefix, attempts: Arc::default() };
    world.server.as_ref().expect("in memory").set_gate(places.clone());
    (world, places)
}

#[tokio::test(start_paused = true)]
async fn hanging_namespaces_delay_neither_the_others_nor_the_gateway() {
    // More of them than calls may be under way.
    let (world, _) = faulty(Fault::Hangs, 60, 20).await;
    let ca = Ca::new();
    let first = ca.issue(&[pki::WILDCARD]);
    asked(&world, &first).await;
    let _keeper = keeper(&world, world.client.clone());
    world.eventually("the others have it", || async { (current(&world, 60, &first).await == 40).then_some(()) }).await;
    for _ in 0..3 {
        let next = ca.issue(&[pki::WILDCARD]);
        world.supply(&next).await;
        let began = Instant::now();
        world.promoted(&next).await;
        assert!(began.elapsed() < Duration::from_secs(2), "the gateway's Secret waits for nobody");
        world
            .eventually("the others follow", || async { (current(&world, 60, &next).await == 40).then_some(()) })
            .await;
        assert!(began.elapsed() < Duration::from_secs(5), "what hung before takes but a few of the calls");
    }
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains("did not answer"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_left_behind_and_then_fails_is_tried_again_without_any_event() {
    let (world, _) = faulty(Fault::Hangs, 3, 1).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    asked(&world, &pair).await;
    let _keeper = keeper(&world, world.client.clone());
    world.eventually("the others have it", || async { (current(&world, 3, &pair).await == 2).then_some(()) }).await;
    // From now on all is well; the call that hangs ends after its 15 s, and nothing else happens.
    world.server.as_ref().expect("in memory").clear_gate();
    world.eventually("all have it", || async { (current(&world, 3, &pair).await == 3).then_some(()) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_namespace_is_tried_again_with_growing_waits_and_told_once() {
    let (world, places) = faulty(Fault::Refuses, 3, 1).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    asked(&world, &pair).await;
    let _keeper = keeper(&world, world.client.clone());
    let message = world.condition("x", "Distributed", "False", "TargetsFailed").await;
    assert!(message.contains("no Secrets here"), "{message}");
    assert_eq!(current(&world, 3, &pair).await, 2);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let attempts = places.attempts.load(Ordering::Relaxed);
    assert!((8..=18).contains(&attempts), "1, 2, 4 … 60 s: {attempts} attempts in ten minutes");
    world.is_silent().await;
    let told = world.events().await;
    assert_eq!(told.iter().filter(|event| event.reason.as_deref() == Some("WriteRejected")).count(), 1);
    world.server.as_ref().expect("in memory").clear_gate();
    tokio::time::sleep(Duration::from_secs(90)).await;
    world.condition("x", "Distributed", "True", "Distributed").await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_asks_to_wait_is_left_alone_for_that_long() {
    let (world, places) = faulty(Fault::AsksToWait, 40, 40).await;
    let pair = Ca::new().issue(&[pki::WILDCARD]);
    asked(&world, &pair).await;
    let _keeper = keeper(&world, world.client.clone());
    tokio::time::sleep(Duration::from_secs(29)).await;
    let early = places.attempts.load(Ordering::Relaxed);
    assert!(early <= 17, "only what was under way when the first answer came: {early} calls");
    world.server.as_ref().expect("in memory").clear_gate();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(current(&world, 40, &pair).await, 40);
}
