//! certkeeper is killed at any call, and starts again (law 5).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::pki::{self, Ca, Pair};
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    scenarios,
    world::{World, holds},
};

scenarios!(killed_after_any_write_it_converges_after_a_restart, killed_before_any_write_it_converges_after_a_restart);

async fn killed_after_any_write_it_converges_after_a_restart(world: World) {
    killed_at_each_write(world, true).await;
}

async fn killed_before_any_write_it_converges_after_a_restart(world: World) {
    killed_at_each_write(world, false).await;
}

/// One rotation for each write that a rotation takes, and a kill at that write. The process sees no answer to it.
async fn killed_at_each_write(world: World, applied: bool) {
    let ca = Ca::new();
    let mut pair = ca.issue(&[pki::WILDCARD]);
    world.supply(&pair).await;
    world.ask(json!({})).await;
    let mut rotations = 0;
    for fatal in 0.. {
        let (client, wrote, dead) = mortal(&world, fatal, applied);
        let keeper = world.keeper_with(world.settings(), client);
        // With the last write applied, both may be true at once.
        let reached = tokio::select! {
            biased;
            () = dead.notified() => true,
            () = converged(&world, &pair) => wrote.load(Ordering::Relaxed) > fatal,
        };
        if !reached {
            break;
        }
        drop(keeper);
        let survivor = world.keeper();
        converged(&world, &pair).await;
        world.is_silent().await;
        survivor.stop().await;
        pair = ca.issue(&[pki::WILDCARD]);
        world.supply(&pair).await;
        rotations += 1;
    }
    assert!(rotations >= 3, "a rotation takes at least three writes, {rotations} were seen");
    let promoted = world.status("x").await.history.iter().filter(|entry| entry.reason == "Promoted").count();
    assert_eq!(promoted, rotations + 1, "each rotation is told once");
    let events = world.events().await;
    let told = events.iter().filter(|event| event.reason.as_deref() == Some("Promoted")).count();
    assert_eq!(told, rotations + 1, "and by one event");
}

async fn converged(world: &World, pair: &Pair) {
    world.promoted(pair).await;
    world
        .eventually("keep-sake and status follow", || async {
            let kept = world.secrets(&world.mesh).get_opt("gw-certs-last-good").await.expect("readable")?;
            let status = world.status("x").await;
            let known = status.certificate.is_some_and(|certificate| certificate.fingerprint == pair.fingerprint());
            (holds(&kept, pair) && known).then_some(())
        })
        .await;
}

/// A client that dies at its write number `fatal`: from there on nothing is sent or answered.
fn mortal(world: &World, fatal: usize, applied: bool) -> (Client, Arc<AtomicUsize>, Arc<Notify>) {
    let (wrote, dead) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (inner, counter, notify) = (world.client.clone(), wrote.clone(), dead.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, counter, notify) = (inner.clone(), counter.clone(), notify.clone());
        async move {
            if request.method() == Method::GET {
                return inner.send(request).await;
            }
            let number = counter.fetch_add(1, Ordering::Relaxed);
            if number < fatal {
                return inner.send(request).await;
            }
            if number == fatal && applied {
                let _ = inner.send(request).await;
            }
            notify.notify_one();
            std::future::pending::<Result<Response<Body>, kube::Error>>().await
        }
    });
    (Client::new(service, "default"), wrote, dead)
}
