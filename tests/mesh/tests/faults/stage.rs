//! A case at work on the real mesh: what is done.

use std::collections::BTreeMap;

use certkeeper_mesh::{
    Error, Mesh, apply,
    objects::{self, ISTIO, KYMA, SECRET},
};
use certkeeper_simulator::ca::Ca;
use chrono::Utc;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    materials::{Made, Material},
    seen::{COMES_ROUND, Counted, DEADLINE, EVERY},
    steps::{Change, ClientCa, Generic, Leaf, Step, Told},
};

/// The Secret of the client CA.
const CLIENT_CA: &str = "kyma-gateway-certs-cacert";

/// Who makes the changes of a case. The same cases can be run with certkeeper at work: its hand then writes what people
/// supply into the source instead of the gateway's Secret.
pub trait Hand {
    /// Before each change; `made` is the pair that would be written. `true` if it was made here and nothing is left to
    /// do.
    async fn before(&self, mesh: &Mesh, change: Change, made: Option<&Made>) -> bool;

    /// The Secret beside the GatewayCertificate that the client CA is supplied in; `None`: it is written to where Istio
    /// reads it.
    fn client_ca_source(&self) -> Option<&'static str>;

    /// Before a case begins: what is known of the pods is that they serve this leaf.
    ///
    /// # Errors
    /// What is said instead.
    async fn settled(&self, mesh: &Mesh, leaf: &str) -> Result<(), String>;

    /// Whether that is told; `leaf` is the one that is meant.
    ///
    /// # Errors
    /// What is told instead.
    async fn told(&self, mesh: &Mesh, expected: Told, leaf: &str) -> Result<(), String>;
}

/// Nobody stands between: changes are made as they are.
pub struct Bare;

impl Hand for Bare {
    async fn before(&self, _mesh: &Mesh, _change: Change, _made: Option<&Made>) -> bool {
        false
    }

    fn client_ca_source(&self) -> Option<&'static str> {
        None
    }

    async fn settled(&self, _mesh: &Mesh, _leaf: &str) -> Result<(), String> {
        Ok(())
    }

    async fn told(&self, _mesh: &Mesh, expected: Told, _leaf: &str) -> Result<(), String> {
        Err(format!("nobody is there to tell {expected:?}"))
    }
}

/// The mesh, what was done to it, and what is known of the leaves.
pub struct Stage<'a, H> {
    pub mesh: &'a mut Mesh,
    pub hand: H,
    ca: Ca,
    pub case: &'static str,
    pub old: String,
    pub new: String,
    pub generic: String,
    /// When the last change was begun, and what was counted then.
    pub changed: Instant,
    pub before: Counted,
}

impl<'a, H: Hand> Stage<'a, H> {
    /// Brings the mesh into the state that every case begins with: all pods serve a good pair.
    pub async fn set(mesh: &'a mut Mesh, hand: H, case: &'static str) -> Self {
        let ca = Ca::root("Root", Utc::now()).expect("a root").intermediate("Intermediate").expect("a CA");
        let empty = String::new;
        let (changed, before) = (Instant::now(), Counted::default());
        let mut stage = Self { mesh, hand, ca, case, old: empty(), new: empty(), generic: empty(), changed, before };
        for object in objects::base() {
            apply(&stage.mesh.client(), &object).await.expect("applied");
        }
        stage.act(Change::ClientCa(ClientCa::Deleted)).await;
        // A whole new Secret: what other cases left in it goes.
        stage.act(Change::Delete).await;
        stage.act(Change::Pair(Material::Good)).await;
        // What istiod gathers is to be out before Envoys start; those that are deaf from the case before stay so.
        let _ = stage.mesh.until_all_serve(&stage.new, COMES_ROUND).await;
        // Fresh Envoys: old listeners drain for minutes and keep what they know of Secrets alive, for new ones as well.
        stage.mesh.restart_envoys().await.expect("restarted");
        let seen = stage.mesh.until_all_serve(&stage.new, DEADLINE).await;
        seen.unwrap_or_else(|seen| panic!("{case}: the case cannot begin: {seen:?}"));
        let settled = stage.hand.settled(stage.mesh, &stage.new).await;
        settled.unwrap_or_else(|told| panic!("{case}: the case cannot begin: {told}"));
        stage.old = stage.new.clone();
        stage
    }

