//! Gates, authorizers, and clients that go away.

use std::time::Duration;

use futures::future::BoxFuture;
use kube::api::PostParams;
use tokio::{sync::Notify, time::timeout};

use super::{ApiServer, refused, secret, secrets};
use crate::server::{After, ApiError, Before, Gate, Request, RequestInfo};

struct Fault {
    before: fn() -> Before,
    after: fn() -> After,
}

impl Gate for Fault {
    fn before<'a>(&'a self, _request: &'a RequestInfo) -> BoxFuture<'a, Before> {
        Box::pin(async { (self.before)() })
    }

    fn after<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, After> {
        Box::pin(async { (self.after)() })
    }
}

#[tokio::test]
async fn a_gate_can_refuse_break_or_lose_the_answer() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let busy = || Before::Refuse(ApiError::new(429, "TooManyRequests", "slow down"));
    server.set_gate(Fault { before: busy, after: || After::Reply });
    assert_eq!(refused(api.create(&PostParams::default(), &secret("a", &[])).await).code, 429);
    server.set_gate(Fault { before: || Before::Drop, after: || After::Reply });
    assert!(matches!(api.create(&PostParams::default(), &secret("a", &[])).await, Err(kube::Error::Service(_))));
    assert_eq!(server.writes(), 0);
    server.set_gate(Fault { before: || Before::Apply, after: || After::Drop });
    assert!(matches!(api.create(&PostParams::default(), &secret("a", &[])).await, Err(kube::Error::Service(_))));
    assert_eq!(server.writes(), 1, "applied, though the client never heard of it");
}

struct Slow(std::sync::Arc<Notify>);

impl Gate for Slow {
    fn before<'a>(&'a self, _request: &'a RequestInfo) -> BoxFuture<'a, Before> {
        Box::pin(async {
            self.0.notified().await;
            Before::Apply
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_does_not_undo_its_write() {
    let server = ApiServer::with_seed(1);
    let go = std::sync::Arc::new(Notify::new());
    server.set_gate(Slow(go.clone()));
    let api = secrets(&server);
    let (params, secret) = (PostParams::default(), secret("a", &[]));
    assert!(timeout(Duration::from_secs(1), api.create(&params, &secret)).await.is_err());
    go.notify_one();
    let applied = async {
        while server.writes() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(1), applied).await.expect("the write is applied");
}

#[tokio::test]
async fn an_authorizers_refusal_reads_like_one_of_rbac() {
    let server = ApiServer::with_seed(1);
    server.set_authorizer(|info| if info.verb == "get" { Ok(()) } else { Err(String::new()) });
    let status = refused(secrets(&server).create(&PostParams::default(), &secret("a", &[])).await);
    assert_eq!(status.code, 403);
    assert_eq!(
        status.message,
        "secrets is forbidden: User \"admin\" cannot create resource \"secrets\" in API group \"\" in the namespace \
         \"default\""
    );
    assert_eq!(refused(secrets(&server).get("a").await).code, 404);
}
