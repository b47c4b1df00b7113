//! Asks gateway pods what they serve, in the rhythm that the plan wants: at once after a change and then each second,
//! seldom at rest. Answers that differ from those before wake the GatewayCertificate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    cluster::mesh::{Ask, AskedGateway, AskedPod, MeshView},
    gateway::{Dial, ProxyHeader, Question, ServedChain, ask_for, shake},
    lifecycle::{
        GatewayReport, ObjectName, Pace,
        serving::{Answer, GatewaySight, Mesh, PodSight, ServedLeaf},
    },
};

/// Handshakes under way at a time, whoever they are for.
const AT_ONCE: usize = 16;
/// How long a handshake may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The time between two rounds right after a change; doubled up to [`FAST`].
const FIRST: Duration = Duration::from_millis(100);
/// The time between two rounds while something is to be expected.
const FAST: Duration = Duration::from_secs(1);
/// The time between two rounds at rest, give or take a tenth of it.
const REST: Duration = Duration::from_secs(60);
/// For so long after a change pods that do not answer are asked as often as those that are expected to change.
const EAGER: Duration = Duration::from_secs(30);
/// The time between two rounds later, while some pod does not answer.
const UNWELL: Duration = Duration::from_secs(5);
/// How long further answers are waited for before a change is told: the pods of a gateway change at nearly one time.
const SETTLE: Duration = Duration::from_millis(20);
/// A pod that answered until now is asked a second time before its silence counts.
const SECOND_TRY: Duration = Duration::from_millis(250);

/// Everybody who is asked. Cloning shares it.
#[derive(Clone)]
pub(super) struct Prober {
    dial: Arc<dyn Dial>,
    permits: Arc<Semaphore>,
    inner: Arc<Mutex<BTreeMap<ObjectName, Probing>>>,
    wake: mpsc::Sender<ObjectName>,
    /// The label that is asked for under a wildcard: one that nobody gave a certificate or a route of its own.
    label: Arc<str>,
    /// The time between two rounds at rest: drawn once, so that not all installations ask at one time.
    rest: Duration,
}

