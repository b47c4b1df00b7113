//! The gateway's pods: a Pod object, an Envoy, and an address for each.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use certkeeper_control_plane::Supervised;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use tokio::time::{Instant, sleep};

use crate::{
    Error, PATIENCE, Removal, apply,
    http::get,
    istiod::SECURE_PORT,
    network::Network,
    objects::{self, ACCOUNT, ISTIO},
};

/// Where Envoy's admin interface listens, at its pod's address.
const ADMIN_PORT: u16 = 15000;
/// The first address is istiod's and holds the network; the last is the broadcast address.
const NUMBERS: std::ops::RangeInclusive<u8> = 2..=254;

/// A pod of the gateway and its Envoy.
pub(crate) struct Gateway {
    pub(crate) address: IpAddr,
    /// Ends with the pod; `None` while it is stopped.
    pub(crate) envoy: Option<Supervised>,
    /// How often it was started in this pod.
    pub(crate) starts: i32,
}

/// All pods, and what is needed to start another.
pub(crate) struct Pods {
    pub(crate) client: Client,
    pub(crate) envoy: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) network: Network,
    pub(crate) next: AtomicU8,
    pub(crate) running: Mutex<BTreeMap<String, Gateway>>,
    pub(crate) removed: Mutex<Vec<Removal>>,
}

impl Pods {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Gateway>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), ISTIO)
    }

    /// What Envoys show istiod.
    async fn token(&self) -> Result<String, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), ISTIO);
        let spec = TokenRequestSpec { audiences: vec!["istio-ca".to_owned()], ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await?;
        let status = answer.status.ok_or_else(|| Error::unexpected("a token")("the answer has no status"))?;
        Ok(status.token)
    }

    /// The next address that no pod has, with the pod's name: both belong to the pod from here on.
    fn claim(&self) -> (String, IpAddr) {
        // As a ReplicaSet's: no two pods ever have the same name.
        let suffix: String = std::iter::repeat_with(fastrand::lowercase).take(5).collect();
        let name = format!("istio-ingressgateway-{suffix}");
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let address = IpAddr::V4(self.network.address(number));
            let mut running = self.lock();
            if NUMBERS.contains(&number) && !running.values().any(|gateway| gateway.address == address) {
                running.insert(name.clone(), Gateway { address, envoy: None, starts: 0 });
                return (name, address);
            }
        }
    }

    /// Another pod, ready when this returns; gives its name.
    pub(crate) async fn add(&self) -> Result<String, Error> {
        let (name, address) = self.claim();
        let address = address.to_string();
        apply(&self.client, &objects::bind(&address)).await?;
        let pod: Pod = serde_json::from_value(objects::pod(&name, &address)).map_err(Error::unexpected("a pod"))?;
        self.api().create(&PostParams::default(), &pod).await?;
        self.start(&name).await?;
        self.until_ready(&name).await?;
        Ok(name)
    }

    /// Starts the Envoy of a pod that has none running; it is not ready yet.
    pub(crate) async fn start(&self, name: &str) -> Result<(), Error> {
        let gone = || Error::NoPod(name.to_owned());
        let address = self.lock().get(name).ok_or_else(gone)?.address;
        let ca = self.folder.join("ca.pem").display().to_string();
        let istiod = SocketAddr::from((self.network.address(1), SECURE_PORT));
        let bootstrap = objects::bootstrap(name, &address.to_string(), istiod, &ca, &self.token().await?);
        let config = self.folder.join(format!("{name}.json"));
        std::fs::write(&config, bootstrap.to_string()).map_err(Error::file(&config))?;
        let config = config.display().to_string();
        let mut arguments =
            vec!["-c", &config, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"];
        // As Istio starts it: for so long what a listener was before lives on, and has its part in what is known of
        // Secrets. Envoy's own is ten minutes.
        arguments.extend(["--drain-time-s", "45", "--drain-strategy", "immediate"]);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let log = self.folder.join(format!("{name}.log"));
        let envoy = Supervised::start("envoy", &self.envoy, &arguments, log)?;
        {
            let mut running = self.lock();
            // Deleted in the meantime: the Envoy ends here.
            let gateway = running.get_mut(name).ok_or_else(gone)?;
            gateway.envoy = Some(envoy);
            gateway.starts += 1;
        }
        self.tell(name, false).await
    }

    /// Ends the Envoy of a pod as `kill -9` does; the pod stays, not ready.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), Error> {
        let envoy = self.lock().get_mut(name).ok_or_else(|| Error::NoPod(name.to_owned()))?.envoy.take();
        drop(envoy);
        self.tell(name, false).await
    }

    /// Waits until Envoy calls itself live, and then calls the pod ready.
    pub(crate) async fn until_ready(&self, name: &str) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(name, "/ready").await?.is_none() {
            self.with_envoy(name, Supervised::check)?;
            if Instant::now() > deadline {
                let log = self.with_envoy(name, |envoy| Ok(envoy.tail()))?;
                return Err(Error::Late { part: name.to_owned(), within: PATIENCE, log });
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.tell(name, true).await
    }

    /// What Envoy's admin interface answers with 200 at this path.
    pub(crate) async fn ask(&self, name: &str, path: &str) -> Result<Option<String>, Error> {
        let address = self.lock().get(name).map(|gateway| gateway.address);
        let address = address.ok_or_else(|| Error::NoPod(name.to_owned()))?;
        Ok(get(SocketAddr::new(address, ADMIN_PORT), path).await)
    }

    /// Does this with the Envoy of a pod.
    pub(crate) fn with_envoy<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Supervised) -> Result<T, certkeeper_control_plane::Error>,
    ) -> Result<T, Error> {
        let mut running = self.lock();
        let envoy = running.get_mut(name).and_then(|gateway| gateway.envoy.as_mut());
        Ok(act(envoy.ok_or_else(|| Error::NoPod(name.to_owned()))?)?)
    }

    /// Writes the pod's status, as a kubelet would.
    async fn tell(&self, name: &str, ready: bool) -> Result<(), Error> {
        let known = self.lock().get(name).map(|gateway| (gateway.address.to_string(), gateway.starts));
        let (address, starts) = known.ok_or_else(|| Error::NoPod(name.to_owned()))?;
        let status = Patch::Strategic(objects::pod_status(&address, ready, (starts - 1).max(0)));
        match self.api().patch_status(name, &PatchParams::default(), &status).await {
            // Deleted in the meantime.
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NoPod(name.to_owned())),
            answer => Ok(answer.map(drop)?),
        }
    }
}
