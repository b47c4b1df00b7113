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

/// One rotation of pair and client CA for each write that it takes, and a kill at that write. The process sees no answer
/// to it.
async fn killed_at_each_write(world: World, applied: bool) {
    let ca = Ca::new();
    let mut pair = ca.issue(&[pki::WILDCARD]);
    let mut clients = client_ca();
    world.supply(&pair).await;
    world.put_secret(&world.home, "ca", &[("ca.crt", clients.as_bytes())]).await;
    world.ask(json!({"clientCA": {"secretRef": {"name": "ca"}}})).await;
    let mut rotations = 0;
    for fatal in 0.. {
        let (client, wrote, dead) = mortal(&world, fatal, applied);
        let keeper = world.keeper_with(world.settings(), client);
        // With the last write applied, both may be true at once.
        let reached = tokio::select! {
            biased;
            () = dead.notified() => true,
            () = converged(&world, &pair, &clients) => wrote.load(Ordering::Relaxed) > fatal,
        };
        if !reached {
            break;
        }
        drop(keeper);
        let survivor = world.keeper();
        converged(&world, &pair, &clients).await;
        world.is_silent().await;
        survivor.stop().await;
        (pair, clients) = (ca.issue(&[pki::WILDCARD]), client_ca());
        world.supply(&pair).await;
        world.put_secret(&world.home, "ca", &[("ca.crt", clients.as_bytes())]).await;
        rotations += 1;
    }
    assert!(rotations >= 4, "a rotation takes at least four writes, {rotations} were seen");
    let (history, events) = (world.status("x").await.history, world.events().await);
    for reason in ["Promoted", "ClientCaPromoted"] {
        let promoted = history.iter().filter(|entry| entry.reason == reason).count();
        assert_eq!(promoted, rotations + 1, "each rotation is told once: {reason}");
        let told = events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count();
        assert_eq!(told, rotations + 1, "and by one event: {reason}");
    }
}

/// Client CA certificates as certkeeper writes them.
fn client_ca() -> String {
    let pem = certkeeper_simulator::ca::Ca::root("Client CA", chrono::Utc::now()).expect("a root").pem();
    certkeeper::certificate::read_authorities(Some(pem.as_bytes()), false).pem()
}

async fn converged(world: &World, pair: &Pair, clients: &str) {
    world.promoted(pair).await;
    world.copied(&world.mesh, "gw-certs-cacert", &[("cacert", clients)]).await;
    world
        .eventually("keep-sake and status follow", || async {
            let kept = world.secrets(&world.mesh).get_opt("gw-certs-last-good").await.expect("readable")?;
            let status = world.status("x").await;
            let known = status.certificate.is_some_and(|certificate| certificate.fingerprint == pair.fingerprint());
            let ca = certkeeper::certificate::read_authorities(Some(clients.as_bytes()), false);
            let ca = ca.fingerprint().map(|fingerprint| fingerprint.to_string());
            (holds(&kept, pair) && known && status.client_ca.map(|ca| ca.fingerprint) == ca).then_some(())
        })
        .await;
}

/// A client that dies at its write number `fatal`: from there on nothing is sent or answered.
pub fn mortal(world: &World, fatal: usize, applied: bool) -> (Client, Arc<AtomicUsize>, Arc<Notify>) {
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