    /// Plays a case; panics at the first line where something else is seen.
    pub async fn play(mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Do(change) => {
                    self.before = self.count().await;
                    self.changed = Instant::now();
                    self.act(change).await;
                }
                Step::See(expected) => {
                    let outcome = self.see(expected).await;
                    let (case, line) = (self.case, number + 1);
                    outcome.unwrap_or_else(|found| panic!("{case}: line {line}, {step:?}: {found}"));
                }
            }
        }
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.mesh.client(), ISTIO)
    }

    pub fn leaf(&self, which: Leaf) -> String {
        match which {
            Leaf::Old => self.old.clone(),
            Leaf::New => self.new.clone(),
            Leaf::Generic => self.generic.clone(),
        }
    }

    pub fn first(&self) -> String {
        self.mesh.gateways().remove(0).name
    }

    pub async fn act(&mut self, change: Change) {
        let made = match change {
            Change::Pair(material) | Change::Foreign(material) => Some(material.make(&self.ca)),
            _ => None,
        };
        if let Some(made) = &made {
            if matches!(change, Change::Pair(_)) {
                self.new = made.leaf.clone();
            }
            // Making it took its time.
            self.changed = Instant::now();
        }
        if self.hand.before(self.mesh, change, made.as_ref()).await {
            return;
        }
        match change {
            Change::Pair(_) | Change::Foreign(_) => {
                let made = made.expect("made above");
                self.write(SECRET, &[("tls.crt", &made.certificate), ("tls.key", &made.key)]).await;
            }
            Change::SameInOtherBytes => {
                let stored = self.secrets().get(SECRET).await.expect("there").data.unwrap_or_default();
                let chain = String::from_utf8(stored["tls.crt"].0.clone()).expect("PEM");
                self.write(SECRET, &[("tls.crt", &format!("{chain}\n"))]).await;
            }
            Change::Touch => {
                let touched = json!({"metadata": {"annotations": {"test/touched": self.new}}});
                let params = PatchParams::default();
                self.secrets().patch(SECRET, &params, &Patch::Merge(touched)).await.expect("patched");
            }
            Change::Beside(generic) => self.beside(generic).await,
            Change::Delete => delete(&self.secrets(), SECRET).await,
            Change::ClientCa(state) => self.client_ca(state).await,
            Change::Mode(mode) => self.gateway("mode", mode).await,
            Change::Floor(version) => self.gateway("minProtocolVersion", version).await,
            other => self.processes(other).await.expect("done"),
        }
    }

    async fn processes(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::StopIstiod => self.mesh.stop_istiod(),
            Change::StartIstiod => self.mesh.start_istiod().await?,
            Change::RestartAll => self.mesh.restart_envoys().await?,
            Change::RestartFirst => self.mesh.start_envoy(&self.first()).await?,
            Change::AllReady => {
                for pod in self.mesh.gateways() {
                    self.mesh.until_ready(&pod.name).await?;
                }
            }
            Change::PauseFirst => self.mesh.pause_envoy(&self.first())?,
            Change::ReplaceFirst => self.replace_first().await?,
            Change::Deny | Change::Grant => {
                let mut role = objects::right_to_secrets();
                if change == Change::Deny {
                    role["rules"] = json!([]);
                }
                apply(&self.mesh.client(), &role).await?;
                self.mesh.restart_istiod().await?;
            }
            _ => unreachable!("{change:?} is no process's"),
        }
        Ok(())
    }

    async fn replace_first(&self) -> Result<(), Error> {
        let (first, count) = (self.first(), self.mesh.gateways().len());
        let pods: Api<Pod> = Api::namespaced(self.mesh.client(), ISTIO);
        pods.delete(&first, &DeleteParams::default()).await?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let now = self.mesh.gateways();
            let mut live = now.len() == count && now.iter().all(|pod| pod.name != first);
            for pod in &now {
                live = live && self.mesh.is_live(&pod.name).await.unwrap_or(false);
            }
            if live {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "{first} has no successor: {now:?}");
            sleep(EVERY).await;
        }
    }

    async fn client_ca(&self, state: ClientCa) {
        let (api, name) = match self.hand.client_ca_source() {
            Some(source) => (Api::namespaced(self.mesh.client(), KYMA), source),
            None => (self.secrets(), CLIENT_CA),
        };
        let pem = match state {
            ClientCa::Good => self.ca.root_pem(),
            ClientCa::Garbage => "garbage",
            ClientCa::Deleted => return delete(&api, name).await,
        };
        write(&api, name, &[("cacert", pem)]).await;
    }

    async fn beside(&mut self, generic: Generic) {
        let made = Material::Good.make(&self.ca);
        self.generic = made.leaf;
        self.changed = Instant::now();
        match generic {
            Generic::Pair => self.write(SECRET, &[("cert", &made.certificate), ("key", &made.key)]).await,
            Generic::CertificateAlone => self.write(SECRET, &[("cert", &made.certificate)]).await,
            Generic::Empty => self.write(SECRET, &[("cert", ""), ("key", "")]).await,
        }
    }

    async fn write(&self, name: &str, data: &[(&str, &str)]) {
        write(&self.secrets(), name, data).await;
    }

    /// One of the TLS settings of the Gateway's server.
    async fn gateway(&self, field: &str, value: &str) {
        let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
        let api: Api<DynamicObject> = Api::namespaced_with(self.mesh.client(), KYMA, &resource);
        let patch = json!([{"op": "add", "path": format!("/spec/servers/0/tls/{field}"), "value": value}]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
        api.patch("kyma-gateway", &PatchParams::default(), &patch).await.expect("patched");
    }
}

/// A plain PATCH of these keys; the Secret is made if there is none.
async fn write(api: &Api<Secret>, name: &str, data: &[(&str, &str)]) {
    let data: BTreeMap<String, ByteString> =
        data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect();
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
    let there = api.get_metadata_opt(name).await.expect("readable").is_some();
    let params = if there { PatchParams::default() } else { PatchParams::apply("test") };
    let patch = if there { Patch::Merge(object) } else { Patch::Apply(object) };
    api.patch(name, &params, &patch).await.expect("written");
}

async fn delete(api: &Api<Secret>, name: &str) {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        answer => drop(answer.expect("deleted")),
    }
}
