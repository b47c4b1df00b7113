//! The TLS server and the watch that feeds it.

use std::{collections::VecDeque, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use rustls::{ServerConfig, crypto::CryptoProvider, server::ResolvesServerCert, sign::CertifiedKey};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::LazyConfigAcceptor;

use super::{
    material::Refusal,
    taker::{Taker, Vice},
};

/// How many refusals are remembered.
const REFUSALS: usize = 100;
/// How long a connection may take altogether.
const CONNECTION: Duration = Duration::from_secs(5);
/// istiod waits that long for a change to be followed by another, and no longer than the second.
const DEBOUNCE: Duration = Duration::from_millis(100);
const DEBOUNCE_AT_MOST: Duration = Duration::from_secs(10);

/// What a gateway serves, and from where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A name for accounts of what happened.
    pub name: String,
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name (`credentialName`).
    pub secret: String,
    /// Hosts that it answers for: names, or wildcards for one label.
    pub hosts: Vec<String>,
    /// How long a change waits for another one.
    pub debounce: Duration,
}

impl Settings {
    /// Settings with istiod's debounce of 100 ms.
    pub fn new(name: &str, namespace: &str, secret: &str, hosts: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            debounce: DEBOUNCE,
        }
    }
}

/// What a gateway is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Fingerprint of the leaf that is served, if any.
    pub serving: Option<String>,
    /// How many pairs were taken up so far.
    pub loads: usize,
    /// Why Secrets were refused: the last hundred, oldest first.
    pub refusals: VecDeque<String>,
    /// Handshakes completed.
    pub handshakes: usize,
    /// Connections that ended before that: foreign hosts, nothing to serve, clients that gave up.
    pub failures: usize,
}

#[derive(Debug)]
struct State {
    snapshot: Snapshot,
    taker: Taker,
}

/// A TLS server on 127.0.0.1 that follows a Secret. It stops when dropped.
#[derive(Debug)]
pub struct LoopbackGateway {
    settings: Settings,
    address: SocketAddr,
    state: watch::Sender<State>,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

impl LoopbackGateway {
    /// Starts a gateway on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start(client: Client, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let state = watch::Sender::new(State { snapshot: Snapshot::default(), taker: Taker::default() });
        let mut tasks = JoinSet::new();
        let api = Api::namespaced(client, &settings.namespace);
        tasks.spawn(follow(api, settings.clone(), state.clone()));
        tasks.spawn(listen(listener, settings.hosts.clone().into(), state.clone(), provider));
        Ok(Self { settings, address, state, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Gives it a vice, or takes it away: then it takes up the next change.
    pub fn set_vice(&self, vice: Option<Vice>) {
        self.state.send_modify(|state| state.taker.vice = vice);
    }

    /// From now on it refuses the leaf with this fingerprint, whatever happens.
    pub fn refuse(&self, fingerprint: &str) {
        self.state.send_modify(|state| {
            state.taker.refuses.insert(fingerprint.to_owned());
        });
    }

    /// What it is at.
    pub fn snapshot(&self) -> Snapshot {
        self.state.borrow().snapshot.clone()
    }

    /// Waits until what it is at satisfies `condition`.
    ///
    /// # Errors
    /// With what it is at instead, once `deadline` has passed.
    pub async fn wait_for(
        &self,
        deadline: Duration,
        mut condition: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, Snapshot> {
        let mut receiver = self.state.subscribe();
        let found = timeout(deadline, receiver.wait_for(|state| condition(&state.snapshot))).await;
        match found {
            Ok(Ok(state)) => Ok(state.snapshot.clone()),
            _ => Err(self.snapshot()),
        }
    }
}

/// Follows the Secret: each change, after the debounce, is tried; one that does not work changes nothing.
async fn follow(api: Api<Secret>, settings: Settings, state: watch::Sender<State>) {
    let config = watcher::Config::default().fields(&format!("metadata.name={}", settings.secret));
    let mut changes = pin!(watcher(api, config).default_backoff().applied_objects());
    let mut pending: Option<(Secret, Instant, Instant)> = None;
    loop {
        let due = pending.as_ref().map(|(_, quiet, latest)| *quiet.min(latest));
        tokio::select! {
            biased;
            change = changes.next() => match change {
                Some(Ok(secret)) => {
                    let now = Instant::now();
                    let latest = pending.map_or(now + DEBOUNCE_AT_MOST, |(_, _, latest)| latest);
                    pending = Some((secret, now + settings.debounce, latest));
                }
                // The watcher has its own backoff and goes on; a lost server changes nothing that is served.
                Some(Err(error)) => tracing::debug!(gateway = settings.name, %error, "watch interrupted"),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((secret, ..)) = pending.take() {
                    take_up(&secret, &state);
                }
            }
        }
    }
}

fn take_up(secret: &Secret, state: &watch::Sender<State>) {
    state.send_modify(|state| match state.taker.take_up(secret) {
        Ok(()) => {
            let serving = state.taker.serving();
            state.snapshot.loads += usize::from(state.snapshot.serving != serving);
            state.snapshot.serving = serving;
        }
        Err(Refusal::Rejected(reason) | Refusal::Ignored(reason)) => {
            let refusals = &mut state.snapshot.refusals;
            if refusals.len() >= REFUSALS {
                refusals.pop_front();
            }
            refusals.push_back(reason);
        }
    });
}

async fn listen(
    listener: TcpListener,
    hosts: Arc<[String]>,
    state: watch::Sender<State>,
    provider: Arc<CryptoProvider>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept concerns one client; the next one may succeed.
                let Ok((stream, _)) = accepted else { continue };
                let (hosts, state, provider) = (hosts.clone(), state.clone(), provider.clone());
                connections.spawn(async move {
                    let pair = {
                        let state = state.borrow();
                        state.taker.pair.clone().filter(|_| state.taker.vice != Some(Vice::Reset))
                    };
                    let served = timeout(CONNECTION, serve(stream, &hosts, pair, provider)).await;
                    let served = matches!(served, Ok(Ok(())));
                    state.send_modify(|state| {
                        state.snapshot.handshakes += usize::from(served);
                        state.snapshot.failures += usize::from(!served);
                    });
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection: the client's hello decides whether there is anything to say to it at all.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    hosts: &[String],
    pair: Option<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
) -> io::Result<()> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let known = hello.client_hello().server_name().is_some_and(|name| hosts.iter().any(|host| matches(host, name)));
    let pair = pair.filter(|_| known);
    // Without a filter chain that fits, Envoy closes the connection and says nothing.
    let Some(pair) = pair else { return Err(io::ErrorKind::ConnectionReset.into()) };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Only(pair)));
    let mut stream = hello.into_stream(Arc::new(config)).await?;
    let mut request = [0; 1024];
    // A probe says nothing and closes; a browser asks, and is told that it got here.
    if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n").await?;
        stream.shutdown().await?;
    }
    Ok(())
}

/// Whether a name falls under one of the gateway's hosts.
fn matches(host: &str, name: &str) -> bool {
    match host.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => host == "*" || host.eq_ignore_ascii_case(name),
    }
}

/// The one pair that a connection is served with; a later one is for later connections.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use certkeeper::gateway::{HandshakeError, ServedChain, TcpDial};
    use chrono::Utc;
    use k8s_openapi::ByteString;
    use kube::api::{DeleteParams, ObjectMeta, PostParams};

