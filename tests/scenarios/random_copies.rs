//! Whatever happens to namespaces, labels, copies and the source, in whatever order: in the end there is exactly what
//! should be, and what is somebody else's was never touched.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

use crate::{
    pki::{self, Ca, Pair},
    world::{Keeper, World, normalised, value},
};

/// How many namespaces there are.
const PLACES: usize = 6;

#[derive(Debug, Clone, Copy)]
enum Step {
    Label(usize),
    Unlabel(usize),
    DeleteCopy(usize),
    EditCopy(usize),
    PutForeign(usize),
    RemoveForeign(usize),
    Rotate,
    Restart,
    SelectorToList(usize),
    ListToSelector,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || 0..PLACES;
    prop_oneof![
        3 => place().prop_map(Step::Label),
        2 => place().prop_map(Step::Unlabel),
        2 => place().prop_map(Step::DeleteCopy),
        2 => place().prop_map(Step::EditCopy),
        1 => place().prop_map(Step::PutForeign),
        1 => place().prop_map(Step::RemoveForeign),
        1 => Just(Step::Rotate),
        1 => Just(Step::Restart),
        1 => place().prop_map(Step::SelectorToList),
        1 => Just(Step::ListToSelector),
        3 => (1..400_u16).prop_map(Step::Wait),
    ]
}

struct Play {
    world: World,
    ca: Ca,
    pair: Pair,
    keeper: Option<Keeper>,
    labelled: [bool; PLACES],
    /// The list of the target, or none where the selector decides.
    listed: Option<usize>,
    /// Secrets of somebody else: the version they must still have in the end.
    foreign: BTreeMap<usize, String>,
    edits: usize,
}

impl Play {
    async fn begun(world: World) -> Self {
        let ca = Ca::new();
        let pair = ca.issue(&[pki::WILDCARD]);
        for number in 0..PLACES {
            world.namespace(&format!("{}-{number}", world.own("n"))).await;
        }
        world.supply(&pair).await;
        let mut play = Self {
            world,
            ca,
            pair,
            keeper: None,
            labelled: [false; PLACES],
            listed: None,
            foreign: BTreeMap::new(),
            edits: 0,
        };
        play.world.ask(json!({"targets": [play.target()]})).await;
        play.restart();
        play
    }

    fn place(&self, number: usize) -> (String, String) {
        (format!("{}-{number}", self.world.own("n")), self.world.own("copy"))
    }

    fn target(&self) -> serde_json::Value {
        let mut target = json!({"name": "t", "secretName": self.world.own("copy"), "layout": "certificate-only"});
        match self.listed {
            Some(number) => target["namespaces"] = json!([self.place(number).0]),
            None => target["namespaceSelector"] = json!({"matchLabels": {"copies": self.world.home}}),
        }
        target
    }

    fn restart(&mut self) {
        self.keeper = None;
        let grant = format!("*/{}", self.world.own("copy"));
        self.keeper = Some(self.world.keeper_with(self.world.settings_with(&[&grant]), self.world.client.clone()));
    }

