//! Rotations one after the other, under a load: by hand and through certkeeper.

use std::{collections::BTreeMap, fmt::Debug, pin::pin, time::Duration};

use certkeeper_simulator::ca::{Algorithm, Ca, Issued};
use futures::StreamExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    Error, Mesh,
    keeper::{Keeper, told},
    load::Load,
    objects::{DOMAIN, ISTIO, SECRET},
};

/// A rotation that is not served everywhere by then has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A pair for the mesh's hosts.
///
/// # Errors
/// It cannot be made.
pub fn issue(ca: &Ca) -> Result<Issued, Error> {
    let leaf = ca.leaf(&[&format!("*.{DOMAIN}")]).algorithm(Algorithm::Rsa2048);
    leaf.issue().map_err(Error::unexpected("a pair"))
}

fn late(number: usize, seen: &impl Debug) -> Error {
    Error::unexpected("a rotation")(format!("number {number} is not served by all: {seen:?}"))
}

/// How long rotations took until all pods served them.
#[derive(Debug, Default)]
pub struct Times {
    /// From the write to the handshake with the last pod.
    pub served: Vec<Duration>,
    /// From the write to the gateway's Secret being another; empty where that is the write itself.
    pub promoted: Vec<Duration>,
    /// From the write to `Served=True`; empty where nobody says it.
    pub proven: Vec<Duration>,
}

/// One rotation after the other by a bare PATCH of the gateway's Secret.
///
/// # Errors
/// One is not served by all in time, or what the API server says.
pub async fn bare(mesh: &Mesh, load: &Load, ca: &Ca, rotations: usize) -> Result<Times, Error> {
    let secrets: Api<Secret> = Api::namespaced(mesh.client(), ISTIO);
    let mut times = Times::default();
    for number in 1..=rotations {
        let pair = issue(ca)?;
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = BTreeMap::from([("tls.crt", bytes(&pair.certificate())), ("tls.key", bytes(pair.key()))]);
        load.expect(None);
        let written = Instant::now();
        secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(json!({"data": data}))).await?;
        let served = mesh.until_all_serve(pair.fingerprint(), PATIENCE).await;
        served.map_err(|seen| late(number, &seen))?;
        times.served.push(written.elapsed());
        load.expect(Some(pair.fingerprint()));
    }
    Ok(times)
}

/// Says each time when the certificate in the gateway's Secret has become another, until nobody listens.
fn promotions(secrets: Api<Secret>) -> watch::Receiver<Instant> {
    let (sender, receiver) = watch::channel(Instant::now());
    tokio::spawn(async move {
        let config = watcher::Config::default().fields(&format!("metadata.name={SECRET}"));
        let mut changes = pin!(watcher(secrets, config).default_backoff().applied_objects());
        let mut before = None;
        while let Some(change) = changes.next().await {
            let Ok(secret) = change else { continue };
            let now = secret.data.and_then(|mut data| data.remove("tls.crt"));
            if now != before {
                before = now;
                if sender.send(Instant::now()).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// One after the other through certkeeper: the pair is supplied, served by all, and told to be.
///
/// # Errors
/// One is not served by all or not told in time, the ladder was climbed though nothing was wrong, or what the API server
/// says.
pub async fn kept(mesh: &Mesh, load: &Load, ca: &Ca, rotations: usize) -> Result<Times, Error> {
    let (keeper, pods) = (Keeper::start(mesh).await?, mesh.gateways().len());
    let mut promotions = promotions(Api::namespaced(mesh.client(), ISTIO));
    let mut times = Times::default();
    // The first one only has certkeeper take over.
    for number in 0..=rotations {
        let pair = issue(ca)?;
        load.expect(None);
        promotions.mark_unchanged();
        let written = Instant::now();
        keeper.supply(&pair.certificate(), pair.key()).await?;
        if number == 0 {
            keeper.ask(&json!({"managementPolicy": "Manage"})).await?;
        }
        let served = mesh.until_all_serve(pair.fingerprint(), PATIENCE).await;
        served.map_err(|seen| late(number, &seen))?;
        let took = written.elapsed();
        let promoted = timeout(PATIENCE, promotions.changed()).await;
        promoted.map_err(Error::unexpected("the gateway's Secret"))?.map_err(Error::unexpected("its watch"))?;
        let promoted = promotions.borrow().saturating_duration_since(written);
        let proven = keeper.until_proven(pair.fingerprint(), pods, PATIENCE).await;
        proven.map_err(Error::unexpected("what certkeeper says"))?;
        // From here on Served=True is said: whoever sees the old leaf now was told wrong.
        load.expect(Some(pair.fingerprint()));
        if number > 0 {
            times.served.push(took);
            times.promoted.push(promoted);
            times.proven.push(written.elapsed());
        }
    }
    let status = keeper.status().await?;
    for reason in ["Nudged", "Evicted", "RolledBack"] {
        let count = told(&status, reason);
        if count > 0 {
            let message = format!("{reason} {count} times, though nothing was wrong: {:#?}", status.history);
            return Err(Error::unexpected("the history")(message));
        }
    }
    Ok(times)
}