    use super::*;
    use crate::{
        ApiServer,
        ca::{Ca, Issued},
    };

    const SOON: Duration = Duration::from_secs(10);

    async fn handshake(address: SocketAddr, sni: &str) -> Result<ServedChain, HandshakeError> {
        certkeeper::gateway::handshake(&TcpDial, address, sni, SOON).await
    }

    fn secret(pair: &Issued) -> Secret {
        let data = [("tls.crt", pair.certificate()), ("tls.key", pair.key().to_owned())];
        let data: BTreeMap<_, _> = data.into_iter().map(|(k, v)| (k.to_owned(), ByteString(v.into_bytes()))).collect();
        let metadata = ObjectMeta { name: Some("certs".into()), ..ObjectMeta::default() };
        Secret { metadata, data: Some(data), ..Secret::default() }
    }

    #[tokio::test]
    async fn a_gateway_follows_its_secret_and_keeps_the_last_pair_that_worked() {
        let server = ApiServer::new();
        let api: Api<Secret> = Api::namespaced(server.client(), "default");
        let settings = Settings::new("one", "default", "certs", &["*.example.com"]);
        let gateway = LoopbackGateway::start(server.client(), settings).await.unwrap();
        let closed = handshake(gateway.address(), "a.example.com").await;
        assert!(
            matches!(closed, Err(HandshakeError::Closed(..) | HandshakeError::Reset(..))),
            "nothing to serve yet: {closed:?}"
        );

        let ca = Ca::root("Root", Utc::now()).unwrap().intermediate("Intermediate").unwrap();
        let [first, second] = [(); 2].map(|()| ca.leaf(&["*.example.com"]).issue().unwrap());
        api.create(&PostParams::default(), &secret(&first)).await.unwrap();
        let serving = |wanted: &Issued| {
            let wanted = wanted.fingerprint().to_owned();
            move |s: &Snapshot| s.serving.as_ref() == Some(&wanted)
        };
        gateway.wait_for(SOON, serving(&first)).await.unwrap();
        let leaf = handshake(gateway.address(), "a.example.com").await.unwrap();
        assert_eq!((leaf.fingerprint.to_string().as_str(), leaf.chain.len()), (first.fingerprint(), 2));
        assert!(handshake(gateway.address(), "a.b.example.com").await.is_err(), "a wildcard is one label");

        api.replace("certs", &PostParams::default(), &secret(&first.with_key_of(&second))).await.unwrap();
        gateway.wait_for(SOON, |s| s.refusals.len() == 1).await.unwrap();
        assert_eq!(
            handshake(gateway.address(), "a.example.com").await.unwrap().fingerprint.to_string(),
            first.fingerprint()
        );

        api.delete("certs", &DeleteParams::default()).await.unwrap();
        api.create(&PostParams::default(), &secret(&second)).await.unwrap();
        gateway.wait_for(SOON, serving(&second)).await.unwrap();
        assert_eq!(
            handshake(gateway.address(), "a.example.com").await.unwrap().fingerprint.to_string(),
            second.fingerprint()
        );
    }

    #[test]
    fn hosts_match_as_in_envoy() {
        assert!(matches("*.example.com", "A.EXAMPLE.com") && matches("a.b", "a.b") && matches("*", "x"));
        assert!(!matches("*.example.com", "example.com") && !matches("*.example.com", "a.b.example.com"));
    }
}
