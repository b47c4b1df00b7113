//! One API server, and how requests are sent to it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{AsyncBufReadExt, TryStreamExt};
use http::Request;
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// A request. In the path, the query and in strings of the body `{ns}` is the sequence's namespace; `{rv:a}` is
/// the newest resourceVersion seen of the object `a`, `{oldrv:a}` the first one, `{uid:a}` its newest uid.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub accept: &'static str,
    pub body: Value,
}

/// A status code and a body.
pub type Answer = (u16, Value);

/// A server.
pub struct World {
    client: Client,
}

/// What one sequence has seen so far.
pub struct Run<'a> {
    world: &'a World,
    pub namespace: String,
    seen: BTreeMap<String, Vec<(String, String)>>,
    start: String,
}

static NAMESPACES: AtomicUsize = AtomicUsize::new(0);

impl World {
    pub async fn new(client: Client) -> Self {
        let world = Self { client };
        world.define().await;
        world
    }

    /// A server to a client that may do nothing there.
    pub fn powerless(client: Client) -> Self {
        Self { client }
    }

    /// A sequence in the namespace `default`, whoever may do something there.
    pub fn run_in_default(&self) -> Run<'_> {
        Run { world: self, namespace: "default".into(), seen: BTreeMap::new(), start: String::new() }
    }

    /// Defines the custom resource of the sequences, and waits until it is served.
    async fn define(&self) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let (code, answer) = self.send("POST", path, "application/json", "", &super::scripts::definition()).await;
        assert!(matches!(code, 201 | 409), "the definition is refused: {answer}");
        let deadline = Instant::now() + Duration::from_secs(30);
        let probe = json!({"apiVersion": "conformance.example.com/v1", "kind": "Widget", "metadata": {"name": "probe"},
            "spec": {"size": 1}});
        let widgets = "/apis/conformance.example.com/v1/namespaces/default/widgets?dryRun=All";
        while self.send("POST", widgets, "application/json", "", &probe).await.0 != 201 {
            assert!(Instant::now() < deadline, "the definition is not served after 30 s");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, accept: &str, body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("user-agent", "conformance/1");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        if !accept.is_empty() {
            request = request.header("accept", accept);
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.client.send(request).await.expect("an answer");
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A namespace of its own for a sequence.
    pub async fn run(&self) -> Run<'_> {
        let serial = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("conformance-{}-{serial}", std::process::id());
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let (code, answer) = self.send("POST", "/api/v1/namespaces", "application/json", "", &body).await;
        assert_eq!(code, 201, "{answer}");
        let start = answer["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
        Run { world: self, namespace, seen: BTreeMap::new(), start }
    }
}

impl Run<'_> {
    fn resolve(&self, text: &str) -> String {
        let mut text = text.replace("{ns}", &self.namespace);
        while let Some((head, rest)) = text.split_once('{')
            && let Some((inside, tail)) = rest.split_once('}')
            && let Some((what, name)) = inside.split_once(':')
        {
            let seen = self.seen.get(name).map(Vec::as_slice).unwrap_or_default();
            let value = match what {
                "rv" => seen.last().map(|(version, _)| version.as_str()),
                "oldrv" => seen.first().map(|(version, _)| version.as_str()),
                "uid" => seen.last().map(|(_, uid)| uid.as_str()),
                _ => None,
            };
            text = format!("{head}{}{tail}", value.unwrap_or_default());
        }
        text
    }

    fn resolve_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.resolve(text).into(),
            Value::Array(list) => list.iter().map(|value| self.resolve_all(value)).collect(),
            Value::Object(map) => map
                .iter()
                .filter(|(_, value)| !self.is_unknown(value))
                .map(|(key, value)| (key.clone(), self.resolve_all(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    /// Whether a text stands for something that was not seen; such a field is left out.
    fn is_unknown(&self, value: &Value) -> bool {
        value.as_str().is_some_and(|text| !text.is_empty() && self.resolve(text).is_empty())
    }

    pub async fn call(&mut self, call: &Call) -> Answer {
        let (path, body) = (self.resolve(&call.path), self.resolve_all(&call.body));
        let answer = self.world.send(call.method, &path, call.content_type, call.accept, &body).await;
        let metadata = &answer.1["metadata"];
        if let (Some(name), Some(version), Some(uid)) =
            (metadata["name"].as_str(), metadata["resourceVersion"].as_str(), metadata["uid"].as_str())
        {
            self.seen.entry(name.to_owned()).or_default().push((version.to_owned(), uid.to_owned()));
        }
        answer
    }

    /// The events of the namespace's objects of one resource since the sequence began: of all, of those with the
    /// label `x=1`, and of all as metadata. An object `zz-end` that is created now tells where they end.
    pub async fn events(&mut self, collection: &str, end: Value) -> Vec<Value> {
        let create = Call {
            method: "POST",
            path: format!("{collection}?fieldManager=end"),
            content_type: "application/json",
            body: end,
            ..Call::default()
        };
        let (code, answer) = self.call(&create).await;
        assert_eq!(code, 201, "{answer}");
        let watch = format!("{collection}?watch=true&resourceVersion={}&timeoutSeconds=20", self.start);
        let all = self.watch(&watch, "").await;
        let some = self.watch(&format!("{watch}&labelSelector=x%3D1"), "").await;
        let metadata = self.watch(&watch, super::scripts::METADATA).await;
        vec![all.into(), some.into(), metadata.into()]
    }

    async fn watch(&self, path: &str, accept: &str) -> Vec<Value> {
        let mut request = Request::get(self.resolve(path));
        if !accept.is_empty() {
            request = request.header("accept", accept);
        }
        let request = request.body(Vec::new()).expect("a request");
        let lines = self.world.client.request_stream(request).await.expect("a watch").lines();
        let mut events = Vec::new();
        let read = async {
            let mut lines = std::pin::pin!(lines);
            while let Some(line) = lines.try_next().await.expect("a line") {
                let event: Value = serde_json::from_str(&line).expect("an event");
                if event["object"]["metadata"]["name"] == "zz-end" {
                    return;
                }
                events.push(event);
            }
        };
        timeout(Duration::from_secs(20), read).await.expect("the end of the sequence is seen");
        events
    }
}
