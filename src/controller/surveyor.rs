//! Asks gateway pods which protocol versions and cipher suites they accept and whether they redirect: soon after they or
//! their Gateway appear or change, and seldom otherwise. What differs from the Gateway's own settings is a finding; that is
//! how an edit is seen which Envoy refused in silence (FACTS, "Measured here": while a bad pair is stored).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::sleep,
};

use crate::{
    certificate::Facts,
    cluster::mesh::{AskedGateway, AskedPolicy, MeshView},
    gateway::{
        Dial, HandshakeError, ProxyHeader, Question, ServedChain, ask_for, shake,
        wire::{Expectation, Survey, judge, survey},
    },
    lifecycle::{FindingSummary, ObjectName, finding_summary},
};

/// Surveys under way at a time, whoever they are for: each makes some thirty connections.
const AT_ONCE: usize = 2;
/// Connections of one survey at a time.
const CONNECTIONS: usize = 4;
/// How long each question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The time that a change has to reach the pods before they are asked about it.
const SETTLE: Duration = Duration::from_secs(5);
/// The time until what differs is looked at again; doubled up to [`REST`].
const AGAIN: Duration = Duration::from_secs(10);
/// The longest time until a pod that does not answer in TLS is tried again.
const UNWELL: Duration = Duration::from_secs(300);
/// The time between two surveys where all is well.
const REST: Duration = Duration::from_secs(6 * 3600);

/// Everybody who is surveyed. Cloning shares it.
#[derive(Clone)]
pub(super) struct Surveyor {
    dial: Arc<dyn Dial>,
    permits: Arc<Semaphore>,
    inner: Arc<Mutex<BTreeMap<ObjectName, Surveyed>>>,
    wake: mpsc::Sender<ObjectName>,
    /// The label that is asked for under a wildcard.
    label: Arc<str>,
}

/// What is surveyed for one GatewayCertificate.
#[derive(Default)]
struct Surveyed {
    proxy: ProxyHeader,
    known: BTreeMap<AskedPolicy, Known>,
}

