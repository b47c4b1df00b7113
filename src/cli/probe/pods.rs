//! Every pod of a Gateway: who they are is looked up anew in each round.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use futures::{StreamExt, stream};
use kube::Client;

use super::{
    Policy, Probe,
    args::Port,
    expected::{Source, leaf_of},
    random_label,
    report::{AskedGateway, AskedServer, Expected, Probed, Report, Server, UnaskedServer},
    round::{self, Round},
};
use crate::{
    certificate::Roots,
    cli::answer::time,
    clock::{Clock, SystemClock},
    cluster::gateways,
    gateway::{TcpDial, ask_for, wire::Expectation},
    lifecycle::{
        ObjectName,
        serving::{Credential, Gateway, Pod, PodState, Question, Questions, Service, questions},
    },
};

/// What stays the same from round to round.
pub(super) struct PodProber {
    probe: Probe,
    gateway: ObjectName,
    client: Client,
    roots: Option<Roots>,
    /// What is expected of all of them, if that was named.
    source: Source,
    /// The label that is asked for under a wildcard.
    label: String,
    /// What was said on standard error: once is enough.
    said: RefCell<BTreeSet<String>>,
}

/// The leaves that the credentials hold now.
type Leaves = BTreeMap<Credential, Option<Expected>>;

impl PodProber {
    pub(super) fn new(probe: Probe, gateway: ObjectName, client: Client, roots: Option<Roots>, source: Source) -> Self {
        Self { probe, gateway, client, roots, source, label: random_label(), said: RefCell::default() }
    }

    /// Asks each pod once. The policy is asked for in the first round only.
    pub(super) async fn round(&self, first: bool) -> Result<Report, String> {
        let gateway = gateways::gateway(&self.client, &self.gateway).await?;
        let pods = self.pods(&gateway).await?;
        let services = self.services(&pods).await?;
        let questions = questions(&gateway, &services, &pods, self.probe.sni.as_deref());
        let common = self.source.read().await?;
        let leaves = if common.is_none() { self.leaves(&questions).await } else { Leaves::new() };
        let now = SystemClock.now();
        let policy = self.probe.policy.unwrap_or(Policy::Gateway);
        let ask = |question| self.one(question, common.as_ref(), &leaves, policy, first, now);
        let servers: Vec<Server> =
            stream::iter(&questions.asked).map(ask).buffered(round::SERVERS_AT_ONCE).collect().await;
        let name = servers.first().map(|server| server.name.clone()).unwrap_or_default();
        let policy = match policy {
            Policy::Kyma => Some("kyma"),
            Policy::Gateway => Some("gateway"),
            Policy::None => None,
        };
        let probed = Probed {
            expected: common,
            policy: policy.filter(|_| first),
            gateway: Some(asked_gateway(&gateway, &pods, &questions)),
            ..self.probe.probed(self.gateway.to_string(), name, time(now))
        };
        Ok(Report::new(probed, servers))
    }

    async fn pods(&self, gateway: &Gateway) -> Result<Vec<Pod>, String> {
        if gateway.selector.is_empty() {
            return Err(format!(
                "Gateway {} has no selector: every gateway of the mesh serves it, and which pods those are it does not \
                 tell; probe one of them by its address",
                gateway.name
            ));
        }
        let found = gateways::pods(&self.client, &gateway.selector).await?;
        if let Some(rule) = found.narrowed {
            self.say(format!("pods were looked for in namespace {} alone: {rule}", gateways::INGRESS_NAMESPACE));
        }
        Ok(found.pods)
    }

    /// The Services of each namespace in which there are pods.
    async fn services(&self, pods: &[Pod]) -> Result<Vec<Service>, String> {
        let namespaces: BTreeSet<&str> = pods.iter().map(|pod| pod.name.namespace.as_str()).collect();
        let mut services = Vec::new();
        for namespace in namespaces {
            services.extend(gateways::services(&self.client, namespace).await?);
        }
        Ok(services)
    }