    async fn retarget(&mut self, listed: Option<usize>) {
        self.listed = listed;
        self.world.patch_object("x", json!({"spec": {"targets": [self.target()]}})).await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Label(number) => self.label(number, true).await,
            Step::Unlabel(number) => self.label(number, false).await,
            Step::DeleteCopy(number) => {
                if !self.foreign.contains_key(&number) {
                    let (namespace, copy) = self.place(number);
                    let _ = self.world.secrets(&namespace).delete(&copy, &DeleteParams::default()).await;
                }
            }
            Step::EditCopy(number) => self.edit(number).await,
            Step::PutForeign(number) => self.put_foreign(number).await,
            Step::RemoveForeign(number) => {
                if let Some(version) = self.foreign.remove(&number) {
                    let (namespace, copy) = self.place(number);
                    let api = self.world.secrets(&namespace);
                    let found = api.get(&copy).await.expect("what is somebody else's is still there");
                    assert_eq!(found.resource_version().as_ref(), Some(&version), "and as it was");
                    api.delete(&copy, &DeleteParams::default()).await.expect("deleted");
                }
            }
            Step::Rotate => {
                self.pair = self.ca.issue(&[pki::WILDCARD]);
                self.world.supply(&self.pair).await;
            }
            Step::Restart => self.restart(),
            Step::SelectorToList(number) => self.retarget(Some(number)).await,
            Step::ListToSelector => self.retarget(None).await,
            Step::Wait(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds.into())).await,
        }
    }

    async fn label(&mut self, number: usize, on: bool) {
        self.labelled[number] = on;
        let value = on.then(|| self.world.home.clone());
        self.world.label(&self.place(number).0, json!({"copies": value})).await;
    }

    /// Edits a copy that is there; each time somebody else, so that nobody undoes three times.
    async fn edit(&mut self, number: usize) {
        let (namespace, copy) = self.place(number);
        if self.foreign.contains_key(&number) {
            return;
        }
        self.edits += 1;
        let manager = format!("editor-{}", self.edits);
        let params = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
        let patch = json!({"data": {"tls.crt": ByteString(b"edited".to_vec())}});
        let _ = self.world.secrets(&namespace).patch(&copy, &params, &Patch::Merge(patch)).await;
    }

    async fn put_foreign(&mut self, number: usize) {
        let (namespace, copy) = self.place(number);
        let theirs: Secret =
            serde_json::from_value(json!({"metadata": {"name": copy}, "stringData": {"tls.crt": "theirs"}}))
                .expect("a Secret");
        // Refused where a copy of ours is there already.
        if let Ok(created) = self.world.secrets(&namespace).create(&Default::default(), &theirs).await {
            self.foreign.insert(number, created.resource_version().unwrap_or_default());
        }
    }

    /// In the end there is exactly what should be.
    async fn ends_well(&self) {
        for number in 0..PLACES {
            let wanted = self.listed.map_or(self.labelled[number], |listed| listed == number);
            let (namespace, copy) = self.place(number);
            let api = self.world.secrets(&namespace);
            if let Some(version) = self.foreign.get(&number) {
                let found = api.get(&copy).await.expect("what is somebody else's is still there");
                assert_eq!(found.resource_version().as_ref(), Some(version), "{namespace}: it was never touched");
                continue;
            }
            let (chain, _) = normalised(&self.pair);
            let what = format!("{namespace}: {}", if wanted { "the copy is right" } else { "no copy of ours is left" });
            self.world
                .eventually(&what, || async {
                    let found = api.get_opt(&copy).await.expect("readable");
                    let content = found.as_ref().and_then(|secret| value(secret, "tls.crt"));
                    let right = match (wanted, content) {
                        (true, content) => content.as_deref() == Some(chain.as_bytes()),
                        // What somebody edited before it was taken back is theirs now.
                        (false, content) => content.is_none_or(|content| content == b"edited"),
                    };
                    right.then_some(())
                })
                .await;
        }
        let wanted = match self.listed {
            Some(_) => 1,
            None => self.labelled.iter().filter(|labelled| **labelled).count(),
        };
        self.world
            .eventually("the figures are right", || async {
                let status = self.world.status("x").await;
                let targets = status.targets?;
                // While copies are being written the figures stand still: they may be right by chance.
                let writing = status.conditions.iter().any(|c| c.type_ == "Distributed" && c.reason == "Distributing");
                let newest = status.certificate?.fingerprint == self.pair.fingerprint();
                let settled = !writing
                    && newest
                    && usize::try_from(targets.desired) == Ok(wanted)
                    && usize::try_from(targets.current).is_ok_and(|n| n + targets.failures.len() == wanted);
                settled.then_some(())
            })
            .await;
        self.world.is_silent().await;
    }
}

fn sequences(cases: usize, longest: usize) -> impl Iterator<Item = Vec<Step>> {
    let mut runner = TestRunner::new(Config::default());
    let strategy = prop::collection::vec(step(), 1..longest);
    (0..cases).map(move |_| strategy.new_tree(&mut runner).expect("a sequence").current())
}

async fn play(world: World, steps: &[Step]) {
    let mut play = Play::begun(world).await;
    for step in steps {
        play.step(*step).await;
    }
    play.ends_well().await;
}

/// Sequences that failed once.
const KEPT: &[&[Step]] = &[];

#[test]
fn any_sequence_of_changes_ends_in_exactly_the_desired_copies() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().expect("a runtime")
    };
    for steps in KEPT {
        runtime().block_on(async { play(World::in_memory().await, steps).await });
    }
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        runtime().block_on(async { play(World::in_memory().await, &steps).await });
    });
}

#[tokio::test]
async fn any_sequence_of_changes_ends_in_exactly_the_desired_copies_on_a_real_api_server() {
    for steps in sequences(4, 25) {
        let Some(world) = World::real("random copies").await else { return };
        play(world, &steps).await;
    }
}
