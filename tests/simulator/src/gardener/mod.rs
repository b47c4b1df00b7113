//! A virtual Gardener: what cert-controller-manager 0.24.1 does with a Certificate and a CA issuer, through any
//! client, so on the API server in memory and on a real one, in real and in paused time.
//!
//! It keeps the real one's order of steps and its words, and its vices with them: it does not watch the Secrets that
//! it writes, takes a Secret with the same digest over instead of issuing, says `Ready` past a certificate's end, and
//! loses the renewal that it planned while an earlier look was still due ([`Settings::loses_renewals`]). The
//! conformance test in `tests/gardener` holds the two against each other. Left out are ACME, CSRs, keystores,
//! self-signed CAs, CertificateRevocations and the controller's Events.

mod certificates;
mod definitions;
mod issuers;
mod material;
mod queue;
mod secrets;
mod status;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use certkeeper::clock::SharedClock;
use kube::Client;
use tokio::{sync::mpsc, task::JoinHandle};

pub use definitions::install;

/// The field manager under which the real one writes, and this one too.
pub const MANAGER: &str = "cert-controller-manager";

/// How a virtual Gardener is set up. The default is a shoot's: the real one's own defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Looks only at Certificates in this namespace, and for Secrets to take over only there and where they point to:
    /// several may then work side by side on one API server. `None`: everywhere.
    pub namespace: Option<String>,
    /// The namespace of the issuers.
    pub issuers: String,
    /// The issuer of Certificates that name none.
    pub default_issuer: String,
    /// Renewed so long before the end; a Certificate must be valid for twice as long.
    pub renewal_window: Duration,
    /// How often each Certificate is looked at anew.
    pub resync: Duration,
    /// From asking an issuer until its answer.
    pub issuing_takes: Duration,
    /// At 0.24.1 a planned renewal is lost where an earlier look at the Certificate was still due when it was planned,
    /// which is so after each issuance: only [`Settings::resync`] or somebody's touch renews then. `false` mends that.
    pub loses_renewals: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: None,
            issuers: "cert-issuers".to_owned(),
            default_issuer: "garden".to_owned(),
            renewal_window: Duration::from_secs(30 * 86_400),
            resync: Duration::from_secs(86_400),
            // Making an RSA key and signing. While that lasts the Certificate is seen to be Pending.
            issuing_takes: Duration::from_millis(200),
            loses_renewals: true,
        }
    }
}

impl Settings {
    /// As the real one is run in tests: certificates of minutes, a look at each every ten seconds.
    #[must_use]
    pub fn brisk() -> Self {
        Self { renewal_window: Duration::from_secs(60), resync: Duration::from_secs(10), ..Self::default() }
    }
}

/// A virtual Gardener at work; dropping it ends it as `kill -9` would.
pub struct VirtualGardener {
    task: JoinHandle<()>,
    shared: Arc<Mutex<Shared>>,
    commands: mpsc::UnboundedSender<(String, String)>,
    client: Client,
}

/// What may change while it works.
pub(crate) struct Shared {
    settings: Settings,
    refusal: Option<String>,
}

impl VirtualGardener {
    /// Starts one. Its definitions must be there ([`install`]), or appear later.
    #[must_use]
    pub fn start(client: Client, clock: SharedClock, settings: Settings) -> Self {
        let shared = Arc::new(Mutex::new(Shared { settings, refusal: None }));
        let (commands, received) = mpsc::unbounded_channel();
        let worker = worker::Worker::new(client.clone(), clock, shared.clone());
        Self { task: tokio::spawn(worker.run(received)), shared, commands, client }
    }

    /// Has every request answered by this error, or issued again after `None`.
    pub fn refuse(&self, error: Option<&str>) {
        self.shared().refusal = error.map(str::to_owned);
    }

    /// Changes settings while it works. What is already planned stays planned.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared().settings);
    }

    /// Has a Certificate be `Revoked`, as the real one does when its CertificateRevocation is done: by marking the
    /// Secret that the Certificate points to.
    ///
    /// # Errors
    /// Where there is no such Certificate or Secret.
    pub async fn revoke(&self, namespace: &str, name: &str) -> Result<(), kube::Error> {
        secrets::revoke(&self.client, namespace, name).await?;
        // Where it has ended there is nobody to be told.
        let _ = self.commands.send((namespace.to_owned(), name.to_owned()));
        Ok(())
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for VirtualGardener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for VirtualGardener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualGardener").field("settings", &self.shared().settings).finish_non_exhaustive()
    }
}
