//! What stands in for kubelet, ReplicaSet and disruption controller: there is no node and no controller-manager.

use std::{
    io::Write,
    pin::pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::PodDisruptionBudget},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::watcher,
};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Error,
    objects::{self, BUDGET, ISTIO},
    pods::Pods,
};

/// A pod that went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// By the Eviction API, which marks a pod with the condition `DisruptionTarget`; else by a DELETE.
    pub evicted: bool,
}

impl Removal {
    fn of(pod: &Pod) -> Self {
        let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let evicted = conditions.any(|condition| {
            condition.type_ == "DisruptionTarget" && condition.reason.as_deref() == Some("EvictionByEvictionAPI")
        });
        Self { name: pod.name_any(), uid: pod.uid().unwrap_or_default(), evicted }
    }
}

/// Replaces pods that go and keeps the budget's status, until it is dropped.
pub(crate) async fn run(pods: Arc<Pods>) {
    let mut events = pin!(watcher(pods.api(), watcher::Config::default().labels(&objects::selector())));
    // Dropped with this future: no successor is started for a mesh that is gone.
    let mut successors = JoinSet::new();
    while let Some(event) = events.next().await {
        let going = match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                pod.metadata.deletion_timestamp.is_some().then_some((pod, false))
            }
            Ok(watcher::Event::Delete(pod)) => Some((pod, true)),
            Ok(_) => None,
            Err(_) => {
                // The API server is away or has forgotten where we were: the watcher lists anew.
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        if let Some((pod, is_gone)) = going
            && remove(&pods, &pod, is_gone).await
        {
            let (pods, gone) = (pods.clone(), pod.name_any());
            successors.spawn(async move {
                if let Err(error) = pods.add().await {
                    complain(&format!("the successor of {gone} does not start: {error}"));
                }
            });
        }
        while successors.try_join_next().is_some() {}
        if let Err(error) = keep_budget(&pods).await {
            complain(&format!("the status of the PodDisruptionBudget is not kept: {error}"));
        }
    }
}

/// Whoever waits for something sees that it does not come; this says why.
fn complain(text: &str) {
    let _ = std::io::stderr().write_all(format!("mesh: {text}\n").as_bytes());
}

/// Ends a pod's Envoy and removes its object; whether it was one of ours that nobody had removed yet.
async fn remove(pods: &Pods, pod: &Pod, is_gone: bool) -> bool {
    let name = pod.name_any();
    let Some(gateway) = pods.lock().remove(&name) else { return false };
    drop(gateway);
    pods.removed.lock().unwrap_or_else(PoisonError::into_inner).push(Removal::of(pod));
    if !is_gone {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        if let Err(error) = pods.api().delete(&name, &now).await {
            complain(&format!("pod {name} is not removed: {error}"));
        }
    }
    true
}

/// As the disruption controller does: without a status of the newest generation every eviction is refused.
async fn keep_budget(pods: &Pods) -> Result<(), Error> {
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(pods.client.clone(), ISTIO);
    let Some(budget) = budgets.get_opt(BUDGET).await? else { return Ok(()) };
    let least = budget.spec.as_ref().and_then(|spec| spec.min_available.clone());
    // Percentages are nobody's here.
    let Some(IntOrString::Int(least)) = least else { return Ok(()) };
    let all = pods.api().list(&ListParams::default().labels(&objects::selector())).await?.items;
    let is_healthy = |pod: &&Pod| {
        let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        pod.metadata.deletion_timestamp.is_none()
            && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let healthy = i32::try_from(all.iter().filter(is_healthy).count()).unwrap_or(i32::MAX);
    let allowed = (healthy - least).max(0);
    let told = budget.status.as_ref().is_some_and(|old| {
        (old.observed_generation, old.current_healthy, old.disruptions_allowed, old.desired_healthy)
            == (budget.metadata.generation, healthy, allowed, least)
    });
    if !told {
        let status = json!({"status": {
            "observedGeneration": budget.metadata.generation, "expectedPods": all.len(), "currentHealthy": healthy,
            "desiredHealthy": least, "disruptionsAllowed": allowed, "disruptedPods": null,
        }});
        budgets.patch_status(BUDGET, &PatchParams::default(), &Patch::Merge(status)).await?;
    }
    Ok(())
}
