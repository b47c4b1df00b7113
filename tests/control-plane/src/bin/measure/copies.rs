//! What copies cost: how fast they follow, against a bare loop of the same writes; calls, memory, and silence.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use certkeeper_control_plane::{ControlPlane, Kubectl, Settings, Supervised, Walk};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    Options,
    bare::Bare,
    process::{AT_ONCE, Outcome, calls, difference, fill, last_write, megabytes, met, peak, processor_time, say},
};

/// Name of the copies.
const COPY: &str = "copied-certificate";
/// The part of the bare loop's throughput that is to be reached.
const THROUGHPUT: f64 = 0.9;
/// Memory at up to this many targets is to stay below [`PEAK_AT_MOST`].
const GOAL_TARGETS: usize = 1000;
const PEAK_AT_MOST: u64 = 20_000_000;
/// Namespaces that are created one by one at the end.
const LATE: usize = 20;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A copy as a watch saw it: its namespace, and when.
struct Written {
    namespace: String,
    at: Instant,
}

struct Stage {
    plane: ControlPlane,
    kubectl: Kubectl,
    walk: Walk,
    namespaces: Vec<String>,
    seen: mpsc::UnboundedReceiver<Written>,
    onlooker: AbortHandle,
}

/// One run. Whether the goals were met.
pub(crate) async fn measure(options: &Options) -> Outcome<bool> {
    let mut stage = Stage::set(options).await?;
    let mut certkeeper = stage.start(options)?;
    let everywhere = stage.namespaces.iter().cloned().collect();
    let began = Instant::now();
    let created = stage.follow(&everywhere).await.map_err(|e| format!("{e}\n{}", certkeeper.tail()))?;
    say(&format!(
        "created: {} copies {:.2} s after the start",
        everywhere.len(),
        created.duration_since(began).as_secs_f64()
    ))?;
    stage.distributed()?;
    let pid = certkeeper.program_id().ok_or("certkeeper has no process id")?;
    say(&format!("peak RSS once all are there: {}", megabytes(peak(pid)?)))?;

    let ratio = stage.rotate(options, pid).await?;
    stage.distributed()?;
    let memory = peak(pid)?;
    if !options.listed {
        stage.late().await?;
        stage.distributed()?;
    }
    let writes = stage.rest(options, pid).await?;
    certkeeper.check()?;
    say("")?;
    let targets = options.targets;
    say(&format!("throughput  {ratio:>9.2} of the bare loop's, goal >= {THROUGHPUT}  {}", met(ratio >= THROUGHPUT)))?;
    let fits = targets > GOAL_TARGETS || memory <= PEAK_AT_MOST;
    let goal = if targets > GOAL_TARGETS { "no goal at this size" } else { "goal <= 20 MB" };
    say(&format!("peak RSS    {:>9} after the rotations, {goal}  {}", megabytes(memory), met(fits)))?;
    say(&format!("idle writes {writes:>9}, goal = 0  {}", met(writes == 0)))?;
    Ok(ratio >= THROUGHPUT && fits && writes == 0)
}

impl Stage {
    async fn set(options: &Options) -> Outcome<Self> {
        let plane = ControlPlane::start_with(Settings { audit: true }).await?;
        let kubectl = Kubectl::new(plane.kubeconfig())?;
        let walk = Walk::new("copies");
        let apply = |text: &str| kubectl.run(&["apply", "--server-side", "-f", "-"], text);
        let crds = std::process::Command::new(&options.certkeeper).arg("crds").output()?;
        apply(&String::from_utf8(crds.stdout)?)?;
        let crd = "crd/gatewaycertificates.certs.kyma-project.io";
        kubectl.run(&["wait", "--for=condition=Established", crd, "--timeout=60s"], "")?;
        apply(&walk.setting())?;
        apply(&rights(&walk).to_string())?;
        fill(&plane, &walk.gateway_namespace, options.secrets, options.size).await?;
        let namespaces: Vec<String> = (0..options.targets).map(|number| format!("copy-{number}")).collect();
        let client = plane.client()?;
        stream::iter(&namespaces)
            .map(|name| namespace(&client, name))
            .buffer_unordered(AT_ONCE)
            .for_each(async |_| ())
            .await;
        let (sender, seen) = mpsc::unbounded_channel();
        let onlooker = tokio::spawn(watch(plane.client()?, sender)).abort_handle();
        let stage = Self { plane, kubectl, walk, namespaces, seen, onlooker };
        stage.supply()?;
        stage.ask(options)?;
        Ok(stage)
    }

