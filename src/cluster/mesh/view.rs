//! From what is known of Gateways, Services and pods to what is to be asked of whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::kinds::{FilterFacts, GatewayFacts, PodFacts, ServiceFacts};
use chrono::{DateTime, Utc};

use crate::lifecycle::{
    ObjectName, Wants,
    gateway_object::GatewayObject,
    serving::{Credential, Gateway, Pod, PodState, Question, Questions, Server, Service, Unaskable, questions, rivals},
};

/// What is known of those who serve a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeshView {
    /// The spec says that nobody be asked.
    Off,
    /// Something was not read yet.
    Pending,
    /// The API server refuses: what is missing.
    Denied(String),
    /// The API server knows no Gateways.
    NotInstalled,
    /// Every Gateway that hands out the Secret.
    Known(Vec<AskedGateway>),
}

/// A Gateway that hands out the Secret, and what is to be asked of its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedGateway {
    /// Its name.
    pub name: ObjectName,
    /// Its generation.
    pub generation: i64,
    /// Its pods.
    pub pods: Vec<AskedPod>,
    /// What cannot be asked, in words.
    pub unasked: Vec<String>,
    /// The spec names it, and it does not exist or does not hand out the Secret: `unasked` says which.
    pub missing: bool,
    /// Whose policy on the wire is to be held against the Gateway's settings.
    pub policies: Vec<AskedPolicy>,
    /// Servers of other Gateways that may be what is served, in words.
    pub rivals: Vec<String>,
}

/// A pod and what is to be asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPod {
    /// Its name.
    pub name: ObjectName,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// What it is at.
    pub state: PodState,
    /// It has the Secret as files.
    pub files: bool,
    /// The handshakes to make.
    pub asks: Vec<Ask>,
}

/// One handshake to make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    /// The pod's uid.
    pub pod: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The host to ask for: a name, or a wildcard.
    pub host: String,
    /// An EnvoyFilter has the pod expect a PROXY header before TLS.
    pub proxied: bool,
}

/// A server of a Gateway on one pod, and the policy that the Gateway sets for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskedPolicy {
    /// The Gateway.
    pub gateway: ObjectName,
    /// Its server's name.
    pub server: String,
    /// The pod's name.
    pub pod: ObjectName,
    /// The pod's uid.
    pub uid: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The host to ask for: a name, or a wildcard.
    pub host: String,
    /// An EnvoyFilter has the pod expect a PROXY header before TLS.
    pub proxied: bool,
    /// `minProtocolVersion`; empty: Istio's default.
    pub min_version: String,
    /// `maxProtocolVersion`; empty: Istio's default.
    pub max_version: String,
    /// `cipherSuites`; empty: Envoy's default.
    pub suites: Vec<String>,
    /// The pod's port at which plain HTTP is redirected, if the Gateway says so.
    pub redirect: Option<u16>,
}

/// The most pods and servers of one Gateway whose policy is asked for: each costs some thirty connections.
const POLICIES: usize = 8;
/// The most Gateways that are looked at for one Secret, as many as a status lists.
const GATEWAYS: usize = 16;

pub(super) fn view(
    wants: &Wants,
    gateways: &BTreeMap<ObjectName, GatewayFacts>,
    services: &BTreeMap<ObjectName, ServiceFacts>,
    pods: &BTreeMap<ObjectName, PodFacts>,
    filters: &BTreeMap<ObjectName, FilterFacts>,
) -> MeshView {
    let mut oldest: Vec<&ServiceFacts> = services.values().collect();
    oldest.sort_by_key(|facts| facts.created);
    let services: Vec<Service> = oldest.iter().map(|facts| facts.service.clone()).collect();
    let all: Vec<&Gateway> = gateways.values().map(|facts| &facts.gateway).collect();
    let look = Look { wants, services: &services, pods, filters };
    let named = gateways.get(&wants.gateway);
    let mut seen: Vec<AskedGateway> = named.into_iter().filter_map(|facts| look.gateway(facts, &all)).collect();
    // A Gateway that a person names is one that they expect to see.
    if seen.is_empty() && wants.gateway_named {
        let why = match named {
            None => "it does not exist",
            Some(_) => "none of its servers hands out this Secret (credentialName)",
        };
        let unasked = vec![format!("Gateway {}: {why}", wants.gateway)];
        let generation = named.map(|facts| facts.generation).unwrap_or_default();
        let name = wants.gateway.clone();
        seen.push(AskedGateway {
            name,
            generation,
            pods: Vec::new(),
            unasked,
            missing: true,
            policies: Vec::new(),
            rivals: Vec::new(),
        });
    }
    let others = gateways.values().filter(|facts| facts.gateway.name != wants.gateway);
    seen.extend(others.filter_map(|facts| look.gateway(facts, &all)).take(GATEWAYS - seen.len()));
    MeshView::Known(seen)
}

