//! Who serves a gateway's Secret, watched: every Gateway of the cluster, and the Services, pods and EnvoyFilters of the
//! namespace in which the Secret lies, as facts only. [`MeshStore::look`] turns them into what is to be asked of whom.

mod kinds;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::Client;
use tokio::sync::mpsc;

use self::kinds::{EnvoyFilters, FilterFacts, Gateways, Pods, Services};
use super::board::{Board, View};
use crate::{
    api::IstioGateway,
    lifecycle::{ObjectName, Proxy, Wants, gateway_object::Gateways as GatewayObjects},
};

pub use view::{Ask, AskedGateway, AskedPod, AskedPolicy, MeshView};

/// The watches. Cloning shares them.
#[derive(Clone)]
pub struct MeshStore {
    gateways: Board<Gateways>,
    services: Board<Services>,
    pods: Board<Pods>,
    filters: Board<EnvoyFilters>,
}

impl std::fmt::Debug for MeshStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshStore").finish_non_exhaustive()
    }
}

impl MeshStore {
    /// No watches yet. The name of each GatewayCertificate that a change concerns is sent to `wake`.
    #[must_use]
    pub fn new(client: Client, wake: mpsc::Sender<ObjectName>) -> Self {
        Self {
            gateways: Board::new(client.clone(), wake.clone()),
            services: Board::new(client.clone(), wake.clone()),
            pods: Board::new(client.clone(), wake.clone()),
            filters: Board::new(client, wake),
        }
    }

    /// Who serves the Secret that `wants` names, and what is to be asked of them; starts the watches that takes, and
    /// ends those that it takes no more.
    #[must_use]
    pub fn look(&self, wants: &Wants, by: &ObjectName) -> MeshView {
        if !wants.probe.enabled {
            self.services.keep_only(by, &[]);
            self.pods.keep_only(by, &[]);
            self.filters.keep_only(by, &[]);
            if !wants.gateway_object.watch {
                self.gateways.keep_only(by, &[]);
            }
            return MeshView::Off;
        }
        let namespace = wants.gateway_secret.namespace.as_str();
        let (services, pods) = (self.services.look(Some(namespace), by), self.pods.look(Some(namespace), by));
        self.services.keep_only(by, &[Some(namespace.to_owned())]);
        self.pods.keep_only(by, &[Some(namespace.to_owned())]);
        let gateways = self.gateways(wants, by);
        // All that are missing at once: whoever grants them shall not come back for the next.
        let rules: Vec<String> = [gateways.denied(), services.denied(), pods.denied()].into_iter().flatten().collect();
        if !rules.is_empty() {
            return MeshView::Denied(rules.join("; "));
        }
        match (gateways, services, pods) {
            (View::Unknown, ..) => MeshView::NotInstalled,
            (View::Known(gateways), View::Known(services), View::Known(pods)) => match self.filters(wants, by) {
                Some(filters) => view::view(wants, &gateways, &services, &pods, &filters),
                None => MeshView::Pending,
            },
            _ => MeshView::Pending,
        }
    }

    /// The Gateways themselves, all that may be seen.
    #[must_use]
    pub fn objects(&self, wants: &Wants, by: &ObjectName) -> GatewayObjects {
        if !wants.probe.enabled && !wants.gateway_object.watch {
            return GatewayObjects::NotLookedAt;
        }
        let gateways = match self.gateways(wants, by) {
            View::Pending => return GatewayObjects::Pending,
            View::Denied(rule) => return GatewayObjects::Denied(rule),
            View::Unknown => return GatewayObjects::NotInstalled,
            View::Known(gateways) => gateways,
        };
        if !wants.probe.enabled {
            return GatewayObjects::Known(view::objects(wants, &gateways, None));
        }
        let namespace = wants.gateway_secret.namespace.as_str();
        match (self.services.look(Some(namespace), by), self.pods.look(Some(namespace), by)) {
            (View::Pending, _) | (_, View::Pending) => GatewayObjects::Pending,
            (View::Known(services), View::Known(pods)) => {
                GatewayObjects::Known(view::objects(wants, &gateways, Some((&services, &pods))))
            }
            _ => GatewayObjects::Known(view::objects(wants, &gateways, None)),
        }
    }

    /// Takes note of a Gateway that `by` read or wrote; `None`: there is none.
    pub fn note(&self, name: &ObjectName, found: Option<&IstioGateway>, by: &ObjectName) {
        self.gateways.note(name, found, by);
    }

    /// The EnvoyFilters beside the pods, where the spec asks what they say of the PROXY protocol; `None` until they were
    /// read. Where they may not be seen none is assumed: a gateway that expects a header then shows as one that does not
    /// answer.
    fn filters(&self, wants: &Wants, by: &ObjectName) -> Option<Arc<BTreeMap<ObjectName, FilterFacts>>> {
        if wants.probe.proxy != Proxy::Auto {
            self.filters.keep_only(by, &[]);
            return Some(Arc::default());
        }
        let namespace = wants.gateway_secret.namespace.as_str();
        let view = self.filters.look(Some(namespace), by);
        self.filters.keep_only(by, &[Some(namespace.to_owned())]);
        match view {
            View::Pending => None,
            View::Denied(_) | View::Unknown => Some(Arc::default()),
            View::Known(filters) => Some(filters),
        }
    }

    /// All Gateways of the cluster or, where those may not be seen, those of the namespace that the spec names.
    fn gateways(&self, wants: &Wants, by: &ObjectName) -> View<kinds::GatewayFacts> {
        let everywhere = self.gateways.look(None, by);
        let View::Denied(_) = everywhere else {
            self.gateways.keep_only(by, &[None]);
            return everywhere;
        };
        let namespace = &wants.gateway.namespace;
        let here = self.gateways.look(Some(namespace), by);
        self.gateways.keep_only(by, &[None, Some(namespace.clone())]);
        match here {
            // The wider rule is the one to grant.
            View::Denied(_) => everywhere,
            here => here,
        }
    }

    /// Ends the interest of this GatewayCertificate.
    pub fn forget(&self, by: &ObjectName) {
        self.gateways.keep_only(by, &[]);
        self.services.keep_only(by, &[]);
        self.pods.keep_only(by, &[]);
        self.filters.keep_only(by, &[]);
    }

    /// Ends the interest of every GatewayCertificate that is not among these.
    pub fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.gateways.sweep(alive);
        self.services.sweep(alive);
        self.pods.sweep(alive);
        self.filters.sweep(alive);
    }
}