    /// What each credential holds; what cannot be read is not compared, and said.
    async fn leaves(&self, questions: &Questions<'_>) -> Leaves {
        let mut leaves = Leaves::new();
        for question in &questions.asked {
            if leaves.contains_key(&question.credential) {
                continue;
            }
            let server = &question.server.name;
            if let Credential::Foreign(secret) = &question.credential {
                self.say(format!(
                    "server {server} names Secret {secret}, which is not in the pods' namespace: Istio hands it out \
                     only where a policy allows that"
                ));
            }
            let read = match (&question.credential, question.credential.secret()) {
                (_, Some(secret)) => leaf_of(self.client.clone(), secret).await,
                (Credential::Other(name), _) => Err(format!("the credential {name} of server {server} is no Secret")),
                _ => Err(format!("the pair of server {server} lies in files of the pods")),
            };
            let leaf = read
                .inspect_err(|why| {
                    self.say(format!("{why}; what is served is compared with nothing (--expect-fingerprint may help)"));
                })
                .ok();
            leaves.insert(question.credential.clone(), leaf);
        }
        leaves
    }

    async fn one(
        &self,
        question: &Question<'_>,
        common: Option<&Expected>,
        leaves: &Leaves,
        policy: Policy,
        first: bool,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Server {
        let expected = common.or_else(|| leaves.get(&question.credential).and_then(Option::as_ref));
        let wanted = self.policy(question, policy).filter(|_| first);
        let probe = &self.probe;
        // A host without a name to ask for is no question.
        let name = ask_for(&question.host, &self.label).unwrap_or_else(|| question.host.clone());
        let round = Round {
            name: &name,
            host: &question.host,
            versions: probe.tls.into(),
            proxy: probe.proxy_protocol.into(),
            limit: probe.timeout,
            expected,
            policy: wanted.as_ref().map(|(expectation, port)| (expectation, *port)),
            roots: self.roots.as_ref(),
            now,
        };
        let server = round::one(&TcpDial, question.address, &round).await;
        Server {
            pod: Some(question.pod.name.to_string()),
            ready: Some(question.pod.state == PodState::Ready),
            gateway_server: Some(question.server.name.clone()),
            ..server
        }
    }

    /// The policy to ask for, and where plain HTTP is.
    fn policy(&self, question: &Question<'_>, policy: Policy) -> Option<(Expectation, Option<u16>)> {
        let own = self.probe.redirect_port.map(|Port(port)| port);
        let tls = question.tls;
        match policy {
            Policy::None => None,
            Policy::Kyma => {
                Some((Expectation::kyma(), own.unwrap_or(Some(question.redirect.unwrap_or(question.plain)))))
            }
            Policy::Gateway => {
                let port = own.unwrap_or(question.redirect);
                let (least, most) = (&tls.min_version, &tls.max_version);
                Some((Expectation::of_gateway(least, most, &tls.suites, port.is_some()), port))
            }
        }
    }

    fn say(&self, text: String) {
        if self.said.borrow_mut().insert(text.clone()) {
            crate::cli::complain(&text);
        }
    }
}

fn asked_gateway(gateway: &Gateway, pods: &[Pod], questions: &Questions<'_>) -> AskedGateway {
    let selector: Vec<String> = gateway.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let unasked = |pod: &&Pod| match pod.state {
        PodState::Terminating => true,
        PodState::Ready | PodState::NotReady => pod.address.is_none(),
        PodState::Ended => false,
    };
    let count = |state| pods.iter().filter(|pod| pod.state == state).count();
    let is_unasked = |name: &str| questions.unasked.iter().any(|one| one.server.name == name);
    let asked = gateway.servers.iter().filter(|server| !is_unasked(&server.name));
    AskedGateway {
        selector: selector.join(","),
        servers: asked
            .map(|server| AskedServer {
                gateway_server: server.name.clone(),
                port: server.port,
                hosts: server.hosts.clone(),
                mode: server.tls.as_ref().map(|tls| tls.mode.clone()).unwrap_or_default(),
                credential: server.tls.as_ref().and_then(|tls| tls.credential.clone()),
            })
            .collect(),
        unasked: questions
            .unasked
            .iter()
            .map(|one| UnaskedServer {
                gateway_server: one.server.name.clone(),
                reason: one.why.as_str(),
                leaves_doubt: one.why.leaves_doubt(),
            })
            .collect(),
        ready_pods: count(PodState::Ready),
        not_ready_pods: count(PodState::NotReady),
        unasked_pods: pods.iter().filter(unasked).map(|pod| pod.name.to_string()).collect(),
    }
}
