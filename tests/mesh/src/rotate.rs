//! Rotations one after the other, under a load: by hand and through certkeeper.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use certkeeper_simulator::ca::{Algorithm, Ca, Issued};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::Instant;

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

/// One after the other through certkeeper: the pair is supplied, served by all, and told to be.
///
/// # Errors
/// One is not served by all or not told in time, the ladder was climbed though nothing was wrong, or what the API server
/// says.
pub async fn kept(mesh: &Mesh, load: &Load, ca: &Ca, rotations: usize) -> Result<Times, Error> {
    let (keeper, pods) = (Keeper::start(mesh).await?, mesh.gateways().len());
    let mut times = Times::default();
    // The first one only has certkeeper take over.
    for number in 0..=rotations {
        let pair = issue(ca)?;
        load.expect(None);
        let written = Instant::now();
        keeper.supply(&pair.certificate(), pair.key()).await?;
        if number == 0 {
            keeper.ask(&json!({"managementPolicy": "Manage"})).await?;
        }
        let served = mesh.until_all_serve(pair.fingerprint(), PATIENCE).await;
        served.map_err(|seen| late(number, &seen))?;
        let took = written.elapsed();
        let proven = keeper.until_proven(pair.fingerprint(), pods, PATIENCE).await;
        proven.map_err(Error::unexpected("what certkeeper says"))?;
        // From here on Served=True is said: whoever sees the old leaf now was told wrong.
        load.expect(Some(pair.fingerprint()));
        if number > 0 {
            times.served.push(took);
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
