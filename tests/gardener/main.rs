//! The virtual Gardener against the real cert-controller-manager: the same scripts, one trace.
//!
//! Each script is played on a real API server with the real controller, and in memory with the virtual one. Every
//! change of the Certificate and of its Secret is compared, in order: spec, status with its words, labels,
//! annotations, who owns which field, the keys of the Secret, and whether leaf and key are new ones. What cannot be
//! equal (names, times, serial numbers, digests) is replaced by a word or by its order first (`trace.rs`).

mod scripts;
mod stage;
mod trace;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use certkeeper_control_plane::{
    ControlPlane, GardenerSettings, ISSUERS, is_left_out, shared, shared_with_gardener_or_left_out,
};
use certkeeper_simulator::{
    ApiServer,
    gardener::{Settings, VirtualGardener, install},
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use scripts::Step;
use stage::{Stage, clock};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A script, and how it is compared.
struct Script {
    name: &'static str,
    steps: Vec<Step>,
    loosely: bool,
    /// How often the virtual one looks at each Certificate: as often as the real one.
    resync: Duration,
}

impl Script {
    /// On a real API server with the real controller.
    async fn really(&self, client: Client, name: &str) -> Vec<String> {
        Stage::new(client, clock(), name, ISSUERS).await.play(&self.steps, self.loosely).await
    }

    /// With a virtual Gardener that looks at this script's objects alone.
    async fn virtually(&self, client: Client, name: &str) -> Vec<String> {
        install(&client).await.expect("the definitions are taken");
        let (clock, issuers) = (clock(), format!("{name}-issuers"));
        let namespace = Some(name.to_owned());
        let settings = Settings { namespace, issuers: issuers.clone(), resync: self.resync, ..Settings::brisk() };
        let _gardener = VirtualGardener::start(client.clone(), clock.clone(), settings);
        Stage::new(client, clock, name, &issuers).await.play(&self.steps, self.loosely).await
    }

    /// Compares until nothing differs, at most three times; gives what differed last.
    ///
    /// The real one races with itself: it wakes the Certificates of a mended issuer before it calls that one ready, so
    /// that they may still be refused. What differs for a reason differs each time.
    async fn compare(self: Arc<Self>, client: Client) -> Vec<String> {
        let mut differences = Vec::new();
        for _ in 0..3 {
            differences = self.clone().compare_once(client.clone()).await;
            if differences.is_empty() {
                break;
            }
        }
        differences
    }

    /// Plays it with the real controller that `client` leads to, with the virtual one on another real API server,
    /// and with the virtual one in memory and in paused time; gives what differs.
    async fn compare_once(self: Arc<Self>, client: Client) -> Vec<String> {
        let name = format!("conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let other = shared().await.expect("the real API server starts").client().expect("a client");
        let (again, copy) = (self.clone(), name.clone());
        let in_memory = tokio::task::spawn_blocking(move || {
            let paused = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
            paused.block_on(async { again.virtually(ApiServer::new().client(), &copy).await })
        });
        let (really, on_a_server) = tokio::join!(self.really(client, &name), self.virtually(other, &name));
        let in_memory = in_memory.await.expect("no panic");
        let virtually = [("on a real API server", on_a_server), ("in memory", in_memory)];
        let differ = virtually.into_iter().filter(|(_, virtually)| *virtually != really);
        differ
            .map(|(place, virtually)| {
                format!("{}, the virtual one {place}: {}", self.name, difference(&really, &virtually))
            })
            .collect()
    }
}

fn difference(really: &[String], virtually: &[String]) -> String {
    let first = really.iter().zip(virtually).take_while(|(real, other)| real == other).count();
    let list =
        |trace: &[String]| trace.iter().skip(first).take(4).map(|line| format!("  {line}\n")).collect::<String>();
    let (real, other) = (list(really), list(virtually));
    format!(
        "alike for {first} changes, then the real one (of {} changes):\n{real}and the virtual one (of {}):\n{other}",
        really.len(),
        virtually.len(),
    )
}

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        [$((stringify!($name), scripts::$name())),+]
    };
}

