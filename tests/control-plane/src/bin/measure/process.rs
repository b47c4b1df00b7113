//! What a process and its requests cost, and how it is said.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{Write as _, stdout},
    path::Path,
    time::Duration,
};

use certkeeper_control_plane::ControlPlane;
use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{Api, api::PostParams};
use serde_json::Value;
use tokio::task::JoinSet;

/// Requests under way at once while a cluster is filled.
pub(crate) const AT_ONCE: usize = 16;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Creates Secrets that are none of certkeeper's business.
pub(crate) async fn fill(plane: &ControlPlane, namespace: &str, count: usize, size: usize) -> Outcome<()> {
    let api: Api<Secret> = Api::namespaced(plane.client()?, namespace);
    let mut under_way = JoinSet::new();
    for number in 0..count {
        if under_way.len() == AT_ONCE {
            under_way.join_next().await.ok_or("no task")???;
        }
        let mut secret = Secret::default();
        secret.metadata.name = Some(format!("foreign-{number}"));
        secret.data = Some(BTreeMap::from([("payload".to_owned(), ByteString(vec![b'x'; size]))]));
        let api = api.clone();
        under_way.spawn(async move { api.create(&PostParams::default(), &secret).await.map(|_| ()) });
    }
    while let Some(created) = under_way.join_next().await {
        created??;
    }
    Ok(())
}

/// Requests of a user in the audit log, by verb. A watch counts when it starts; its end is the same request.
pub(crate) fn calls(log: &Path, user: &str) -> Outcome<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(log)?.lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let (verb, stage) = (event["verb"].as_str().unwrap_or_default(), event["stage"].as_str().unwrap_or_default());
        let counts = if verb == "watch" { stage == "ResponseStarted" } else { stage == "ResponseComplete" };
        if event["user"]["username"] == user && counts {
            *calls.entry(verb.to_owned()).or_default() += 1;
        }
    }
    Ok(calls)
}

/// When the last write to Secrets of this name was answered, as the audit log has it.
pub(crate) fn last_write(log: &Path, name: &str) -> Outcome<Timestamp> {
    let mut last = None;
    for line in fs::read_to_string(log)?.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let object = &event["objectRef"];
        let write = ["patch", "update"].contains(&event["verb"].as_str().unwrap_or_default());
        if write && event["stage"] == "ResponseComplete" && object["resource"] == "secrets" && object["name"] == name {
            let at: Timestamp = event["stageTimestamp"].as_str().unwrap_or_default().parse()?;
            last = last.max(Some(at));
        }
    }
    last.ok_or_else(|| format!("nobody wrote {name}").into())
}

pub(crate) fn difference(before: &BTreeMap<String, u64>, after: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let earlier = |verb: &String| before.get(verb).copied().unwrap_or_default();
    after
        .into_iter()
        .map(|(verb, count)| {
            let new = count - earlier(&verb);
            (verb, new)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// VmHWM of a process in bytes: the most memory it ever had resident.
pub(crate) fn peak(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in the process's status")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Time that a process has spent on a processor: fields 14 and 15 of its stat, in ticks of 10 ms.
pub(crate) fn processor_time(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; what follows does not.
    let (_, rest) = stat.rsplit_once(')').ok_or("an odd stat")?;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

pub(crate) fn met(goal: bool) -> &'static str {
    if goal { "met" } else { "MISSED" }
}

pub(crate) fn say(text: &str) -> Outcome<()> {
    let mut out = stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}
