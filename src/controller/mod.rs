//! The only loop: gather → decide → apply.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::join_all};
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        controller::{self, Action as Requeue, Config, Controller},
        reflector,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tokio::{
    sync::{RwLock, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::GatewayCertificate,
    clock::SharedClock,
    cluster::{
        apply::{Hands, explain, target_of},
        copies::{CopyHands, CopyStore, NamespaceWatch},
        error::{CallError, bounded},
        events::Recorder,
        evict::evict,
        gardener::GardenerStore,
        gateway_object::manages,
        gather::{Eyes, Others, gather, look_at_mesh, name_of, rival},
        mesh::MeshStore,
        secrets::Secrets,
        single::Watches,
        wants::{gateway_name, gateway_secret},
    },
    gateway::{Dial, ProxyHeader},
    lifecycle::{
        Entry, Failure, FailureKind, ObjectName, Plan, Proxy, Settings, decide, serving::Mesh, targets::CopyAction,
    },
};

mod fan_out;
mod managed;
mod prober;
mod requested;
mod surveyor;
mod tries;

use fan_out::{FanOut, LOOK_AGAIN};
use prober::Prober;
use surveyor::Surveyor;
use tries::Tries;

/// Without any event, each object is looked at again after this time at the latest. That costs no API call.
const RESYNC: Duration = Duration::from_secs(600);
/// Decisions made anew at once after conflicts; more wait for [`FIRST_RETRY`].
const ROUNDS: usize = 5;
/// The first wait after a failure; doubled up to [`LAST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failure. A missing right is asked for in this rhythm, too.
const LAST_RETRY: Duration = Duration::from_secs(60);
/// Names of objects to be woken that may queue up before watches are slowed down.
const WAKE_QUEUE: usize = 1024;
/// How long work in progress is waited for at the end; less than a pod's usual 30 s.
const GRACE: Duration = Duration::from_secs(20);
/// For so long after the start all served namespaces are waited for before anything is decided.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
/// The wait until they are looked for again.
const NOT_LISTED: Duration = Duration::from_millis(50);
/// Objects worked on at the same time.
const CONCURRENCY: u16 = 4;

/// What a controller runs with.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "kube's client has none")]
pub struct Runtime {
    /// The client; wrapped by [`crate::cluster::client::guarded`].
    pub client: Client,
    /// The client of watches on single objects, see [`crate::cluster::http2`]; wrapped as well. It may be the same.
    pub watches: Client,
    /// The clock.
    pub clock: SharedClock,
    /// How gateway pods are reached.
    pub dial: Arc<dyn Dial>,
    /// What the operator granted. `settings.namespaces` are the ones that are served.
    pub settings: Settings,
    /// Name of this instance in events.
    pub instance: String,
}

struct Context {
    runtime: Runtime,
    began: Instant,
    eyes: Eyes,
    fan_out: FanOut,
    prober: Prober,
    surveyor: Surveyor,
    recorder: Recorder,
    stores: Vec<Store<GatewayCertificate>>,
    /// What our own writes returned, until the watch brings it.
    written: Mutex<BTreeMap<ObjectName, Arc<GatewayCertificate>>>,
    /// Held for reading by whoever is at work, for writing by the end.
    working: Arc<RwLock<()>>,
    failures: Mutex<BTreeMap<ObjectName, u32>>,
    /// Of Gateways.
    tries: Tries,
    /// Of Certificates.
    requests: Tries,
}

/// Runs until `stop`, then finishes what it is at.
pub async fn run(runtime: Runtime, stop: CancellationToken) {
    let (wake, woken) = mpsc::channel(WAKE_QUEUE);
    let (client, watches) = (&runtime.client, Watches::new(runtime.watches.clone()));
    let eyes = Eyes {
        secrets: Secrets::new(watches.clone(), wake.clone()),
        copies: CopyStore::new(client.clone(), watches, wake.clone()),
        namespaces: NamespaceWatch::new(client.clone(), wake.clone()),
        mesh: MeshStore::new(client.clone(), wake.clone()),
        gardener: GardenerStore::new(client.clone(), wake.clone()),
    };
    let surveyor = Surveyor::new(runtime.dial.clone(), wake.clone());
    let prober = Prober::new(runtime.dial.clone(), wake);
    let fan_out = FanOut::new();
    let config = watcher::Config::default().timeout(200);
    let controllers: Vec<(String, Controller<GatewayCertificate>)> = runtime
        .settings
        .namespaces
        .iter()
        .map(|namespace| {
            let api: Api<GatewayCertificate> = Api::namespaced(runtime.client.clone(), namespace);
            let (store, writer) = reflector::store();
            // The record of who owns which field is as large as the spec itself, kept several times, and not used.
            let objects = watcher(api, config.clone()).modify(|object: &mut GatewayCertificate| {
                object.metadata.managed_fields = None;
            });
            let objects = reflector(writer, objects).applied_objects();
            (namespace.clone(), Controller::for_stream(objects, store))
        })
        .collect();
    let stores = controllers.iter().map(|(_, controller)| controller.store()).collect();
    let recorder = Recorder::new(runtime.client.clone(), runtime.instance.clone());
    let (written, working, failures) = (Mutex::default(), Arc::default(), Mutex::default());
    let context = Arc::new(Context {
        runtime,
        began: Instant::now(),
        eyes,
        fan_out,
        prober,
        surveyor,
        recorder,
        stores,
        written,
        working,
        failures,
        tries: Tries::default(),
        requests: Tries::default(),
    });
    let mut senders = BTreeMap::new();
    let mut running = Vec::new();
    for (namespace, controller) in controllers {
        let (sender, receiver) = mpsc::channel::<ObjectName>(WAKE_QUEUE);
        senders.insert(namespace, sender);
        running.push(start(controller, receiver, &context));
    }
    let distribute = tokio::spawn(distribute(woken, senders));
    // Not the controllers' own graceful shutdown: it waits for a first list, which never comes without CRDs.
    tokio::select! {
        _ = join_all(running) => {}
        () = idle(&context, &stop) => {}
    }
    distribute.abort();
}

/// Returns once `stop` was asked for and nobody is at work; nobody begins after that.
async fn idle(context: &Context, stop: &CancellationToken) {
    stop.cancelled().await;
    if tokio::time::timeout(GRACE, context.working.write()).await.is_err() {
        tracing::warn!("a write took longer than {GRACE:?} and is left behind: it is taken up at the next start");
    }
}

/// Hands each woken object to the controller of its namespace.
async fn distribute(mut woken: mpsc::Receiver<ObjectName>, senders: BTreeMap<String, mpsc::Sender<ObjectName>>) {
    while let Some(name) = woken.recv().await {
        if let Some(sender) = senders.get(&name.namespace) {
            let _ = sender.send(name).await;
        }
    }
}

fn start(
    controller: Controller<GatewayCertificate>,
    receiver: mpsc::Receiver<ObjectName>,
    context: &Arc<Context>,
) -> impl Future<Output = ()> + use<> {
    let wakes = futures::stream::unfold(receiver, |mut receiver| async move {
        let name = receiver.recv().await?;
        Some((ObjectRef::<GatewayCertificate>::new(&name.name).within(&name.namespace), receiver))
    });
    controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(wakes)
        .run(reconcile, |_, _: &std::convert::Infallible, _| Requeue::requeue(LAST_RETRY), context.clone())
        .for_each(|result| async move {
            match result {
                Err(controller::Error::QueueError(error)) => tracing::warn!(
                    "GatewayCertificates cannot be watched and it is tried again (are the CRDs of `certkeeper crds` applied, \
                     and the rights of docs/permissions.md granted?): {}",
                    crate::cluster::secrets::words(&error)
                ),
                // An object that went between its event and its turn is no trouble.
                Err(error) => {
                    tracing::debug!(error = %crate::cluster::error::sanitize(&error.to_string()), "controller");
                }
                Ok(_) => {}
            }
        })
}

async fn reconcile(
    object: Arc<GatewayCertificate>,
    context: Arc<Context>,
) -> Result<Requeue, std::convert::Infallible> {
    let _working = context.working.read().await;
    let name = name_of(object.as_ref());
    context.sweep();
    let mut object = context.freshest(object).as_ref().clone();
    for _ in 0..ROUNDS {
        match context.round(&mut object).await {
            Ok(wait) => {
                context.lock_failures().remove(&name);
                return Ok(wait);
            }
            Err(CallError::Stale) => match context.reread(&name).await {
                Ok(Some(found)) => object = found,
                Ok(None) => return Ok(Requeue::await_change()),
                Err(error) => return Ok(context.retry(&name, &error)),
            },
            Err(error) => return Ok(context.retry(&name, &error)),
        }
    }
    Ok(context.retry(&name, &CallError::Stale))
}

impl Context {
    fn lock_failures(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_written(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, Arc<GatewayCertificate>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets whatever was remembered of objects that are gone.
    fn sweep(&self) {
        let alive: BTreeSet<ObjectName> =
            self.stores.iter().flat_map(|store| store.state()).map(|object| name_of(object.as_ref())).collect();
        self.eyes.sweep(&alive);
        self.prober.sweep(&alive);
        self.surveyor.sweep(&alive);
        self.tries.sweep(&alive);
        self.requests.sweep(&alive);
        self.lock_failures().retain(|name, _| alive.contains(name));
        self.lock_written().retain(|name, _| alive.contains(name));
    }

    /// The state that the watch brought, or the newer one that our own write returned.
    fn freshest(&self, seen: Arc<GatewayCertificate>) -> Arc<GatewayCertificate> {
        let number = |object: &GatewayCertificate| object.resource_version().and_then(|v| v.parse::<u64>().ok());
        let mut written = self.lock_written();
        let name = name_of(seen.as_ref());
        match written.get(&name) {
            Some(ours) if ours.uid() == seen.uid() && number(ours) > number(&seen) => ours.clone(),
            _ => {
                written.remove(&name);
                seen
            }
        }
    }

    async fn reread(&self, name: &ObjectName) -> Result<Option<GatewayCertificate>, CallError> {
        let api: Api<GatewayCertificate> = Api::namespaced(self.runtime.client.clone(), &name.namespace);
        bounded(api.get_opt(&name.name)).await
    }

    fn others(&self, object: &GatewayCertificate) -> Others {
        let (us, secret) = (name_of(object), gateway_secret(&object.spec));
        let gateway = gateway_name(&object.spec);
        let mut others = Others::default();
        for other in self.stores.iter().flat_map(|store| store.state()) {
            others.peers.insert(name_of(other.as_ref()).to_string());
            if name_of(other.as_ref()) != us && gateway_secret(&other.spec) == secret {
                others.rivals.push(rival(&other));
            }
            if name_of(other.as_ref()) != us && manages(&other.spec) && gateway_name(&other.spec) == gateway {
                others.keepers.insert(name_of(other.as_ref()).to_string());
            }
        }
        others
    }

    /// The settings, with those namespaces alone whose GatewayCertificates are known: an owner that was not listed yet is
    /// not gone (law 9). `None`: some are not, and it is too early to go on without them.
    fn listed(&self) -> Option<Settings> {
        let settings = &self.runtime.settings;
        let ready = |store: &Store<GatewayCertificate>| store.wait_until_ready().now_or_never().is_some();
        let namespaces: Vec<String> = settings
            .namespaces
            .iter()
            .zip(&self.stores)
            .filter(|(_, store)| ready(store))
            .map(|(namespace, _)| namespace.clone())
            .collect();
        let all = namespaces.len() == settings.namespaces.len();
        (all || self.began.elapsed() > LISTED_WITHIN).then(|| Settings { namespaces, ..settings.clone() })
    }

    /// One round: look, decide, act. `Err(Stale)` asks for another.
    async fn round(&self, object: &mut GatewayCertificate) -> Result<Requeue, CallError> {
        let settings = &match self.listed() {
            Some(settings) => settings,
            None => return Ok(Requeue::requeue(NOT_LISTED)),
        };
        let now = self.runtime.clock.now();
        let seen = self.eyes.secrets.changes(&name_of(object));
        let mut observed = gather(object, self.others(object), &self.eyes, settings);
        let name = &observed.object.name;
        let proxy = match observed.object.wants.probe.proxy {
            Proxy::Auto | Proxy::None => ProxyHeader::None,
            Proxy::V1 => ProxyHeader::V1,
            Proxy::V2 => ProxyHeader::V2,
        };
        let told = (observed.object.previous.served, observed.object.previous.gateways.clone());
        let view = look_at_mesh(&observed.object, &self.eyes, settings);
        let mut differences = self.surveyor.see(&view, proxy, name);
        observed.mesh = self.prober.see(view, proxy, told, name);
        if let Mesh::Known(gateways) = &mut observed.mesh {
            gateways.iter_mut().for_each(|gateway| gateway.policy = differences.remove(&gateway.name));
        }
        managed::recall(&self.tries, &mut observed);
        requested::recall(&self.requests, &mut observed);
        let mut plan = decide(&observed, now, settings);
        self.prober.pace(&observed.object.name, plan.pace);
        let failure = self.act(&plan, object).await?;
        let mut soon = false;
        if let Some(write) = &plan.certificate {
            // Whatever became of the rest: who waits for a certificate waits for nothing else.
            let (client, store) = (&self.runtime.client, &self.eyes.gardener);
            requested::write(&self.requests, client, store, write, (object, &mut observed)).await?;
            plan = decide(&observed, now, settings);
            // What follows from it is for another round: the watch has no news in what was just written.
            soon = true;
        }
        if let Some((failure, error)) = failure {
            observed.failure = Some(failure);
            let told = decide(&observed, now, settings);
            self.tell(&told, object).await?;
            return Err(error);
        }
        if let Some(write) = &plan.gateway
            && !managed::write(&self.tries, &self.runtime.client, &self.eyes.mesh, write, &mut observed).await?
        {
            plan = decide(&observed, now, settings);
        }
        if let Some(eviction) = &plan.evict
            && let Err(error) = evict(&self.runtime.client, eviction).await
        {
            observed.not_evicted = error.words();
            self.tell(&decide(&observed, now, settings), object).await?;
            return Err(error);
        }
        self.tell(&plan, object).await?;
        if !plan.copies.is_empty() {
            let wait = self.distribute(plan.copies, object, seen).await.min(if soon { NOT_LISTED } else { RESYNC });
            return Ok(Requeue::requeue(self.again(&observed.object.name).map_or(wait, |again| wait.min(again))));
        }
        // Nobody wakes an object when a call that took too long ends badly after all: it looks by itself.
        let longest = if self.eyes.copies.is_busy() { LOOK_AGAIN } else { RESYNC };
        let wait = plan.wake_at.and_then(|at| (at - now).to_std().ok()).map_or(longest, |wait| wait.min(longest));
        let wait = self.again(&observed.object.name).map_or(wait, |again| wait.min(again));
        let wait = if soon { NOT_LISTED } else { wait };
        Ok(Requeue::requeue(wait.max(Duration::from_millis(1))))
    }

    /// How long until a write that failed is tried again.
    fn again(&self, name: &ObjectName) -> Option<Duration> {
        [self.tries.wait(name), self.requests.wait(name)].into_iter().flatten().min()
    }

    /// Writes copies for a while, and says when to look again. `seen`: the changes that the decision knew of.
    async fn distribute(&self, actions: Vec<CopyAction>, object: &GatewayCertificate, seen: u64) -> Duration {
        let hands = CopyHands {
            client: self.runtime.client.clone(),
            store: self.eyes.copies.clone(),
            clock: self.runtime.clock.clone(),
            owner: name_of(object),
        };
        let owner = &hands.owner;
        let reference = ObjectRef::<GatewayCertificate>::new(&owner.name).within(&owner.namespace);
        let is_newer = |other: Arc<GatewayCertificate>| {
            other.metadata.generation != object.metadata.generation
                || other.metadata.deletion_timestamp != object.metadata.deletion_timestamp
        };
        let changed = || {
            self.eyes.secrets.changes(owner) != seen
                || self.stores.iter().filter_map(|store| store.get(&reference)).any(is_newer)
        };
        // Nobody begins anything once the end has been asked for.
        let working = || self.working.clone().try_read_owned().ok();
        self.fan_out.carry_out(actions, &hands, working, changed).await
    }

    /// Carries out the actions in their order, until one fails.
    async fn act(
        &self,
        plan: &Plan,
        object: &mut GatewayCertificate,
    ) -> Result<Option<(Failure, CallError)>, CallError> {
        let mut done: Vec<Entry> = Vec::new();
        for action in &plan.actions {
            let mut hands = Hands { client: &self.runtime.client, secrets: &self.eyes.secrets, object };
            match hands.carry_out(action).await {
                Ok(()) => {}
                Err(CallError::Stale) => return Err(CallError::Stale),
                Err(CallError::Failed(kind, message)) => {
                    let (target, gateway) = target_of(action, object);
                    let words = explain(action, object, kind, &message);
                    let failure = Failure { target, gateway, kind, message: words, done };
                    return Ok(Some((failure, CallError::Failed(kind, message))));
                }
            }
            if let crate::lifecycle::Action::WriteClientCa(write) = action {
                tracing::info!(object = %name_of(object), secret = %write.target, fingerprint = %write.fingerprint,
                    "{}", write.entry.message);
            }
            if let crate::lifecycle::Action::WriteGatewaySecret(write) = action {
                tracing::info!(object = %name_of(object), secret = %write.target, fingerprint = %write.pair.fingerprint(),
                    "{}", write.entry.as_ref().map_or("written", |entry| &entry.message));
                done.extend(write.entry.clone());
                self.prober.kick(&name_of(object));
            }
        }
        Ok(None)
    }

    /// Tells the events, then publishes the status: the status is what remembers that they were told.
    async fn tell(&self, plan: &Plan, object: &mut GatewayCertificate) -> Result<(), CallError> {
        let Some(status) = &plan.status else { return Ok(()) };
        let before = status.history_total - i64::try_from(plan.events.len()).unwrap_or(0);
        for (number, entry) in (before..).zip(&plan.events) {
            match self.recorder.tell(object, entry, number).await {
                // Events are a courtesy: what they tell stands in the status, too.
                Err(CallError::Failed(_, message)) => {
                    tracing::warn!(object = %name_of(object), "the event {} was not recorded: {message}", entry.reason);
                }
                Ok(()) | Err(CallError::Stale) => {}
            }
        }
        let mut hands = Hands { client: &self.runtime.client, secrets: &self.eyes.secrets, object };
        hands.publish(status).await?;
        self.prober.published(&name_of(object), (status.served, status.gateways.clone()));
        self.lock_written().insert(name_of(object), Arc::new(object.clone()));
        Ok(())
    }

    fn retry(&self, name: &ObjectName, error: &CallError) -> Requeue {
        let (kind, words) = match error {
            CallError::Stale => (FailureKind::Transient, "conflicts again and again, somebody else writes"),
            CallError::Failed(kind, message) => (*kind, message.as_str()),
        };
        let mut failures = self.lock_failures();
        let count = failures.entry(name.clone()).or_insert(0);
        let wait = FIRST_RETRY.saturating_mul(1 << (*count).min(6)).min(LAST_RETRY);
        *count = count.saturating_add(1);
        let wait = if kind == FailureKind::Denied { LAST_RETRY } else { wait };
        tracing::warn!(object = %name, retry_in = ?wait, "{words}");
        Requeue::requeue(wait)
    }
}