    fn apply(&self, text: &str) -> Outcome<()> {
        self.kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", "-"], text)?;
        Ok(())
    }

    fn supply(&self) -> Outcome<()> {
        self.apply(&self.walk.supplied(&[&format!("*.{}", self.walk.domain())], time::Duration::days(90))?)
    }

    fn ask(&self, options: &Options) -> Outcome<()> {
        let mut object: Value = serde_json::from_str(&self.walk.object())?;
        object["spec"]["targets"] = if options.listed {
            let target = |(number, namespaces): (usize, &[String])| json!({"name": format!("list-{number}"), "secretName": COPY, "layout": "tls", "namespaces": namespaces});
            self.namespaces.chunks(1000).enumerate().map(target).collect()
        } else {
            let selector = json!({"matchLabels": {"copies": "yes"}});
            json!([{"name": "all", "secretName": COPY, "layout": "certificate-only", "namespaceSelector": selector}])
        };
        let began = Instant::now();
        let text = object.to_string();
        // In its first second a CRD may still answer 404.
        while let Err(error) = self.apply(&text) {
            if began.elapsed() > Duration::from_secs(30) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn start(&self, options: &Options) -> Outcome<Supervised> {
        let kubeconfig = self.plane.kubeconfig_for(&self.walk.user, &[])?.display().to_string();
        let (allow, copies) = (self.walk.allow(), format!("*/{COPY}"));
        let arguments = [
            "run",
            "--kubeconfig",
            &kubeconfig,
            "--namespace",
            &self.walk.namespace,
            "--allow",
            &allow,
            "--allow",
            &copies,
        ];
        let log = self.plane.folder().join("certkeeper.log");
        Ok(Supervised::start("certkeeper", &options.certkeeper, &arguments.map(str::to_owned), log)?)
    }

    fn distributed(&self) -> Outcome<()> {
        let wait = ["wait", "-n", &self.walk.namespace, "--for=condition=Distributed", "gwcert/walk", "--timeout=120s"];
        self.kubectl.run(&wait, "")?;
        Ok(())
    }

    /// Waits until every one of these namespaces has a copy. When the last came.
    async fn follow(&mut self, namespaces: &BTreeSet<String>) -> Outcome<Instant> {
        let mut left = namespaces.clone();
        let mut last = Instant::now();
        while !left.is_empty() {
            let written = tokio::time::timeout(PATIENCE, self.seen.recv()).await;
            let written =
                written.map_err(|_| format!("{} copies are missing", left.len()))?.ok_or("the watch ended")?;
            if left.remove(&written.namespace) {
                last = written.at;
            }
        }
        Ok(last)
    }

    /// Starts another onlooker, which has seen nothing yet.
    fn look_on(&mut self) -> Outcome<()> {
        let (sender, seen) = mpsc::unbounded_channel();
        self.onlooker = tokio::spawn(watch(self.plane.client()?, sender)).abort_handle();
        self.seen = seen;
        Ok(())
    }

    /// Waits until the status says that all copies are of another pair than this one. What it says then.
    async fn told(&self, old: &str) -> Outcome<String> {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("certs.kyma-project.io", "v1alpha1", "GatewayCertificate"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.plane.client()?, &self.walk.namespace, &resource);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let object = api.get(Walk::OBJECT).await?;
            let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let distributed = conditions.iter().find(|c| c["type"] == "Distributed" && c["reason"] == "Distributed");
            let message = distributed.and_then(|condition| condition["message"].as_str()).unwrap_or_default();
            if !message.is_empty() && message != old {
                return Ok(message.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the copies did not become current".into())
    }

    /// Rotations of certkeeper and of the bare loop in turn. What part of the bare loop's throughput was reached.
    async fn rotate(&mut self, options: &Options, pid: u32) -> Outcome<f64> {
        self.onlooker.abort();
        let mut said = self.told("").await?;
        let value = |text: &str| -> Vec<(&'static str, String)> {
            match options.listed {
                true => vec![("tls.crt", text.repeat(1200)), ("tls.key", text.repeat(240))],
                false => vec![("tls.crt", text.repeat(1200))],
            }
        };
        let mut bare = Bare::create(self.plane.client()?, &self.namespaces, &value("a")).await?;
        let (mut ours, mut theirs) = (Vec::<Duration>::new(), Vec::new());
        let mut calls_of_all = Vec::new();
        let us = std::process::id();
        let (mut our_work, mut their_work) = (Duration::ZERO, Duration::ZERO);
        for number in 0..options.rotations {
            let idle = processor_time(us)?;
            theirs.push(bare.rotate(&value(&format!("{}", number % 10))).await?);
            their_work += processor_time(us)?.saturating_sub(idle);
            let before = calls(&self.plane.audit_log(), &self.walk.user)?;
            let idle = processor_time(pid)?;
            let pair = self.walk.supplied(&[&format!("*.{}", self.walk.domain())], time::Duration::days(90))?;
            let pair: Value = serde_json::from_str(&pair)?;
            let api: Api<Secret> = Api::namespaced(self.plane.client()?, &self.walk.namespace);
            api.patch(Walk::SOURCE, &PatchParams::apply("kubectl").force(), &Patch::Apply(&pair)).await?;
            said = self.told(&said).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            our_work += processor_time(pid)?.saturating_sub(idle);
            let log = self.plane.audit_log();
            // From the API server's own log: whoever looks on by a watch would cost more than is measured.
            ours.push(last_write(&log, COPY)?.duration_since(last_write(&log, Walk::SOURCE)?).try_into()?);
            calls_of_all.push(difference(&before, calls(&log, &self.walk.user)?));
        }
        let count = options.targets as f64;
        let rate = |time: Duration| count / time.as_secs_f64();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            say(&format!(
                "rotation: source changed -> last copy {:.3} s ({:.0}/s); bare loop {:.3} s ({:.0}/s)",
                ours.as_secs_f64(),
                rate(*ours),
                theirs.as_secs_f64(),
                rate(*theirs)
            ))?;
        }
        let last = calls_of_all.last().cloned().unwrap_or_default();
        let per_target = |verbs: &[&str]| verbs.iter().filter_map(|verb| last.get(*verb)).sum::<u64>() as f64 / count;
        say(&format!(
            "calls of the last rotation, all in all: {last:?}; a target: {:.3} writes, {:.3} reads",
            per_target(&["update", "patch", "create", "delete"]),
            per_target(&["get", "list"])
        ))?;
        let writes = count * options.rotations as f64;
        let each = |work: Duration| work.as_secs_f64() * 1e6 / writes;
        say(&format!(
            "processor time a copy: {:.0} us, of which its watch is a part; bare loop {:.0} us",
            each(our_work),
            each(their_work)
        ))?;
        let total = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64();
        Ok(total(&theirs) / total(&ours))
    }

    /// Namespaces that come one by one.
    async fn late(&mut self) -> Outcome<()> {
        let client = self.plane.client()?;
        self.look_on()?;
        let mut times = Vec::new();
        for number in 0..LATE {
            let name = format!("late-{number}");
            namespace(&client, &name).await?;
            let began = Instant::now();
            times.push(self.follow(&BTreeSet::from([name])).await?.saturating_duration_since(began));
        }
        times.sort();
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
        say(&format!(
            "a new namespace -> its copy, beside {} others: {:.0}/{:.0}/{:.0} ms (min/median/max of {LATE})",
            self.namespaces.len(),
            milliseconds(&times[0]),
            milliseconds(&times[LATE / 2]),
            milliseconds(&times[LATE - 1])
        ))
    }

    /// Nothing happens. How many writes there are all the same.
    async fn rest(&self, options: &Options, pid: u32) -> Outcome<u64> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = (calls(&self.plane.audit_log(), &self.walk.user)?, processor_time(pid)?);
        tokio::time::sleep(options.idle).await;
        let after = difference(&before.0, calls(&self.plane.audit_log(), &self.walk.user)?);
        let spent = processor_time(pid)?.saturating_sub(before.1);
        say(&format!(
            "idle for {} s: calls {after:?}, {} ms of processor time",
            options.idle.as_secs(),
            spent.as_millis()
        ))?;
        let reads = ["get", "list", "watch"];
        Ok(after.iter().filter(|(verb, _)| !reads.contains(&verb.as_str())).map(|(_, count)| count).sum())
    }
}

async fn namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let object = json!({"metadata": {"name": name, "labels": {"copies": "yes"}}});
    let object: Namespace = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.map(|_| ())
}

/// The rights that copies need beside those of the walk.
fn rights(walk: &Walk) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": "copies"},
            "rules": [
                {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [COPY],
                 "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"]},
            ],
        },
        {
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "copies"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "copies"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": walk.user}],
        },
    ]})
}

/// Tells of each copy as it is written.
async fn watch(client: Client, sender: mpsc::UnboundedSender<Written>) {
    let api: Api<PartialObjectMeta<Secret>> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("metadata.name={COPY}"));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret)) = event else { continue };
        let written = Written { namespace: secret.namespace().unwrap_or_default(), at: Instant::now() };
        if sender.send(written).is_err() {
            return;
        }
    }
}
