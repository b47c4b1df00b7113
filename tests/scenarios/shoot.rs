//! A cluster with a Gardener: a virtual one on either API server, or the real controller on the real one.

use std::time::Duration;

use certkeeper::{
    api::gardener::Certificate,
    certificate::{Supplied, read},
};
use certkeeper_control_plane::{ISSUERS, Issuer, shared_with_gardener_or_left_out};
use certkeeper_simulator::{
    gardener::{Settings, VirtualGardener, install},
    gateway::VirtualMesh,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    pki,
    world::{Keeper, World, value},
};

/// Declares scenarios: each becomes a test with the virtual Gardener on both API servers, and with the real one.
#[macro_export]
macro_rules! three_ways {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test(start_paused = true)]
            async fn in_memory() {
                super::$name($crate::shoot::Shoot::in_memory().await).await;
            }

            #[tokio::test]
            async fn on_a_real_api_server() {
                if let Some(shoot) = $crate::shoot::Shoot::on_a_real_api_server(stringify!($name)).await {
                    super::$name(shoot).await;
                }
            }

            #[tokio::test]
            async fn with_the_real_controller() {
                if let Some(shoot) = $crate::shoot::Shoot::with_the_real_controller(stringify!($name)).await {
                    super::$name(shoot).await;
                }
            }
        })+
    };
}

pub struct Shoot {
    pub world: World,
    /// The virtual one, where it is.
    pub gardener: Option<VirtualGardener>,
    /// The issuer of this scenario alone.
    pub issuer: Issuer,
    issuers: String,
    /// The pods of the gateway, two of them.
    pub mesh: VirtualMesh,
}

impl Shoot {
    pub async fn in_memory() -> Self {
        Self::virtually(World::in_memory().await).await
    }

    pub async fn on_a_real_api_server(scenario: &str) -> Option<Self> {
        Some(Self::virtually(World::real(scenario).await?).await)
    }

    pub async fn with_the_real_controller(scenario: &str) -> Option<Self> {
        let (plane, _) = shared_with_gardener_or_left_out(scenario).await.expect("the real controller starts")?;
        let world = World::new(plane.client().expect("a client"), None).await;
        Some(Self::with(world, ISSUERS, None).await)
    }

    pub async fn virtually(world: World) -> Self {
        Self::set_up(world, Settings::brisk()).await
    }

    /// With a virtual Gardener that looks at a Certificate once a day, as the real one does where nobody says otherwise,
    /// and loses its renewals.
    pub async fn forgetful(world: World) -> Self {
        Self::set_up(world, Settings { resync: Settings::default().resync, ..Settings::brisk() }).await
    }

    async fn set_up(world: World, settings: Settings) -> Self {
        install(&world.client).await.expect("the definitions are taken");
        let issuers = world.own("issuers");
        let settings = Settings { namespace: Some(world.home.clone()), issuers: issuers.clone(), ..settings };
        let gardener = VirtualGardener::start(world.client.clone(), world.clock.clone(), settings);
        Self::with(world, &issuers, Some(gardener)).await
    }

    async fn with(world: World, issuers: &str, gardener: Option<VirtualGardener>) -> Self {
        let issuer = Issuer::create(world.client.clone(), issuers, &world.own("issuer")).await.expect("an issuer");
        issuer.wait_for("Ready").await.expect("it becomes ready");
        let (mut world, mesh) = world.with_gateway(&["one", "two"]).await;
        // The real one makes RSA keys on a busy machine.
        world.patience = Duration::from_secs(90);
        Self { world, gardener, issuer, issuers: issuers.to_owned(), mesh }
    }

    /// Waits so many seconds for an outcome.
    pub fn patient(mut self, seconds: u64) -> Self {
        self.world.patience = Duration::from_secs(seconds);
        self
    }

    /// Has another issuer there.
    pub async fn another_issuer(&self, name: &str) {
        let issuer = Issuer::create(self.world.client.clone(), &self.issuers, &self.world.own(name)).await;
        issuer.expect("an issuer").wait_for("Ready").await.expect("it becomes ready");
    }

    /// Asks for a renewal as a person does.
    pub async fn renew(&self) {
        let asked = self.world.clock.now() + chrono::Duration::seconds(2);
        let asked = asked.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        self.world
            .patch_object("x", json!({"metadata": {"annotations": {"certs.kyma-project.io/renew": asked}}}))
            .await;
    }

    /// Mends the issuer and asks again: Gardener's own second try comes after two minutes at the earliest, and is made at
    /// once for another generation.
    pub async fn mend(&self) {
        self.issuer.mend().await.expect("mended");
        self.issuer.wait_for("Ready").await.expect("it becomes ready");
        self.renew().await;
    }

    /// Ends the virtual Gardener: nothing is issued or renewed any more.
    pub fn freeze(&mut self) {
        self.gardener = None;
    }

