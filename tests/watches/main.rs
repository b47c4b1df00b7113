//! The client for watches, against a small server on loopback: who shares a connection with whom, and what happens when
//! one ends.

mod server;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use certkeeper::{
    cluster::{
        client::{Access, Clients, Gate, connect_all, guarded, guarded_by},
        http2::{Limits, watches},
        secrets::{Secrets, Sight},
        single::Watches,
    },
    lifecycle::ObjectName,
};
use futures::future::{join_all, try_join_all};
use http::{Request, Response};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::ListParams, client::Body};
use server::{Manner, Server, until};
use tokio::sync::mpsc;

async fn begin(client: &Client) -> Result<Response<Body>, kube::Error> {
    let path = "/api/v1/namespaces/n/secrets?watch=true&fieldSelector=metadata.name%3Ds&resourceVersion=1";
    client.send(Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn begin_all(client: &Client, count: usize) -> Vec<Response<Body>> {
    try_join_all((0..count).map(|_| begin(client))).await.expect("all are answered")
}

/// The watch on the Secret `n/s`, as a controller has it.
struct Watching {
    secrets: Secrets,
    woken: mpsc::Receiver<ObjectName>,
}

impl Watching {
    async fn start(client: Client) -> Self {
        let (wake, woken) = mpsc::channel(64);
        let watching = Self { secrets: Secrets::new(Watches::new(guarded(client)), wake), woken };
        until("the list has come in", || !matches!(watching.sight(), Sight::Pending)).await;
        watching
    }

    fn sight(&self) -> Sight {
        self.secrets.look(&ObjectName::new("n", "s"), &ObjectName::new("home", "x"))
    }

    fn version(&self) -> Option<String> {
        match self.sight() {
            Sight::Present(seen) => seen.secret().metadata.resource_version.clone(),
            _ => None,
        }
    }

    /// Tells it of a version until it has seen it: whoever tells nobody is not heard.
    async fn sees(&mut self, server: &Server, version: u64, size: usize) {
        until("somebody watches", || server.watches() > 0).await;
        server.tell(version, size);
        let wanted = Some(version.to_string());
        while self.version() != wanted {
            tokio::time::timeout(Duration::from_secs(20), self.woken.recv()).await.expect("it is seen in time");
        }
    }
}

#[tokio::test]
async fn many_watches_share_few_connections_and_none_bears_more_than_it_may() {
    let server = Server::start(Manner::default()).await;
    let client = watches(&server.config(), &Limits { streams: 50, ..Limits::default() }).expect("a client");
    let held = begin_all(&client, 170).await;
    let met = server.met();
    assert_eq!(met.len(), 4, "{met:?}");
    assert!(met.iter().all(|met| met.http2 && met.most_watches.load(SeqCst) <= 50), "{met:?}");
    drop(held);
}

#[tokio::test]
async fn a_server_that_allows_few_streams_has_more_connections_and_no_watch_waits_for_another() {
    let server = Server::start(Manner { streams: 7, ..Manner::default() }).await;
    let client = watches(&server.config(), &Limits::default()).expect("a client");
    let held = tokio::time::timeout(Duration::from_secs(20), begin_all(&client, 30)).await.expect("none waits");
    let met = server.met();
    assert_eq!(met.len(), 5, "{met:?}");
    assert!(met.iter().all(|met| met.most_watches.load(SeqCst) <= 7), "{met:?}");
    drop(held);
}

#[tokio::test]
async fn a_place_that_is_left_is_taken_again_and_connections_without_watches_are_closed() {
    let server = Server::start(Manner::default()).await;
    let limits = Limits { streams: 5, linger: Duration::from_millis(100), ..Limits::default() };
    let client = watches(&server.config(), &limits).expect("a client");
    let mut held = begin_all(&client, 10).await;
    assert_eq!(server.met().len(), 2);
    held.truncate(7);
    until("the server has noticed", || server.watches() == 7).await;
    held.extend(begin_all(&client, 3).await);
    assert_eq!(server.met().len(), 2);
    drop(held);
    until("both are closed", || server.met().iter().all(|met| !met.open.load(SeqCst))).await;
    begin(&client).await.expect("a new connection is opened");
    assert_eq!(server.met().len(), 3);
}

#[tokio::test]
async fn a_call_is_never_on_a_connection_of_watches() {
    let server = Server::start(Manner::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, server.kubeconfig()).expect("written");
    let Clients { calls, watches } =
        connect_all(&Access { kubeconfig: Some(path), context: None }).await.expect("clients");
    let held = begin_all(&watches, 5).await;
    let api: Api<Secret> = Api::namespaced(calls, "n");
    // Even when all watches hang.
    server.freeze();
    let list = tokio::time::timeout(Duration::from_secs(20), api.list(&ListParams::default())).await;
    list.expect("watches that hang hold up no call").expect("listed");
    let met = server.met();
    assert!(met.iter().any(|met| met.calls.load(SeqCst) > 0), "{met:?}");
    assert!(met.iter().all(|met| met.calls.load(SeqCst) == 0 || met.most_watches.load(SeqCst) == 0), "{met:?}");
    assert_eq!(server.inner.authorization.lock().expect("no panic").as_deref(), Some("Bearer words"));
    drop(held);
}

#[tokio::test]
async fn a_server_that_speaks_http_1_1_alone_is_watched_as_ever() {
    const CHOICES: [&[&[u8]]; 2] = [&[], &[b"http/1.1"]];
    for alpn in CHOICES {
        let server = Server::start(Manner { alpn, ..Manner::default() }).await;
        let mut watching = Watching::start(watches(&server.config(), &Limits::default()).expect("a client")).await;
        watching.sees(&server, 7, 3).await;
        assert!(server.met().iter().all(|met| !met.http2));
    }
}

#[tokio::test]
async fn a_server_that_has_learnt_http_2_is_asked_again_in_time() {
    let server = Server::start(Manner { alpn: &[b"http/1.1"], ..Manner::default() }).await;
    let limits = Limits { ask_again: Duration::ZERO, ..Limits::default() };
    let client = watches(&server.config(), &limits).expect("a client");
    begin(&client).await.expect("answered");
    let asked = server.met().len();
    begin(&client).await.expect("answered");
    assert!(server.met().len() >= asked + 2, "one connection to ask and one for the watch: {:?}", server.met());
}

#[tokio::test]
async fn a_server_without_tls_is_watched_as_ever() {
    let server = Server::start(Manner { name: None, ..Manner::default() }).await;
    let mut watching = Watching::start(watches(&server.config(), &Limits::default()).expect("a client")).await;
    watching.sees(&server, 7, 3).await;
}

#[tokio::test]
async fn the_name_that_the_configuration_gives_is_the_one_that_is_checked_and_the_token_is_sent() {
    let server = Server::start(Manner { name: Some("kubernetes.test"), ..Manner::default() }).await;
    let mut config = server.config();
    config.auth_info.token = Some("words".to_owned().into());
    let error = begin(&watches(&config, &Limits::default()).expect("a client")).await.expect_err("another name");
    assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
    config.tls_server_name = Some("kubernetes.test".to_owned());
    begin(&watches(&config, &Limits::default()).expect("a client")).await.expect("the right name");
    assert_eq!(server.inner.authorization.lock().expect("no panic").as_deref(), Some("Bearer words"));
    config.tls_server_name = None;
    config.accept_invalid_certs = true;
    begin(&watches(&config, &Limits::default()).expect("a client")).await.expect("any name");
}

#[tokio::test]
async fn a_server_that_goes_away_in_good_order_is_watched_anew_on_another_connection() {
    let server = Server::start(Manner::default()).await;
    let mut watching = Watching::start(watches(&server.config(), &Limits::default()).expect("a client")).await;
    watching.sees(&server, 7, 3).await;
    server.leave();
    until("the first connection has ended", || !server.met()[0].open.load(SeqCst)).await;
    watching.sees(&server, 8, 3).await;
    assert_eq!(server.met().len(), 2);
    assert_eq!(server.met().iter().map(|met| met.lists.load(SeqCst)).sum::<usize>(), 1, "nothing is listed anew");
}

#[tokio::test]
async fn a_connection_that_hangs_is_noticed_and_its_watches_begin_anew() {
    let server = Server::start(Manner::default()).await;
    let (ping_after, ping_timeout) = (Duration::from_millis(100), Duration::from_millis(200));
    let limits = Limits { ping_after, ping_timeout, ..Limits::default() };
    let mut watching = Watching::start(watches(&server.config(), &limits).expect("a client")).await;
    watching.sees(&server, 7, 3).await;
    server.freeze();
    until("there is another connection", || server.met().len() == 2 && server.met()[1].watches.load(SeqCst) == 1).await;
    watching.sees(&server, 8, 3).await;
}

#[tokio::test]
async fn an_event_of_megabytes_comes_through_whole() {
    let server = Server::start(Manner::default()).await;
    let mut watching = Watching::start(watches(&server.config(), &Limits::default()).expect("a client")).await;
    watching.sees(&server, 7, 3 << 20).await;
    let Sight::Present(seen) = watching.sight() else { panic!("it is there") };
    let data = seen.secret().data.as_ref().expect("data");
    assert_eq!(data["x"].0.len(), 3 << 20);
}

#[tokio::test]
async fn a_watch_that_is_not_read_holds_up_no_other_on_its_connection() {
    let server = Server::start(Manner::default()).await;
    let client = watches(&server.config(), &Limits::default()).expect("a client");
    let held = begin_all(&client, 9).await;
    let mut read = begin(&client).await.expect("answered").into_body();
    assert_eq!(server.met().len(), 1);
    for version in 1..4 {
        server.tell(version, 1 << 20);
        let mut length = 0;
        while length < 1 << 20 {
            let frame = tokio::time::timeout(Duration::from_secs(20), read.frame()).await.expect("it flows");
            length += frame.expect("more").expect("no error").into_data().expect("data").len();
        }
    }
    drop(held);
}

#[tokio::test]
async fn watches_that_begin_at_once_list_a_few_at_a_time() {
    let server = Server::start(Manner { list: Duration::from_millis(20), ..Manner::default() }).await;
    let client = guarded(watches(&server.config(), &Limits::default()).expect("a client"));
    let (wake, mut woken) = mpsc::channel(1024);
    let secrets = Secrets::new(Watches::new(client), wake);
    let by = ObjectName::new("home", "x");
    for number in 0..200 {
        let _ = secrets.look(&ObjectName::new("n", format!("s-{number}")), &by);
    }
    for _ in 0..200 {
        tokio::time::timeout(Duration::from_secs(20), woken.recv()).await.expect("all begin").expect("woken");
    }
    until("all watch", || server.watches() == 200).await;
    assert!(server.inner.most_listing.load(SeqCst) <= 16, "{}", server.inner.most_listing.load(SeqCst));
    assert_eq!(server.met().len(), 2, "a hundred on each");
}

#[tokio::test]
async fn a_watch_from_too_far_back_lists_anew() {
    let server = Server::start(Manner { first_watch: Some(410), ..Manner::default() }).await;
    let mut watching = Watching::start(watches(&server.config(), &Limits::default()).expect("a client")).await;
    watching.sees(&server, 7, 3).await;
    assert_eq!(server.met().iter().map(|met| met.lists.load(SeqCst)).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_server_that_asks_watches_to_wait_is_left_alone_by_calls_too() {
    let server = Server::start(Manner { refuses: Some(429), ..Manner::default() }).await;
    let gate = Gate::default();
    let one = guarded_by(watches(&server.config(), &Limits::default()).expect("a client"), &gate);
    let other = guarded_by(Client::try_from(server.config()).expect("a client"), &gate);
    let one: Api<Secret> = Api::namespaced(one, "n");
    one.list(&ListParams::default().fields("metadata.name=s")).await.expect_err("refused");
    let other: Api<Secret> = Api::namespaced(other, "n");
    let error = other.list(&ListParams::default()).await.expect_err("not asked at all");
    assert!(error.to_string().contains("asked to wait"), "{error}");
    assert!(server.met().iter().all(|met| met.calls.load(SeqCst) == 0));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again_until_it_is() {
    let model = Server::start(Manner::default()).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mut config = model.config();
    config.cluster_url = format!("https://{port}").parse().expect("a URL");
    let client = watches(&config, &Limits::default()).expect("a client");
    let failed = join_all((0..20).map(|_| begin(&client))).await;
    assert!(failed.iter().all(Result::is_err));
    let starting = tokio::spawn(Watching::start(client));
    let server = model.start_again_at(port).await;
    starting.await.expect("no panic").sees(&server, 7, 3).await;
}

#[tokio::test]
async fn proxies_are_left_to_kubes_own_client() {
    let server = Server::start(Manner::default()).await;
    let mut config = server.config();
    config.proxy_url = Some("http://127.0.0.1:1".parse().expect("a URL"));
    let said = |client: Result<(), String>| client.expect_err("this build of kube speaks to no proxy");
    let ours = said(watches(&config, &Limits::default()).map(|_| ()).map_err(|error| error.to_string()));
    let kubes = said(Client::try_from(config).map(|_| ()).map_err(|error| error.to_string()));
    assert!(ours.contains(&kubes), "{ours}");
}