struct Known {
    /// What differs; `None` until that is known.
    found: Option<Vec<FindingSummary>>,
    task: AbortHandle,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What differs on the wire, by Gateway. A Gateway that is not here was not surveyed yet.
pub(super) type Differences = BTreeMap<ObjectName, Vec<FindingSummary>>;

impl Surveyor {
    pub(super) fn new(dial: Arc<dyn Dial>, wake: mpsc::Sender<ObjectName>) -> Self {
        let label: String = std::iter::repeat_with(fastrand::lowercase).take(12).collect();
        Self { dial, permits: Arc::new(Semaphore::new(AT_ONCE)), inner: Arc::default(), wake, label: label.into() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, Surveyed>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of who is to be surveyed, and tells what is known until now.
    pub(super) fn see(&self, view: &MeshView, proxy: ProxyHeader, by: &ObjectName) -> Differences {
        let mut inner = self.lock();
        let gateways = match view {
            MeshView::Pending => return Differences::new(),
            MeshView::Known(gateways) => gateways.as_slice(),
            MeshView::Off | MeshView::Denied(_) | MeshView::NotInstalled => &[],
        };
        if gateways.is_empty() {
            inner.remove(by);
            return Differences::new();
        }
        let surveyed = inner.entry(by.clone()).or_default();
        if surveyed.proxy != proxy {
            *surveyed = Surveyed { proxy, ..Surveyed::default() };
        }
        let wanted: BTreeSet<&AskedPolicy> = gateways.iter().flat_map(|gateway| &gateway.policies).collect();
        surveyed.known.retain(|asked, _| wanted.contains(asked));
        for asked in wanted {
            surveyed.known.entry(asked.clone()).or_insert_with(|| {
                let task = tokio::spawn(self.clone().watch(by.clone(), asked.clone(), proxy)).abort_handle();
                Known { found: None, task }
            });
        }
        gateways.iter().filter_map(|gateway| Some((gateway.name.clone(), surveyed.differences(gateway)?))).collect()
    }

    /// Ends whatever is asked for GatewayCertificates that are not among these.
    pub(super) fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.lock().retain(|by, _| alive.contains(by));
    }

    async fn watch(self, by: ObjectName, asked: AskedPolicy, proxy: ProxyHeader) {
        let (mut before, mut wait) = (None, AGAIN);
        // Not all pods of all installations at one time.
        let spread = 0.9 + 0.2 * fastrand::f64();
        sleep(SETTLE).await;
        loop {
            let found = self.survey(&asked, proxy).await;
            // What differs once may be a listener that is just being changed.
            let certain = found.as_ref().is_some_and(Vec::is_empty) || (found.is_some() && before == found);
            if let Some(found) = found.clone().filter(|_| certain)
                && self.note(&by, &asked, found)
            {
                // The receiver is gone only at shutdown.
                let _ = self.wake.send(by.clone()).await;
            }
            wait = match &found {
                Some(found) if found.is_empty() => REST,
                Some(_) if certain => (wait * 2).min(REST),
                Some(_) => AGAIN,
                None => (wait * 2).min(UNWELL),
            };
            before = found;
            sleep(wait.mul_f64(spread)).await;
        }
    }

    /// Whether it is news.
    fn note(&self, by: &ObjectName, asked: &AskedPolicy, found: Vec<FindingSummary>) -> bool {
        let mut inner = self.lock();
        let Some(known) = inner.get_mut(by).and_then(|surveyed| surveyed.known.get_mut(asked)) else { return false };
        let news = known.found.as_ref() != Some(&found);
        known.found = Some(found);
        news
    }

    /// What differs; `None` where nothing can be told, as nobody answers in TLS.
    async fn survey(&self, asked: &AskedPolicy, proxy: ProxyHeader) -> Option<Vec<FindingSummary>> {
        let _permit = self.permits.acquire().await;
        let name = ask_for(&asked.host, &self.label).unwrap_or_else(|| asked.host.clone());
        let proxy = if asked.proxied { ProxyHeader::V2 } else { proxy };
        let question = Question { proxy, ..Question::new(asked.address, &name, LIMIT) };
        let shaken = shake(self.dial.as_ref(), &question).await;
        if !shaken.as_ref().map_or_else(HandshakeError::may_be_policy, |_| true) {
            return None;
        }
        let facts = shaken.as_ref().ok().map(ServedChain::facts);
        let key = facts.as_ref().and_then(Facts::leaf).map(|leaf| leaf.key.clone());
        let redirect = asked.redirect.map(|port| SocketAddr::new(asked.address.ip(), port));
        let questions =
            Survey { address: asked.address, name: &name, proxy, redirect, limit: LIMIT, at_once: CONNECTIONS };
        let observed = survey(self.dial.as_ref(), &questions).await;
        let (least, most) = (&asked.min_version, &asked.max_version);
        let expectation = Expectation::of_gateway(least, most, &asked.suites, redirect.is_some());
        let (_, findings) = judge(&expectation, &observed, key.as_deref());
        let place = format!("Gateway {}, server {}, pod {}", asked.gateway, asked.server, asked.pod);
        // An unanswered question is no difference, and may be answered the next time.
        let told = findings.iter().filter(|finding| finding.check.name != "policy-unknown");
        Some(told.map(|finding| finding_summary(finding, &place)).collect())
    }
}

impl Surveyed {
    /// `None` until all of it is known.
    fn differences(&self, gateway: &AskedGateway) -> Option<Vec<FindingSummary>> {
        let found = |asked: &AskedPolicy| self.known.get(asked)?.found.clone();
        let found: Option<Vec<Vec<FindingSummary>>> = gateway.policies.iter().map(found).collect();
        found.map(|found| found.into_iter().flatten().collect())
    }
}
