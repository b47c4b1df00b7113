//! What the pods serve, by handshakes: nothing else tells.

use std::{collections::BTreeMap, time::Duration};

use certkeeper::gateway::{Question, TcpDial, Versions, shake};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{GatewayPod, Mesh, objects};

/// Long enough for a handshake on a loaded machine.
const LIMIT: Duration = Duration::from_secs(3);
/// How often the pods are asked while something is waited for.
const EVERY: Duration = Duration::from_millis(2);

/// What one handshake with a pod showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The SHA-256 of the leaf, in lower-case hex.
    Leaf(String),
    /// No handshake was completed: the name of the reason, as `certkeeper probe` has it.
    Nothing(&'static str),
}

impl Mesh {
    /// What each pod serves to whom asks for `ok.DOMAIN`, at this moment.
    pub async fn seen(&self) -> BTreeMap<String, Seen> {
        self.seen_with(&format!("ok.{}", objects::DOMAIN), Versions::Any).await
    }

    /// What each pod serves to whom asks for this name with these versions.
    pub async fn seen_with(&self, name: &str, versions: Versions) -> BTreeMap<String, Seen> {
        let ask = async |pod: GatewayPod| {
            let question = Question { versions, ..Question::new(pod.tls, name, LIMIT) };
            let seen = match shake(&TcpDial, &question).await {
                Ok(chain) => Seen::Leaf(chain.fingerprint.to_string()),
                Err(error) => Seen::Nothing(error.reason().name),
            };
            (pod.name, seen)
        };
        join_all(self.gateways().into_iter().map(ask)).await.into_iter().collect()
    }

    /// Waits until all pods serve this leaf; gives how long that took.
    ///
    /// # Errors
    /// What they served last, where they did not within this time.
    pub async fn until_all_serve(&self, leaf: &str, within: Duration) -> Result<Duration, BTreeMap<String, Seen>> {
        let wanted = Seen::Leaf(leaf.to_owned());
        self.until(within, |seen| seen.values().all(|one| *one == wanted)).await
    }

    /// Waits until what the pods serve is as wanted; gives how long that took. No pod at all is never as wanted.
    ///
    /// # Errors
    /// What they served last, where it was not within this time.
    pub async fn until(
        &self,
        within: Duration,
        is_wanted: impl Fn(&BTreeMap<String, Seen>) -> bool,
    ) -> Result<Duration, BTreeMap<String, Seen>> {
        let began = Instant::now();
        loop {
            let seen = self.seen().await;
            if !seen.is_empty() && is_wanted(&seen) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > within {
                return Err(seen);
            }
            sleep(EVERY).await;
        }
    }
}