/// Side by side, as some take minutes: a renewal, a backoff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_script_leaves_the_same_trace_with_both() {
    let test = "each_script_leaves_the_same_trace_with_both";
    let shared = shared_with_gardener_or_left_out(test).await.expect("the real controller starts");
    let Some((plane, _)) = shared else { return };
    let scripts = scripts![
        a_certificate_is_created_and_a_short_form_of_its_duration_rewritten,
        a_deleted_secret_is_missed_by_nobody_until_a_touch,
        a_renewal_is_forced_by_a_time_and_by_renew,
        other_names_are_issued_at_once,
        an_issuer_that_is_missing_and_then_there_is_noticed_at_a_touch,
        an_issuer_without_its_ca_is_waited_for_in_silence,
        a_damaged_ca_fails_a_forced_renewal_until_it_is_mended_and_touched,
        a_certificate_that_is_created_again_takes_its_secret_over,
        a_spec_that_cannot_be_met_is_told_and_waited_out_for_a_day,
        what_somebody_adds_to_the_secret_goes_or_stays_alike,
        a_revoked_secret_is_told_of_and_replaced_when_that_is_forced,
        a_self_signed_issuer_makes_cas_only,
        a_renewal_is_made_before_the_end,
        a_failure_is_waited_out_longer_each_time,
        a_mended_ca_is_used_once_the_backoff_has_ended,
        a_certificate_ends_in_silence_while_its_issuers_ca_is_gone,
        a_damaged_ca_is_told_of_when_a_renewal_is_due,
    ];
    let resync = Settings::brisk().resync;
    let played = scripts.map(|(name, steps)| {
        // After other names the real one looks again at once, at what may be an older copy.
        let loosely = name == "other_names_are_issued_at_once";
        let script = Arc::new(Script { name, steps, loosely, resync });
        (name, tokio::spawn(script.compare(plane.client().expect("a client"))))
    });
    let mut wrong = Vec::new();
    for (name, script) in played {
        match script.await {
            Ok(differences) => wrong.extend(differences),
            Err(_) => wrong.push(format!("{name}: it did not come to its end, see above")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_renewal_is_lost_and_ready_said_beyond_the_end() {
    let name = "a_planned_renewal_is_lost_and_ready_said_beyond_the_end";
    if is_left_out(name) {
        return;
    }
    let plane = ControlPlane::start().await.expect("the real API server starts");
    let gardener = plane.gardener(GardenerSettings { resync: None }).await.expect("the real controller starts");
    let steps = scripts::a_planned_renewal_is_lost_and_ready_said_beyond_the_end();
    let script = Arc::new(Script { name, steps, loosely: false, resync: Settings::default().resync });
    let differences = script.compare(plane.client().expect("a client")).await;
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    drop(gardener);
}

/// What is refused, pruned or taken depends on the schema.
#[tokio::test]
async fn certificates_are_defined_as_the_real_ones_are() {
    let test = "certificates_are_defined_as_the_real_ones_are";
    let shared = shared_with_gardener_or_left_out(test).await.expect("the real controller starts");
    let Some((plane, _)) = shared else { return };
    let ours = ApiServer::new().client();
    install(&ours).await.expect("the definitions are taken");
    let definitions = [plane.client().expect("a client"), ours].map(|client| async move {
        let crds: Api<DynamicObject> = Api::all_with(
            client,
            &ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition")),
        );
        let crd = crds.get("certificates.cert.gardener.cloud").await.expect("defined");
        let mut spec = crd.data["spec"].clone();
        undescribed(&mut spec);
        let version = &spec["versions"][0];
        let (schema, subresources) = (&version["schema"], &version["subresources"]);
        json!({"names": spec["names"], "scope": spec["scope"], "schema": schema, "subresources": subresources})
    });
    let [real, ours] = definitions;
    assert_eq!(real.await, ours.await);
}

/// Takes the prose out of a schema; `0` and `0.0` are one limit.
fn undescribed(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| !(name == "description" && value.is_string()));
            fields.values_mut().for_each(undescribed);
        }
        Value::Array(items) => items.iter_mut().for_each(undescribed),
        Value::Number(number) => *schema = json!(number.as_f64()),
        _ => {}
    }
}