    /// Gives the Gateway these cipher suites.
    pub async fn suites(&self, suites: &[&str]) {
        let server = json!({
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [pki::WILDCARD],
            "tls": {"mode": "SIMPLE", "credentialName": "gw-certs", "cipherSuites": suites},
        });
        self.mesh.patch_gateway(json!({"spec": {"servers": [server]}})).await.expect("patched");
    }

    /// Waits until the gateway's Secret holds another leaf than this.
    pub async fn changed(&self, before: &str) -> String {
        let what = format!("another leaf than {before} is stored");
        let look = || async {
            let stored = self.stored().await.filter(|stored| stored != before);
            let known = self.world.status("x").await.certificate.map(|certificate| certificate.fingerprint);
            stored.filter(|stored| known.as_ref() == Some(stored))
        };
        self.world.eventually(&what, look).await
    }

    /// Asks for a certificate with this more in `spec.gardener`.
    pub async fn ask(&self, more: Value) {
        self.world.ask(json!({"byo": null, "gardener": self.request(more)})).await;
    }

    /// `spec.gardener` with the issuer of this scenario.
    pub fn request(&self, more: Value) -> Value {
        let mut request = json!({"issuerRef": {"name": self.issuer.name()}});
        for (key, value) in more.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        request
    }

    /// Asks for a certificate, starts a controller, and waits until it is served.
    pub async fn served(&self, more: Value) -> Keeper {
        self.ask(more).await;
        let keeper = self.world.keeper();
        self.world.condition("x", "Ready", "True", "Ready").await;
        keeper
    }

    pub fn certificates(&self) -> Api<Certificate> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("cert.gardener.cloud", "v1alpha1", "Certificate"));
        Api::namespaced_with(self.world.client.clone(), &self.world.home, &resource)
    }

    /// Our Certificate.
    pub async fn certificate(&self) -> Option<Certificate> {
        self.certificates().get_opt("x").await.expect("readable")
    }

    /// The Secret that Gardener fills.
    pub async fn staging(&self) -> Option<Secret> {
        self.world.secrets(&self.world.home).get_opt("x-staging").await.expect("readable")
    }

    /// The leaf in the gateway's Secret.
    pub async fn stored(&self) -> Option<String> {
        fingerprint(&self.world.gateway_secret().await?)
    }

    /// Waits until the gateway's Secret holds another leaf than this, and every pod serves it.
    pub async fn renewed(&self, before: &str) -> String {
        let what = format!("another leaf than {before} is served");
        let look = || async {
            let stored = self.stored().await;
            let status = self.world.status("x").await;
            let known = status.certificate.as_ref().map(|certificate| certificate.fingerprint.clone());
            let served = status.conditions.iter().any(|one| one.type_ == "Served" && one.status == "True");
            match stored.filter(|stored| stored != before && known.as_ref() == Some(stored) && served) {
                Some(stored) => Ok(stored),
                None => Err(self.story().await),
            }
        };
        self.world.eventually_or(&what, look).await
    }

    /// How often this was told.
    pub async fn told(&self, reason: &str) -> usize {
        self.world.status("x").await.history.iter().filter(|entry| entry.reason == reason).count()
    }

    /// What a failed assertion should show.
    pub async fn story(&self) -> String {
        let status = self.world.status("x").await;
        let conditions = status.conditions.iter().map(|one| format!("{}={}/{}", one.type_, one.status, one.reason));
        let history = status.history.iter().map(|entry| format!("{} {}: {}", entry.time, entry.reason, entry.message));
        let certificate = self.certificate().await;
        let marks = certificate.map(|one| format!("{:?} {:?}", one.annotations(), one.status));
        conditions.chain(history).chain(marks).collect::<Vec<_>>().join("\n")
    }

    /// Changes the Certificate as a person would.
    pub async fn edit(&self, name: &str, patch: Value) {
        let params = PatchParams { field_manager: Some("a-person".to_owned()), ..PatchParams::default() };
        self.certificates().patch(name, &params, &Patch::Merge(patch)).await.expect("changed");
    }

    /// Puts an object of somebody else's there.
    pub async fn request_by_hand(&self, name: &str, manager: &str, secret: (&str, &str), more: Value) {
        let mut spec = json!({
            "dnsNames": [pki::WILDCARD], "secretRef": {"namespace": secret.0, "name": secret.1},
            "issuerRef": {"name": self.issuer.name()},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate", "metadata": {"name": name}, "spec": spec,
        });
        let params = PatchParams::apply(manager).force();
        self.certificates().patch(name, &params, &Patch::Apply(&object)).await.expect("applied");
    }
}

/// Uid and resourceVersion of the gateway's Secret.
pub async fn gateways_secret(world: &World) -> Option<(String, String)> {
    let secret = world.gateway_secret().await?;
    Some((secret.uid()?, secret.resource_version()?))
}

/// The leaf of a Secret's pair.
pub fn fingerprint(secret: &Secret) -> Option<String> {
    let (certificate, key) = (value(secret, "tls.crt"), value(secret, "tls.key"));
    let found = read(&Supplied { certificate: certificate.as_deref(), key: key.as_deref(), staple: None });
    found.pair().map(|pair| pair.fingerprint().to_string())
}