/// What is known of Services and pods, where they may be seen.
type Around<'a> = (&'a BTreeMap<ObjectName, ServiceFacts>, &'a BTreeMap<ObjectName, PodFacts>);

/// The Gateways as objects.
pub(super) fn objects(
    wants: &Wants,
    gateways: &BTreeMap<ObjectName, GatewayFacts>,
    around: Option<Around<'_>>,
) -> Vec<GatewayObject> {
    let object = |facts: &GatewayFacts| {
        let gateway = &facts.gateway;
        let selects = around.map(|(services, pods)| {
            pods.values().any(|facts| facts.pod.state != PodState::Ended && gateway.selects(&facts.pod.labels))
                || services.values().any(|facts| gateway.selects(&facts.service.selector))
        });
        GatewayObject {
            here: gateway.name == wants.gateway || selects == Some(true),
            gateway: gateway.clone(),
            facts: facts.object.clone(),
            selects,
        }
    };
    gateways.values().map(object).collect()
}

struct Look<'a> {
    wants: &'a Wants,
    services: &'a [Service],
    pods: &'a BTreeMap<ObjectName, PodFacts>,
    filters: &'a BTreeMap<ObjectName, FilterFacts>,
}

impl Look<'_> {
    /// `None`: it has nothing to do with the Secret.
    fn gateway(&self, facts: &GatewayFacts, all: &[&Gateway]) -> Option<AskedGateway> {
        let gateway = self.narrowed(&facts.gateway);
        let pods: Vec<Pod> = self.pods.values().map(|facts| facts.pod.clone()).collect();
        let mut asks: BTreeMap<String, Vec<Ask>> = BTreeMap::new();
        let mut policies = BTreeSet::new();
        let mut unasked = Vec::new();
        let ours = gateway.servers.iter().any(|server| self.hands_out(&gateway, server))
            || !self.questions(&gateway, &pods, None).asked.is_empty();
        if !ours {
            return None;
        }
        let names: Vec<Option<&str>> = match self.wants.probe.hosts.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().map(|host| Some(host.as_str())).collect(),
        };
        for name in names {
            let questions = self.questions(&gateway, &pods, name);
            self.note(&questions, &mut asks);
            policies.extend(questions.asked.iter().filter_map(|question| self.policy(&gateway, question)));
            for one in questions.unasked {
                if one.why == Unaskable::NoName
                    && let Some(domain) = &self.wants.domain
                {
                    self.note(&self.questions(&gateway, &pods, Some(&format!("*.{domain}"))), &mut asks);
                } else if one.why.leaves_doubt() && self.hands_out(&gateway, one.server) {
                    unasked.push(format!(
                        "server {} of Gateway {}: {}",
                        one.server.name,
                        gateway.name,
                        one.why.as_str()
                    ));
                }
            }
        }
        let policies = policies.into_iter().take(POLICIES).collect();
        let selected = self.pods.values().filter(|facts| facts.pod.state != PodState::Ended);
        let selected = selected.filter(|facts| gateway.selects(&facts.pod.labels));
        Some(AskedGateway {
            name: gateway.name.clone(),
            generation: facts.generation,
            pods: selected.map(|facts| self.pod(facts, &mut asks)).collect(),
            unasked,
            missing: false,
            policies,
            rivals: rivals(&gateway, all, |of, server| self.hands_out(of, server)),
        })
    }

    fn pod(&self, facts: &PodFacts, asks: &mut BTreeMap<String, Vec<Ask>>) -> AskedPod {
        let pod = &facts.pod;
        let mut asks = asks.remove(&pod.uid).unwrap_or_default();
        asks.sort();
        asks.dedup();
        AskedPod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            created: facts.created,
            state: pod.state,
            files: facts.mounts.contains(&self.wants.gateway_secret.name),
            asks,
        }
    }

    /// The Gateway with the one server that the spec picks, where it picks one of this Gateway.
    fn narrowed(&self, gateway: &Gateway) -> Gateway {
        let mut gateway = gateway.clone();
        if let Some(server) = self.wants.server.as_ref().filter(|_| gateway.name == self.wants.gateway) {
            gateway.servers.retain(|known| known.name == *server || known.tls.as_ref().is_none_or(|tls| tls.redirect));
        }
        gateway
    }

    /// A name without a namespace means a Secret in the namespace of the pods: it is ours if they are there.
    fn hands_out(&self, gateway: &Gateway, server: &Server) -> bool {
        let secret = &self.wants.gateway_secret;
        let namespace = if self.is_here(gateway) { secret.namespace.as_str() } else { "" };
        let credential = server.tls.as_ref().and_then(|tls| tls.credential.as_ref());
        credential.is_some_and(|name| Credential::of(name, namespace).secret() == Some(secret))
    }

    /// Its pods are in the Secret's namespace: one is there, or a Service for them, or the spec means this Gateway.
    fn is_here(&self, gateway: &Gateway) -> bool {
        gateway.name == self.wants.gateway
            || self.pods.values().any(|facts| gateway.selects(&facts.pod.labels))
            || self.services.iter().any(|service| gateway.selects(&service.selector))
    }

    /// What there is to ask about the Secret: the servers that hand it out, and files that are mounted from it.
    fn questions<'b>(&self, gateway: &'b Gateway, pods: &'b [Pod], name: Option<&str>) -> Questions<'b> {
        let mut questions = questions(gateway, self.services, pods, name);
        let secret = &self.wants.gateway_secret;
        questions.asked.retain(|question| match &question.credential {
            Credential::Files => {
                self.pods.get(&question.pod.name).is_some_and(|facts| facts.mounts.contains(&secret.name))
            }
            credential => credential.secret() == Some(secret),
        });
        questions
    }

    fn note(&self, questions: &Questions<'_>, asks: &mut BTreeMap<String, Vec<Ask>>) {
        for question in &questions.asked {
            let (address, proxied) = (self.address(question), self.is_proxied(question));
            let ask = Ask { pod: question.pod.uid.clone(), address, host: question.host.clone(), proxied };
            asks.entry(question.pod.uid.clone()).or_default().push(ask);
        }
    }

    fn address(&self, question: &Question<'_>) -> SocketAddr {
        let port = self.wants.probe.port.unwrap_or(question.address.port());
        SocketAddr::new(question.address.ip(), port)
    }

    /// An EnvoyFilter has the pod expect a PROXY header.
    fn is_proxied(&self, question: &Question<'_>) -> bool {
        let labels = &question.pod.labels;
        self.filters.values().any(|filter| {
            filter.proxy_protocol && filter.selector.iter().all(|(label, value)| labels.get(label) == Some(value))
        })
    }

    /// What is to be asked about the policy; `None` of a pod that is not ready.
    fn policy(&self, gateway: &Gateway, question: &Question<'_>) -> Option<AskedPolicy> {
        let tls = question.tls;
        (question.pod.state == PodState::Ready).then(|| AskedPolicy {
            gateway: gateway.name.clone(),
            server: question.server.name.clone(),
            pod: question.pod.name.clone(),
            uid: question.pod.uid.clone(),
            address: self.address(question),
            host: question.host.clone(),
            proxied: self.is_proxied(question),
            min_version: tls.min_version.clone(),
            max_version: tls.max_version.clone(),
            suites: tls.suites.clone(),
            redirect: question.redirect,
        })
    }
}
