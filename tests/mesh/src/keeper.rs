//! certkeeper at work on a mesh, in this process: the very controller that `certkeeper run` runs.

use std::{sync::Arc, time::Duration};

use certkeeper::{
    api::{GatewayCertificate, GatewayCertificateStatus},
    clock::SystemClock,
    cluster::client::guarded,
    controller::{Runtime, run},
    gateway::TcpDial,
    lifecycle::Settings,
};
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, Resource,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{Error, Mesh, PATIENCE, apply, objects::KYMA, spec};

/// The GatewayCertificate, and the Secret that its source is.
const NAME: &str = "x";
const SOURCE: &str = "supplied";
/// Between two looks at the status.
const EVERY: Duration = Duration::from_millis(5);

/// A controller at work. Dropping it ends it as `kill -9` would.
#[derive(Debug)]
pub struct Keeper {
    client_of: ClientOf,
    task: AbortHandle,
}

struct ClientOf(Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Starts a controller; a GatewayCertificate of a keeper before it is deleted, and waited for.
    ///
    /// # Errors
    /// What the API server says, or that the object before does not go.
    pub async fn start(mesh: &Mesh) -> Result<Self, Error> {
        let client = mesh.client();
        let mut crd = serde_json::to_value(GatewayCertificate::crd()).map_err(Error::unexpected("the CRD"))?;
        crd["apiVersion"] = json!(CustomResourceDefinition::api_version(&()));
        crd["kind"] = json!(CustomResourceDefinition::kind(&()));
        apply(&client, &crd).await?;
        let guarded = guarded(client.clone());
        let allow_gateway = vec![format!("{KYMA}/kyma-gateway")];
        let settings = Settings { namespaces: vec![KYMA.to_owned()], allow_gateway, ..Settings::default() };
        let runtime = Runtime {
            watches: guarded.clone(),
            client: guarded,
            dial: Arc::new(TcpDial),
            clock: Arc::new(SystemClock),
            settings,
            instance: "mesh".to_owned(),
        };
        let task = tokio::spawn(run(runtime, CancellationToken::new())).abort_handle();
        let keeper = Self { client_of: ClientOf(client), task };
        keeper.until_gone().await?;
        Ok(keeper)
    }

    fn objects(&self) -> Api<GatewayCertificate> {
        Api::namespaced(self.client_of.0.clone(), KYMA)
    }

    async fn until_gone(&self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.objects().delete(NAME, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 && !status.message.contains("page not found") => {
                    return Ok(());
                }
                // In the first second after a definition is established its resources may still be unknown.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                answer => drop(answer?),
            }
            if Instant::now() > deadline {
                return Err(Error::unexpected("the GatewayCertificate before")("it does not go"));
            }
            sleep(EVERY).await;
        }
    }

    /// Asks for what is [supplied](Self::supply) to be kept; `more` are fields of its spec beside those of [`spec`].
    ///
    /// # Errors
    /// What the API server says.
    pub async fn ask(&self, more: &Value) -> Result<(), Error> {
        let object = json!({"apiVersion": GatewayCertificate::api_version(&()), "kind": GatewayCertificate::kind(&()),
            "metadata": {"name": NAME, "namespace": KYMA}, "spec": spec(more)});
        apply(&self.client_of.0, &object).await
    }

    /// Supplies a pair.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn supply(&self, certificate: &str, key: &str) -> Result<(), Error> {
        self.put(SOURCE, &[("tls.crt", certificate), ("tls.key", key)]).await
    }

    /// Puts these keys into a Secret beside the object.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn put(&self, name: &str, data: &[(&str, &str)]) -> Result<(), Error> {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some(name.to_owned());
        let api: Api<Secret> = Api::namespaced(self.client_of.0.clone(), KYMA);
        api.patch(name, &PatchParams::apply("a-person").force(), &Patch::Apply(&secret)).await?;
        Ok(())
    }

    /// The status now; empty where there is none.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn status(&self) -> Result<GatewayCertificateStatus, Error> {
        let object = self.objects().get_opt(NAME).await?;
        Ok(object.and_then(|object| object.status).unwrap_or_default())
    }

    /// Waits until the status is as wanted; gives how long that took.
    ///
    /// # Errors
    /// The status that was seen last, in words.
    pub async fn until(
        &self,
        within: Duration,
        is_wanted: impl Fn(&GatewayCertificateStatus) -> bool,
    ) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            let status = self.status().await.map_err(|error| error.to_string())?;
            if is_wanted(&status) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > within {
                return Err(format!("{status:#?}"));
            }
            sleep(EVERY).await;
        }
    }

    /// Waits until the leaf with this fingerprint is told to be served by all pods.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_proven(&self, leaf: &str, pods: usize, within: Duration) -> Result<Duration, String> {
        let all = format!("{pods}/{pods}");
        let proven = |status: &GatewayCertificateStatus| {
            status.served.as_deref() == Some(&all)
                && is(status, "Served", "True", "Served")
                && status.conditions.iter().any(|one| one.type_ == "Served" && one.message.contains(leaf))
        };
        self.until(within, proven).await
    }
}

/// Whether a condition has this status and reason.
#[must_use]
pub fn is(status: &GatewayCertificateStatus, kind: &str, value: &str, reason: &str) -> bool {
    status.conditions.iter().any(|one| one.type_ == kind && one.status == value && one.reason == reason)
}

/// How often something of this reason was told.
#[must_use]
pub fn told(status: &GatewayCertificateStatus, reason: &str) -> usize {
    status.history.iter().filter(|entry| entry.reason == reason).count()
}
