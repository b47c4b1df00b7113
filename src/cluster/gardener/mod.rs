//! What is known of Gardener: the Certificates of the namespaces that ask for one, and the cluster's domain.

mod facts;
mod kinds;
mod write;

use std::collections::BTreeSet;

use kube::Client;
use tokio::sync::mpsc;

use self::kinds::{Certificates, ShootInfos};
use super::board::{Board, View};
use crate::{
    api::{SHOOT_INFO_NAME, SHOOT_INFO_NAMESPACE, gardener::Certificate},
    lifecycle::{
        Object, ObjectName,
        gardener::{Domain, Gardener, Sight},
    },
};

pub(super) use facts::time;
pub use write::{look, write};

/// More than a domain may have (RFC 1035 2.3.4).
const LONGEST_DOMAIN: usize = 300;

/// The watches. Cloning shares them.
#[derive(Clone)]
pub struct GardenerStore {
    certificates: Board<Certificates>,
    shoot: Board<ShootInfos>,
}

impl std::fmt::Debug for GardenerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GardenerStore").finish_non_exhaustive()
    }
}

impl GardenerStore {
    /// No watches yet. The name of each GatewayCertificate that a change concerns is sent to `wake`.
    #[must_use]
    pub fn new(client: Client, wake: mpsc::Sender<ObjectName>) -> Self {
        Self { certificates: Board::new(client.clone(), wake.clone()), shoot: Board::new(client, wake) }
    }

    /// The domain of an object whose spec leaves it to the cluster.
    ///
    /// # Errors
    /// Why there is none.
    pub fn domain(&self, by: &ObjectName) -> Result<String, Domain> {
        let place = format!("ConfigMap {SHOOT_INFO_NAMESPACE}/{SHOOT_INFO_NAME}");
        let known = match self.shoot.look(Some(SHOOT_INFO_NAMESPACE), by) {
            View::Pending => return Err(Domain::Pending),
            View::Denied(rule) => return Err(Domain::Missing(format!("{place} cannot be read: {rule}"))),
            View::Unknown => return Err(Domain::Missing(format!("{place} does not exist"))),
            View::Known(known) => known,
        };
        let name = ObjectName::new(SHOOT_INFO_NAMESPACE, SHOOT_INFO_NAME);
        let Some(info) = known.get(&name) else { return Err(Domain::Missing(format!("{place} does not exist"))) };
        let plain = |domain: &str| domain.trim().trim_end_matches('.').to_ascii_lowercase();
        // One that is too long is refused, and need not be repeated whole.
        let domain =
            info.domain.as_deref().map(|domain| plain(&domain.chars().take(LONGEST_DOMAIN).collect::<String>()));
        domain.filter(|domain| !domain.is_empty()).ok_or_else(|| Domain::Missing(format!("{place} has no key domain")))
    }

    /// What is known of the Certificate of this object; starts the watches that takes, and ends those that it takes no more.
    #[must_use]
    pub fn look(&self, object: &Object) -> Gardener {
        let by = &object.name;
        if object.wants.gardener.is_none() || object.wants.domain_given {
            self.shoot.keep_only(by, &[]);
        }
        // What was requested for an object that needs it no more is looked at until it is gone.
        let name = match (&object.wants.gardener, &object.previous.issuance) {
            (Some(wants), _) => wants.certificate.clone(),
            (None, Some(issuance)) => ObjectName::new(&by.namespace, &issuance.certificate),
            (None, None) => {
                self.certificates.keep_only(by, &[]);
                return Gardener::default();
            }
        };
        let certificate = match self.certificates.look(Some(&name.namespace), by) {
            View::Pending => Sight::Pending,
            View::Denied(rule) => Sight::Denied(rule),
            View::Unknown => Sight::NotInstalled,
            View::Known(known) => {
                known.get(&name).map_or(Sight::Absent, |known| Sight::Present(Box::new(known.clone())))
            }
        };
        self.certificates.keep_only(by, &[Some(name.namespace)]);
        Gardener { certificate, ..Gardener::default() }
    }

    /// Takes note of a Certificate that `by` read or wrote; `None`: there is none.
    pub fn note(&self, name: &ObjectName, found: Option<&Certificate>, by: &ObjectName) {
        self.certificates.note(name, found, by);
    }

    /// Ends the interest of this GatewayCertificate.
    pub fn forget(&self, by: &ObjectName) {
        self.certificates.keep_only(by, &[]);
        self.shoot.keep_only(by, &[]);
    }

    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.certificates.sweep(alive);
        self.shoot.sweep(alive);
    }
}
