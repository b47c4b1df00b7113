//! What certkeeper says, followed as it says it: the GatewayCertificate's status.

use std::{pin::pin, time::Duration};

use certkeeper::api::{GatewayCertificate, GatewayCertificateStatus, HistoryEntry};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::missed::{Missed, Seen};

/// Follows the status of one GatewayCertificate.
#[derive(Debug)]
pub(crate) struct Watched {
    status: watch::Receiver<GatewayCertificateStatus>,
    _task: JoinSet<()>,
}

impl Watched {
    /// Begins to follow it.
    pub(crate) fn begin(api: Api<GatewayCertificate>, name: &str) -> Self {
        let (sender, status) = watch::channel(GatewayCertificateStatus::default());
        let name = name.to_owned();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut states = pin!(watch_object(api, &name).default_backoff());
            while let Some(state) = states.next().await {
                // An interrupted watch is taken up again; whoever waits meanwhile has a deadline.
                if let Ok(Some(object)) = state {
                    sender.send_replace(object.status.unwrap_or_default());
                }
            }
        });
        Self { status, _task: task }
    }

    /// How many entries the history has had so far.
    pub(crate) fn told(&self) -> i64 {
        self.status.borrow().history_total
    }

    /// Waits until `look` finds what it looks for.
    pub(crate) async fn until<T>(
        &self,
        patience: Duration,
        expected: &str,
        look: impl Fn(&GatewayCertificateStatus) -> Option<T>,
    ) -> Seen<T> {
        let mut receiver = self.status.clone();
        let found = timeout(patience, receiver.wait_for(|status| look(status).is_some())).await;
        let found = found.ok().and_then(Result::ok).and_then(|status| look(&status));
        let missed = || Missed::new(format!("{expected}, within {patience:?}"), tell(&self.status.borrow()));
        found.ok_or_else(missed)
    }

    /// Waits for a condition.
    pub(crate) async fn condition(
        &self,
        kind: &str,
        status: &str,
        reason: &str,
        patience: Duration,
    ) -> Seen<Condition> {
        let expected = format!("certkeeper says {kind}={status} ({reason})");
        self.until(patience, &expected, |now| {
            now.conditions.iter().find(|c| c.type_ == kind && c.status == status && c.reason == reason).cloned()
        })
        .await
    }

    /// Waits for an entry in the history that is not among the first `told` ones.
    pub(crate) async fn entry(&self, told: i64, reason: &str, word: &str, patience: Duration) -> Seen<HistoryEntry> {
        let expected = format!("certkeeper tells of {reason}, with \"{word}\" in the message");
        self.until(patience, &expected, |now| {
            let new = usize::try_from(now.history_total - told).unwrap_or(0);
            now.history.iter().take(new).find(|entry| entry.reason == reason && entry.message.contains(word)).cloned()
        })
        .await
    }
}

/// A status in a sentence or two: every condition in short, and what was told last in full.
fn tell(status: &GatewayCertificateStatus) -> String {
    if status.conditions.is_empty() {
        return "certkeeper has said nothing yet".to_owned();
    }
    let condition = |c: &Condition| format!("{}={} ({})", c.type_, c.status, c.reason);
    let conditions: Vec<String> = status.conditions.iter().map(condition).collect();
    let last = status.history.first().map_or("nothing", |entry| entry.message.as_str());
    format!("it says {}; told last: {last}", conditions.join(", "))
}
