//! The real cert-controller-manager of Gardener on a control plane, and an issuer that can be broken and mended.

use std::{
    fs,
    time::{Duration, Instant},
};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    ControlPlane, Error,
    authority::{Authority, Signed},
    binaries::cert_controller_manager,
    supervised::Supervised,
};

/// The namespace of the issuers and their CA Secrets.
pub const ISSUERS: &str = "cert-issuers";
/// The name that the controller writes under, as its field manager.
pub const MANAGER: &str = "cert-controller-manager";
/// The issuer that Certificates without an `issuerRef` get.
const DEFAULT_ISSUER: &str = "garden";
/// Certificates are renewed so long before their end, and must be valid for twice as long at least.
const RENEWAL_WINDOW: &str = "1m";
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How the controller is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GardenerSettings {
    /// How often it looks at every object anew. `None` is its own default, a day: at 0.24.1 it then loses the renewals
    /// of Certificates that are looked at again before they are due, which with its ten seconds (the default here) it
    /// finds at the next look.
    pub resync: Option<Duration>,
}

impl Default for GardenerSettings {
    fn default() -> Self {
        Self { resync: Some(Duration::from_secs(10)) }
    }
}

impl ControlPlane {
    /// Starts Gardener's real controller on this API server, with its definitions applied, and waits until its issuer
    /// `garden` is ready. At most one on each control plane: two would fight.
    ///
    /// # Errors
    /// See [`Error`]; the message says what to install or change.
    pub async fn gardener(&self, settings: GardenerSettings) -> Result<Gardener, Error> {
        let found = tokio::task::spawn_blocking(cert_controller_manager).await;
        let programs = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let client = self.client()?;
        let text = fs::read_to_string(&programs.crds).map_err(Error::file("read", &programs.crds))?;
        let wrong = |message: String| Error::Definitions { path: programs.crds.clone(), message };
        for document in text.split("\n---").filter(|document| document.contains("kind:")) {
            let crd: Value = serde_saphyr::from_str(document).map_err(|error| wrong(error.to_string()))?;
            define(&client, &crd).await?;
        }
        let mut arguments: Vec<String> = [
            ("--kubeconfig", self.kubeconfig().display().to_string().as_str()),
            ("--controllers", "issuer"),
            ("--issuer-namespace", ISSUERS),
            ("--default-issuer", DEFAULT_ISSUER),
            ("--renewal-window", RENEWAL_WINDOW),
            ("--pool.size", "2"),
        ]
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()])
        .collect();
        arguments.push("--omit-lease".to_owned());
        if let Some(period) = settings.resync {
            arguments.extend(["--issuer.default.pool.resync-period".to_owned(), format!("{}ms", period.as_millis())]);
        }
        let log = self.folder().join(format!("{MANAGER}.log"));
        let controller = Supervised::start(MANAGER, &programs.program, &arguments, log)?;
        let issuer = Issuer::create(client, ISSUERS, DEFAULT_ISSUER).await?;
        let mut gardener = Gardener { controller, issuer };
        gardener.wait_until_ready().await?;
        Ok(gardener)
    }
}

/// The real controller at work; it ends with this value.
#[derive(Debug)]
pub struct Gardener {
    controller: Supervised,
    issuer: Issuer,
}

impl Gardener {
    /// The issuer `garden`.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The end of the controller's log.
    pub fn log(&self) -> String {
        self.controller.tail()
    }

    /// Freezes the controller: nothing is issued or renewed until [`Gardener::resume`].
    ///
    /// # Errors
    /// Those of [`Supervised::freeze`].
    pub fn pause(&mut self) -> Result<(), Error> {
        self.controller.freeze()
    }