/// What is asked for one GatewayCertificate.
struct Probing {
    asks: BTreeSet<Ask>,
    proxy: ProxyHeader,
    known: BTreeMap<Ask, Known>,
    /// What the status told of the pods when it was seen or published last.
    told: Option<Told>,
    pace: Pace,
    kick: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a status tells of the pods.
pub(super) type Told = (Option<(usize, usize)>, Vec<GatewayReport>);

/// What came of asking.
struct Known {
    answer: Answer,
    /// It is as new as what the status tells.
    fresh: bool,
    /// A handshake was completed once.
    answered: bool,
}

impl Prober {
    pub(super) fn new(dial: Arc<dyn Dial>, wake: mpsc::Sender<ObjectName>) -> Self {
        let label: String = std::iter::repeat_with(fastrand::lowercase).take(12).collect();
        Self {
            dial,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            inner: Arc::default(),
            wake,
            label: label.into(),
            rest: REST.mul_f64(0.9 + 0.2 * fastrand::f64()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, Probing>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of who is to be asked, and tells what they answered until now. `told`: what the status tells; if that
    /// is not what was seen or published last, another replica knows better, and they are asked again before it is
    /// contradicted.
    pub(super) fn see(&self, view: MeshView, proxy: ProxyHeader, told: Told, by: &ObjectName) -> Mesh {
        let gateways = match view {
            MeshView::Off => return self.nobody(by, Mesh::Off),
            MeshView::Pending => return Mesh::Pending,
            MeshView::Denied(rule) => return self.nobody(by, Mesh::Denied(rule)),
            MeshView::NotInstalled => return self.nobody(by, Mesh::NotInstalled),
            MeshView::Known(gateways) => gateways,
        };
        let asks: BTreeSet<Ask> =
            gateways.iter().flat_map(|gateway| &gateway.pods).flat_map(|pod| &pod.asks).cloned().collect();
        let mut inner = self.lock();
        let probing = inner.entry(by.clone()).or_insert_with(|| self.begin(by));
        if probing.proxy != proxy {
            probing.proxy = proxy;
            probing.known.clear();
        }
        if probing.told.as_ref().is_some_and(|before| *before != told) {
            probing.known.values_mut().for_each(|known| known.fresh = false);
            probing.kick.notify_one();
        }
        probing.told = Some(told);
        if asks.iter().any(|ask| !probing.asks.contains(ask)) {
            probing.kick.notify_one();
        }
        probing.known.retain(|ask, _| asks.contains(ask));
        probing.asks = asks;
        Mesh::Known(gateways.into_iter().map(|gateway| probing.sight(gateway)).collect())
    }

    fn nobody(&self, by: &ObjectName, mesh: Mesh) -> Mesh {
        self.lock().remove(by);
        mesh
    }

    fn begin(&self, by: &ObjectName) -> Probing {
        let kick = Arc::new(Notify::new());
        let task = tokio::spawn(self.clone().ask(by.clone(), kick.clone())).abort_handle();
        Probing {
            asks: BTreeSet::new(),
            proxy: ProxyHeader::None,
            known: BTreeMap::new(),
            told: None,
            pace: Pace::Rest,
            kick,
            task,
        }
    }

    /// Sets how often they are asked.
    pub(super) fn pace(&self, by: &ObjectName, pace: Pace) {
        let mut inner = self.lock();
        if pace == Pace::Off {
            inner.remove(by);
        } else if let Some(probing) = inner.get_mut(by) {
            if pace == Pace::Fast && probing.pace != pace {
                probing.kick.notify_one();
            }
            probing.pace = pace;
        }
    }

    /// Takes note of what was published of them.
    pub(super) fn published(&self, by: &ObjectName, told: Told) {
        if let Some(probing) = self.lock().get_mut(by) {
            probing.told = Some(told);
        }
    }

    /// Something that they serve has just been written.
    pub(super) fn kick(&self, by: &ObjectName) {
        if let Some(probing) = self.lock().get(by) {
            probing.kick.notify_one();
        }
    }

    /// Ends whatever is asked for GatewayCertificates that are not among these.
    pub(super) fn sweep(&self, alive: &BTreeSet<ObjectName>) {
        self.lock().retain(|by, _| alive.contains(by));
    }

    async fn ask(self, by: ObjectName, kick: Arc<Notify>) {
        let mut flying = FuturesUnordered::new();
        let mut busy: BTreeSet<Ask> = BTreeSet::new();
        let (mut next, mut wait, mut news) = (Instant::now(), FIRST, None);
        let mut eager = next + EAGER;
        loop {
            tokio::select! {
                biased;
                Some((ask, served)) = flying.next(), if !flying.is_empty() => {
                    busy.remove(&ask);
                    if self.note(&by, ask, served) {
                        news = news.or(Some(Instant::now() + SETTLE));
                    }
                }
                () = sleep_until(news.unwrap_or(next)), if news.is_some() => {
                    news = None;
                    // The receiver is gone only at shutdown.
                    let _ = self.wake.send(by.clone()).await;
                }
                () = kick.notified() => (next, wait, eager) = (Instant::now(), FIRST, Instant::now() + EAGER),
                () = sleep_until(next) => {
                    let Some((asks, proxy, pace, well)) = self.due(&by) else { return };
                    for ask in asks.into_iter().filter(|ask| !busy.contains(ask)).collect::<Vec<Ask>>() {
                        busy.insert(ask.clone());
                        flying.push(self.one(&by, ask, proxy));
                    }
                    let now = Instant::now();
                    (next, wait) = match pace {
                        Pace::Fast => (now + wait, (wait * 2).min(FAST)),
                        Pace::Rest if !well && now < eager => (now + wait, (wait * 2).min(FAST)),
                        Pace::Rest if !well => (now + UNWELL, FIRST),
                        Pace::Rest | Pace::Off => (now + self.rest, FIRST),
                    };
                }
            }
        }
    }

    /// Whom to ask, how, how often, and whether all of them answered when they were asked last.
    fn due(&self, by: &ObjectName) -> Option<(BTreeSet<Ask>, ProxyHeader, Pace, bool)> {
        let inner = self.lock();
        let probing = inner.get(by)?;
        let well = probing.asks.iter().all(|ask| probing.known.get(ask).is_some_and(Known::is_well));
        Some((probing.asks.clone(), probing.proxy, probing.pace, well))
    }

    async fn one(&self, by: &ObjectName, ask: Ask, proxy: ProxyHeader) -> (Ask, Result<ServedChain, (String, String)>) {
        let before = self.lock().get(by).and_then(|probing| probing.known.get(&ask)).is_some_and(Known::is_well);
        let mut served = self.shake(&ask, proxy).await;
        if served.is_err() && before {
            sleep(SECOND_TRY).await;
            served = self.shake(&ask, proxy).await;
        }
        (ask, served)
    }

    async fn shake(&self, ask: &Ask, proxy: ProxyHeader) -> Result<ServedChain, (String, String)> {
        let _permit = self.permits.acquire().await;
        // A host without a name to ask for is no question.
        let name = ask_for(&ask.host, &self.label).unwrap_or_else(|| ask.host.clone());
        // Envoy takes both versions.
        let proxy = if ask.proxied { ProxyHeader::V2 } else { proxy };
        let question = Question { proxy, ..Question::new(ask.address, &name, LIMIT) };
        shake(self.dial.as_ref(), &question)
            .await
            .map_err(|error| (error.reason().name.to_owned(), error.to_string().replace(name.as_str(), &ask.host)))
    }

    /// Takes note of an answer; whether it differs from the one before.
    fn note(&self, by: &ObjectName, ask: Ask, served: Result<ServedChain, (String, String)>) -> bool {
        let mut inner = self.lock();
        let Some(probing) = inner.get_mut(by).filter(|probing| probing.asks.contains(&ask)) else { return false };
        let before = probing.known.get(&ask);
        let answered = served.is_ok() || before.is_some_and(|known| known.answered);
        let answer = match served {
            // The same failure in other words is no news: each would be a write of the status.
            Err((reason, message)) => match before.map(|known| &known.answer) {
                Some(Answer::Failed { reason: same, message, .. }) if *same == reason => {
                    Answer::Failed { reason, message: message.clone(), answered_before: answered }
                }
                _ => Answer::Failed { reason, message, answered_before: answered },
            },
            Ok(chain) => match before.map(|known| &known.answer) {
                Some(Answer::Leaf(leaf)) if leaf.fingerprint == chain.fingerprint.to_string() => {
                    Answer::Leaf(leaf.clone())
                }
                _ => Answer::Leaf(leaf(&chain)),
            },
        };
        let same = before.is_some_and(|known| known.answer == answer && known.fresh);
        probing.known.insert(ask, Known { answer, answered, fresh: true });
        !same
    }
}

impl Known {
    fn is_well(&self) -> bool {
        matches!(self.answer, Answer::Leaf(_))
    }
}

impl Probing {
    fn sight(&self, gateway: AskedGateway) -> GatewaySight {
        let answer = |ask: &Ask| self.known.get(ask).filter(|known| known.fresh).map(|known| known.answer.clone());
        let pod = |pod: AskedPod| PodSight {
            answers: pod.asks.iter().map(answer).collect(),
            name: pod.name,
            uid: pod.uid,
            created: pod.created,
            state: pod.state,
            files: pod.files,
        };
        let AskedGateway { name, generation, pods, unasked, missing, rivals, policies: _ } = gateway;
        let pods = pods.into_iter().map(pod).collect();
        GatewaySight { name, generation, pods, unasked, missing, policy: None, rivals }
    }
}

fn leaf(chain: &ServedChain) -> ServedLeaf {
    let facts = chain.facts();
    let leaf = facts.leaf();
    ServedLeaf {
        fingerprint: chain.fingerprint.to_string(),
        serial: leaf.map(|leaf| leaf.serial.clone()).unwrap_or_default(),
        not_after: leaf.map(|leaf| leaf.not_after),
    }
}
