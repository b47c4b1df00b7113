//! Events on the GatewayCertificate. An event's name is made of what it tells, so that telling it twice (after a
//! crash, by two replicas) is one event.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams};
use tokio::time::Instant;

use super::{
    MANAGER,
    error::{CallError, bounded},
    gather::name_of,
    status::to_api,
};
use crate::{
    api::GatewayCertificate,
    lifecycle::{Entry, ObjectName},
};

/// At most this many events an object at once …
const BURST: u32 = 25;
/// … and one more each of these.
const REFILL: Duration = Duration::from_secs(300);

/// Tells events, within bounds: client-go's spam filter has the same figures.
#[allow(missing_debug_implementations, reason = "kube's client has none")]
pub struct Recorder {
    client: Client,
    instance: String,
    budgets: Mutex<BTreeMap<ObjectName, (u32, Instant)>>,
}

impl Recorder {
    /// A recorder that reports as this instance (the pod's name).
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance, budgets: Mutex::default() }
    }

    fn may_tell(&self, name: &ObjectName) -> bool {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Whoever has been silent for long enough has a full budget and need not be remembered.
        budgets.retain(|_, (_, since)| now.duration_since(*since) < REFILL * BURST);
        let (left, since) = budgets.entry(name.clone()).or_insert((BURST, now));
        let earned = u32::try_from(now.duration_since(*since).as_secs() / REFILL.as_secs()).unwrap_or(BURST);
        if earned > 0 {
            *left = left.saturating_add(earned).min(BURST);
            *since = now;
        }
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }

    /// Tells one entry of the history; `number` is its place in the history's whole count.
    ///
    /// # Errors
    /// As [`bounded`]; an event that was told already is none, and one over the budget is dropped with a log line.
    pub async fn tell(&self, object: &GatewayCertificate, entry: &Entry, number: i64) -> Result<(), CallError> {
        let name = name_of(object);
        if !self.may_tell(&name) {
            tracing::warn!(object = %name, reason = entry.reason, "too many events, this one is only logged: {}", entry.message);
            return Ok(());
        }
        let api: Api<Event> = Api::namespaced(self.client.clone(), &name.namespace);
        let event = self.event(object, entry, number);
        match bounded(api.create(&PostParams::default(), &event)).await {
            Ok(_) | Err(CallError::Stale) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn event(&self, object: &GatewayCertificate, entry: &Entry, number: i64) -> Event {
        let told = format!("{}|{number}|{}|{}", object.uid().unwrap_or_default(), entry.reason, entry.message);
        let hash = digest::digest(&digest::SHA256, told.as_bytes());
        let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{hash}", object.name_any())),
                namespace: object.namespace(),
                ..ObjectMeta::default()
            },
            action: Some("Keep".to_owned()),
            event_time: Some(MicroTime(to_api(entry.time))),
            note: Some(entry.message.clone()),
            reason: Some(entry.reason.clone()),
            regarding: Some(object.object_ref(&())),
            reporting_controller: Some(format!("{}/{MANAGER}", crate::api::GROUP)),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if entry.warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}