    /// Undoes [`Gardener::pause`].
    ///
    /// # Errors
    /// Those of [`Supervised::signal`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.controller.signal("CONT")
    }

    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.controller.check()?;
            let state = self.issuer.state().await?;
            if state == "Ready" {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::NotInState {
                    object: format!("issuer {DEFAULT_ISSUER}"),
                    wanted: "Ready".to_owned(),
                    seconds: PATIENCE.as_secs(),
                    last: format!("state {state:?}; the controller's last lines:\n{}", self.controller.tail()),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// An issuer with a CA of its own: `spec.ca` and the Secret `<name>-ca` beside it. Works through any client, so on an
/// API server in memory too.
#[derive(Clone)]
pub struct Issuer {
    client: Client,
    namespace: String,
    name: String,
    certificate: String,
    key: String,
}

impl Issuer {
    /// Creates the issuer, its namespace too. The real controller knows those in [`ISSUERS`] only. Does not wait:
    /// whoever makes it ready may not run yet.
    ///
    /// # Errors
    /// [`Error::Api`], [`Error::Certificate`].
    pub async fn create(client: Client, namespace: &str, name: &str) -> Result<Self, Error> {
        let issuer = Self::without_ca(client, namespace, name).await?;
        issuer.mend().await?;
        Ok(issuer)
    }

    /// Creates the issuer without its CA's Secret, which [`Issuer::mend`] adds.
    ///
    /// # Errors
    /// Those of [`Issuer::create`].
    pub async fn without_ca(client: Client, namespace: &str, name: &str) -> Result<Self, Error> {
        let Signed { certificate, key } = Authority::issuing(&format!("{name} CA"))?;
        let issuer = Self { client, namespace: namespace.to_owned(), name: name.to_owned(), certificate, key };
        let namespaces: Api<Namespace> = Api::all(issuer.client.clone());
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let applied = namespaces.patch(namespace, &PatchParams::apply("stage").force(), &Patch::Apply(&body)).await;
        applied.map_err(failed(&format!("create namespace {namespace}")))?;
        let object = json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ca": {"privateKeySecretRef": {"name": issuer.secret(), "namespace": namespace}}},
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let params = PatchParams::apply("stage").force();
            match issuer.issuers().patch(name, &params, &Patch::Apply(&object)).await {
                Ok(_) => return Ok(issuer),
                // In the first second after a definition is established its resources may still be unknown.
                Err(kube::Error::Api(status)) if status.code == 404 && Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(failed(&format!("create issuer {name}"))(error)),
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its CA's certificate, PEM.
    pub fn ca(&self) -> &str {
        &self.certificate
    }

    /// Puts the CA's pair (back) into its Secret.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn mend(&self) -> Result<(), Error> {
        self.write(&self.certificate, &self.key).await
    }

    /// Replaces the CA's certificate and key by what is neither.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn damage(&self) -> Result<(), Error> {
        self.write("no certificate", "no key").await
    }

    /// Deletes the CA's Secret.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn remove(&self) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let deleted = secrets.delete(&self.secret(), &DeleteParams::default()).await;
        deleted.map(drop).map_err(failed(&format!("delete Secret {}/{}", self.namespace, self.secret())))
    }

    /// `status.state` of the issuer: empty, Ready or Error.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn state(&self) -> Result<String, Error> {
        let read = self.issuers().get(&self.name).await.map_err(failed(&format!("read issuer {}", self.name)))?;
        Ok(read.data["status"]["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until `status.state` is `wanted`.
    ///
    /// # Errors
    /// [`Error::NotInState`] after 90 s, or [`Error::Api`].
    pub async fn wait_for(&self, wanted: &str) -> Result<(), Error> {
        let began = tokio::time::Instant::now();
        loop {
            let state = self.state().await?;
            if state == wanted {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::NotInState {
                    object: format!("issuer {}", self.name),
                    wanted: wanted.to_owned(),
                    seconds: PATIENCE.as_secs(),
                    last: format!("state {state:?}"),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn secret(&self) -> String {
        format!("{}-ca", self.name)
    }

    fn issuers(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("cert.gardener.cloud", "v1alpha1", "Issuer");
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::from_gvk(&kind))
    }

    async fn write(&self, certificate: &str, key: &str) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": self.secret(), "namespace": self.namespace},
            "data": {"tls.crt": bytes(certificate), "tls.key": bytes(key)},
        });
        let params = PatchParams::apply("stage").force();
        let written = secrets.patch(&self.secret(), &params, &Patch::Apply(&secret)).await;
        written.map(drop).map_err(failed(&format!("write Secret {}/{}", self.namespace, self.secret())))
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Issuer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Applies a definition and waits until it is established.
async fn define(client: &Client, crd: &Value) -> Result<(), Error> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crd["metadata"]["name"].as_str().unwrap_or_default();
    let applied = crds.patch(name, &PatchParams::apply("stage").force(), &Patch::Apply(crd)).await;
    applied.map_err(failed(&format!("apply definition {name}")))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read = crds.get(name).await.map_err(failed(&format!("read definition {name}")))?;
        let conditions = read.status.and_then(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::NotInState {
                object: format!("definition {name}"),
                wanted: "established".to_owned(),
                seconds: PATIENCE.as_secs(),
                last: format!("{conditions:?}"),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn failed(doing: &str) -> impl FnOnce(kube::Error) -> Error {
    let doing = doing.to_owned();
    move |source| Error::Api { doing, source: Box::new(source) }
}
