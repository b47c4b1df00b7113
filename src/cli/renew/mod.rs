//! `certkeeper renew`: asks for another certificate now and, with `--wait`, follows it until it is served.

mod follow;
mod journal;
mod steps;

use std::{process::ExitCode, time::Duration};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::Instant;

use self::{
    follow::{End, Follow},
    journal::Journal,
    steps::Ask,
};
use super::{ClusterArgs, Output};
use crate::{
    api::{self, GatewayCertificate},
    cli::answer::time,
    clock::{Clock, SystemClock},
    cluster::{
        client::connect,
        error::{CallError, bounded, is_unknown_resource},
        gather::name_of,
    },
    lifecycle::{FailureKind, ObjectName},
};

/// Who the annotation's field belongs to.
const MANAGER: &str = "certkeeper-cli";
/// How often the annotation is tried again when the object changed in between.
const RETRIES: usize = 5;

/// Arguments of `certkeeper renew`.
#[derive(Debug, clap::Args)]
pub(super) struct Renew {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The GatewayCertificate
    name: String,
    /// Its namespace [default: the context's]
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Follow the renewal until every gateway pod serves the new certificate
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, e.g. 90s, 10m or 1h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = timeout)]
    timeout: Duration,
    /// How the answer looks
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: Output,
}

/// From a second to a day.
fn timeout(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|digits| digits.parse::<u32>().ok());
    let seconds = u64::from(number.unwrap_or_default()) * unit;
    if (1..=86_400).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err("give a time with its unit, from 1s to 24h, e.g. 90s, 10m or 1h".to_owned())
    }
}

/// What came of asking.
enum Answer {
    /// The annotation is written, at this time of our own clock.
    Asked(Box<GatewayCertificate>, Ask, Instant),
    /// Nobody would renew it: why, and what to do.
    Refused(ObjectName, String),
}

impl Renew {
    pub(super) fn main(self) -> Result<ExitCode, String> {
        super::runtime()?.block_on(async {
            let client = connect(&self.cluster.clone().into()).await.map_err(|e| e.to_string())?;
            let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
            let caller = Caller { api: Api::namespaced(client, &namespace), name: &self.name, namespace: &namespace };
            match caller.ask().await? {
                Answer::Refused(name, why) => {
                    super::complain(&format!("{name} is not renewed: {why}"));
                    Ok(ExitCode::FAILURE)
                }
                Answer::Asked(object, ask, begin) if self.wait => {
                    let follow = Follow::new(&object, ask, begin, self.timeout, self.output);
                    follow.until_served(caller.api).await.map(|end| match end {
                        End::Good => ExitCode::SUCCESS,
                        End::TimedOut => ExitCode::FAILURE,
                    })
                }
                Answer::Asked(object, ask, _) => {
                    let (name, status) = (name_of(&*object), object.status.unwrap_or_default());
                    let text = match self.output {
                        Output::Table => journal::asked(&name, ask.at, &ask.before),
                        Output::Json => pretty(&Journal::new().json(&name, &ask, &status))?,
                    };
                    super::say(&text).map(|_| ExitCode::SUCCESS)
                }
            }
        })
    }
}

fn pretty(value: &serde_json::Value) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|e| e.to_string())
}

/// Reads and writes the one object.
struct Caller<'a> {
    api: Api<GatewayCertificate>,
    name: &'a str,
    namespace: &'a str,
}

impl Caller<'_> {
    /// Writes the annotation, on the object as it was judged: whatever changes in between is judged anew.
    async fn ask(&self) -> Result<Answer, String> {
        for _ in 0..=RETRIES {
            let object = self.get().await?;
            let before = match steps::renewable(&object) {
                Ok(before) => before,
                Err(why) => return Ok(Answer::Refused(name_of(&object), why)),
            };
            let at = match steps::ask_at(SystemClock.now(), &object) {
                Ok(at) => at,
                Err(why) => return Ok(Answer::Refused(name_of(&object), why)),
            };
            let begin = Instant::now();
            let patch = json!({"metadata": {
                "uid": object.metadata.uid, "resourceVersion": object.metadata.resource_version,
                "annotations": { (api::RENEW): time(at) },
            }});
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            match bounded(self.api.patch(self.name, &params, &Patch::Merge(patch))).await {
                Ok(asked) => return Ok(Answer::Asked(Box::new(asked), Ask { at, before }, begin)),
                Err(CallError::Stale) => {}
                Err(CallError::Failed(kind, words)) => return Err(self.explain(kind, &words)),
            }
        }
        Err(format!(
            "GatewayCertificate {}/{} changed each of the {} times it was to be annotated: try again",
            self.namespace,
            self.name,
            RETRIES + 1
        ))
    }

    async fn get(&self) -> Result<GatewayCertificate, String> {
        let place = format!("{} in namespace {}", self.name, self.namespace);
        let call = async {
            match self.api.get(self.name).await {
                Err(error) if is_unknown_resource(&error) => {
                    Ok(Err("the server has no GatewayCertificates: apply `certkeeper crds` first".to_owned()))
                }
                other => other.map(Ok),
            }
        };
        match bounded(call).await {
            Ok(found) => found,
            Err(CallError::Stale) => Err(format!("there is no GatewayCertificate {place} (see -n)")),
            Err(CallError::Failed(kind, words)) => Err(self.explain(kind, &words)),
        }
    }

    fn explain(&self, kind: FailureKind, words: &str) -> String {
        match kind {
            FailureKind::Denied => denied(self.namespace, words),
            _ => words.to_owned(),
        }
    }
}

/// Which rights it takes.
fn denied(namespace: &str, words: &str) -> String {
    format!(
        "{words}; you need the verbs get and patch, and for --wait list and watch, on gatewaycertificates.{} in namespace \
         {namespace}",
        api::GROUP
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_a_unit_and_bounds() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("10m", 600), ("24h", 86_400)] {
            assert_eq!(timeout(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "0s", "10", "86401s", "25h", "-1s", "1.5m", "10d", "99999999999h", "1é"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
