//! Watches, on a paused clock.

use std::{pin::pin, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{ApiServer, secret, secrets};

/// `ADDED a`, `BOOKMARK`, `ERROR 410`.
fn line(event: &WatchEvent<Secret>) -> String {
    match event {
        WatchEvent::Added(object) => format!("ADDED {}", object.name_any()),
        WatchEvent::Modified(object) => format!("MODIFIED {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("DELETED {}", object.name_any()),
        WatchEvent::Bookmark(_) => "BOOKMARK".into(),
        WatchEvent::Error(status) => format!("ERROR {}", status.code),
    }
}

async fn watched(server: &ApiServer, params: &WatchParams, version: &str) -> Vec<String> {
    let stream = secrets(server).watch(params, version).await.unwrap();
    stream.map_ok(|event| line(&event)).try_collect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn objects_enter_and_leave_a_selection() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let start = server.resource_version().to_string();
    api.create(&PostParams::default(), &secret("a", &[])).await.unwrap();
    for label in [json!("yes"), json!("no"), json!("yes")] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"in": label}}}));
        api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default().labels("in=yes").timeout(10).disable_bookmarks();
    assert_eq!(watched(&server, &params, &start).await, ["ADDED a", "DELETED a", "ADDED a", "DELETED a"]);
    let all = WatchParams::default().timeout(10).disable_bookmarks();
    assert_eq!(
        watched(&server, &all, &start).await,
        ["ADDED a", "MODIFIED a", "MODIFIED a", "MODIFIED a", "DELETED a"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_time_out_after_bookmarks_each_minute_and_one_before_the_end() {
    let server = ApiServer::with_seed(1);
    let began = Instant::now();
    let events = watched(&server, &WatchParams::default().timeout(130), "100").await;
    assert_eq!(began.elapsed(), Duration::from_secs(130));
    assert_eq!(events, ["BOOKMARK", "BOOKMARK", "BOOKMARK"], "at 60, 120 and 128 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_told_in_the_stream_or_over_http() {
    let server = ApiServer::with_seed(1);
    secrets(&server).create(&PostParams::default(), &secret("a", &[])).await.unwrap();
    server.compact();
    assert_eq!(watched(&server, &WatchParams::default().timeout(5), "101").await, ["ERROR 410"]);
    server.set_gone_as_http(true);
    let refused = secrets(&server).watch(&WatchParams::default(), "101").await.err();
    assert!(matches!(refused, Some(kube::Error::Api(status)) if status.code == 410));
}

#[tokio::test(start_paused = true)]
async fn without_a_version_a_watch_starts_with_what_is_there() {
    let server = ApiServer::with_seed(1);
    secrets(&server).create(&PostParams::default(), &secret("a", &[])).await.unwrap();
    let params = WatchParams::default().timeout(5).disable_bookmarks();
    assert_eq!(watched(&server, &params, "0").await, ["ADDED a"]);
}

#[tokio::test(start_paused = true)]
async fn kubes_watcher_survives_cuts_and_a_compaction() {
    let server = ApiServer::with_seed(1);
    let api = secrets(&server);
    let mut seen = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects());
    for (round, name) in ["a", "b", "c"].into_iter().enumerate() {
        if round > 0 {
            server.cut_watches();
        }
        api.create(&PostParams::default(), &secret(name, &[])).await.unwrap();
        if round == 2 {
            server.compact();
        }
        let found =
            async { while seen.next().await.expect("an endless stream").is_ok_and(|s| s.name_any() != name) {} };
        timeout(Duration::from_secs(120), found).await.expect("the new object is seen");
    }
}
