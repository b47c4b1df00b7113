//! An in-memory kube-apiserver behind a `tower::Service`, for [`kube::Client`].
//!
//! It keeps the promises of the real one that a controller leans on: resource versions, watches that end and
//! whose history is compacted, preconditions, finalizers, field ownership, schemas. Time is tokio's, so a paused
//! clock makes it virtual; all randomness comes from one seed; every map is sorted. A request is applied under
//! one lock in a task of its own, so a client that goes away undoes nothing.

mod admission;
mod apply;
mod builtin;
mod decode;
mod delete;
mod discovery;
mod events;
mod object;
mod patch;
mod read;
mod registry;
mod request;
mod route;
mod rules;
mod schema;
mod selectors;
mod server_side_apply;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod validation;
mod watch;
mod write;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::StreamExt;
use http::{Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};

use self::{request::Call, route::Route, selectors::Selector, store::Store, watch::Watch, write::Target};
pub use self::{
    request::{After, Authorizer, Before, Gate, Request, RequestInfo},
    status::ApiError,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;
/// Where a seeded server's clock starts: 2026-06-01.
const SEEDED_START: i64 = 1_780_272_000;

/// The in-memory API server. Clones share one state.
#[derive(Clone)]
pub struct ApiServer {
    shared: Shared,
}

type Shared = Arc<Room>;

struct Room {
    inner: Mutex<Inner>,
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held fails the test that caused it; the others' state is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Inner {
    store: Store,
    requests: VecDeque<Request>,
    sequence: u64,
    gate: Option<Arc<dyn Gate>>,
    authorizer: Option<Arc<Authorizer>>,
    gone_as_http: bool,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Objects hold keys of Secrets; the version says enough.
        f.debug_struct("ApiServer").field("resource_version", &self.shared.lock().store.version()).finish()
    }
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl ApiServer {
    /// A server whose clock shows the real time (and then follows tokio's), with random uids.
    pub fn new() -> Self {
        Self::starting_at(fastrand::u64(..), Timestamp::now())
    }

    /// A server whose every answer follows from the seed; its clock starts on 2026-06-01.
    pub fn with_seed(seed: u64) -> Self {
        Self::starting_at(seed, Timestamp::from_second(SEEDED_START).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// A server with a seed whose clock shows `start` now and then follows tokio's.
    pub fn starting_at(seed: u64, start: Timestamp) -> Self {
        let mut store = Store::new(seed, start);
        let first = store.writes();
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            seed_namespace(&mut store, name);
        }
        store.forget_writes(first);
        let inner =
            Inner { store, requests: VecDeque::new(), sequence: 0, gate: None, authorizer: None, gone_as_http: false };
        Self { shared: Arc::new(Room { inner: Mutex::new(inner) }) }
    }

    /// A client of this server, with the default namespace `default`. Needs a tokio runtime, to which it is bound.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// A client of this server that acts as `user`, which is what authorizers see.
    pub fn client_as(&self, user: &str) -> kube::Client {
        let user = http::HeaderValue::from_str(user).unwrap_or(http::HeaderValue::from_static("invalid"));
        let service = tower::ServiceBuilder::new()
            .map_request(move |mut request: http::Request<Body>| {
                request.headers_mut().insert("impersonate-user", user.clone());
                request
            })
            .service(self.clone());
        kube::Client::new(service, "default")
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.lock().requests.clear();
    }

    /// How many changes clients have made so far: each create, change and deletion of an object counts one, a
    /// write that changed nothing none.
    pub fn writes(&self) -> usize {
        self.shared.lock().store.writes()
    }

    /// The newest resource version.
    pub fn resource_version(&self) -> u64 {
        self.shared.lock().store.version()
    }

    /// The time of day as the server's metadata shows it.
    pub fn now(&self) -> String {
        self.shared.lock().store.now()
    }

    /// Forgets the history: a watch from an older version gets 410 (Expired), a continue token is worthless.
    pub fn compact(&self) {
        self.shared.lock().store.compact();
    }

    /// Ends all open watches, as a restart of the server does.
    pub fn cut_watches(&self) {
        self.shared.lock().store.cut_watches();
    }

    /// Whether a watch from a forgotten version is refused with an HTTP 410 rather than told so in the stream.
    pub fn set_gone_as_http(&self, on: bool) {
        self.shared.lock().gone_as_http = on;
    }

    /// Sets what looks at each request before and after it is applied.
    pub fn set_gate(&self, gate: impl Gate) {
        self.shared.lock().gate = Some(Arc::new(gate));
    }

    /// Removes the gate.
    pub fn clear_gate(&self) {
        self.shared.lock().gate = None;
    }

    /// Sets who may do what. Without it everybody may do everything.
    pub fn set_authorizer(&self, authorizer: impl Fn(&RequestInfo) -> Result<(), String> + Send + Sync + 'static) {
        self.shared.lock().authorizer = Some(Arc::new(authorizer));
    }

    async fn serve(self, request: http::Request<Body>) -> Result<Response<ResponseBody>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (call, gate) = self.accept(&parts, body);
        let mut record = Request { info: call.info.clone(), code: 0, wrote: false };
        if let Some(gate) = &gate {
            match gate.before(&record.info).await {
                Before::Apply => {}
                Before::Refuse(error) => {
                    record.code = error.code;
                    self.remember(&record);
                    return refusal(&error);
                }
                Before::Drop => {
                    self.remember(&record);
                    return Err(reset());
                }
            }
        }
        let answer = self.answer(&call, &mut record);
        self.remember(&record);
        let Some(gate) = gate else { return answer };
        match gate.after(&record).await {
            After::Reply => answer,
            After::Drop => Err(reset()),
            After::Refuse(error) => refusal(&error),
        }
    }

    fn accept(&self, parts: &http::request::Parts, body: Bytes) -> (Call, Option<Arc<dyn Gate>>) {
        let mut inner = self.shared.lock();
        inner.sequence += 1;
        (Call::new(inner.sequence, parts, body), inner.gate.clone())
    }

    fn remember(&self, record: &Request) {
        let mut inner = self.shared.lock();
        if inner.requests.len() >= REMEMBERED {
            inner.requests.pop_front();
        }
        inner.requests.push_back(record.clone());
    }

    /// Applies a request, whole and at once.
    fn answer(&self, call: &Call, record: &mut Request) -> Result<Response<ResponseBody>, BoxError> {
        if call.info.verb == "watch" {
            return match self.watch(call) {
                Ok(watch) => {
                    record.code = 200;
                    let frames = watch.into_stream().map(|line| Ok(http_body::Frame::data(line)));
                    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
                    Ok(Response::builder().header(CONTENT_TYPE, "application/json").body(body)?)
                }
                Err(error) => {
                    record.code = error.code;
                    refusal(&error)
                }
            };
        }
        let mut inner = self.shared.lock();
        let before = inner.store.writes();
        let answer = inner.dispatch(call);
        record.wrote = inner.store.writes() != before;
        drop(inner);
        match answer {
            Ok((code, body)) => {
                record.code = code;
                json_response(code, &body)
            }
            Err(error) => {
                record.code = error.code;
                refusal(&error)
            }
        }
    }

    fn watch(&self, call: &Call) -> Result<Watch, ApiError> {
        let (resource, selector) = {
            let inner = self.shared.lock();
            let (route, resource) = inner.resource(call)?;
            inner.authorize(call, &resource)?;
            let selector = selector(&resource, &route, call)?;
            (resource, selector)
        };
        Watch::open(&self.shared, resource, selector, call)
    }
}

fn seed_namespace(store: &mut Store, name: &str) {
    let Some(resource) = store.registry.find("", "v1", "namespaces") else { return };
    let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    object::prepare_create(store, &resource, "", &mut namespace);
    admission::default(&resource, &mut namespace);
    admission::prepare_create(&resource, &mut namespace);
    store.put(&resource.storage(), (String::new(), name.to_owned()), namespace);
}

fn selector(resource: &registry::Resource, route: &Route, call: &Call) -> Result<Selector, ApiError> {
    let namespace = route.namespace.as_deref().filter(|_| resource.namespaced);
    let named = route.name.as_ref().map(|name| format!("metadata.name={name}"));
    let fields = named.as_deref().or(call.query("fieldSelector"));
    Selector::parse(namespace, call.query("labelSelector"), fields, builtin::selectable(resource))
}

impl Inner {
    fn resource(&self, call: &Call) -> Result<(Route, Arc<registry::Resource>), ApiError> {
        let route = call.route.clone().ok_or_else(ApiError::no_such_path)?;
        let resource = self.store.registry.find(&route.group, &route.version, &route.plural);
        let resource = resource.filter(|resource| resource.namespaced || route.namespace.is_none());
        let resource = resource.ok_or_else(|| {
            // A group of the server's own answers with a Status, the rest of the world with text.
            let own = |known: &Arc<registry::Resource>| {
                !known.traits.custom && known.group == route.group && known.version == route.version
            };
            if self.store.registry.all().any(own) { ApiError::no_such_resource() } else { ApiError::no_such_path() }
        })?;
        // An object of a namespaced resource is only found in its namespace.
        if resource.namespaced && route.name.is_some() && route.namespace.is_none() {
            return Err(ApiError::no_such_path());
        }
        Ok((route, resource))
    }

    fn authorize(&self, call: &Call, resource: &registry::Resource) -> Result<(), ApiError> {
        let Some(authorizer) = &self.authorizer else { return Ok(()) };
        let Err(reason) = authorizer(&call.info) else { return Ok(()) };
        let info = &call.info;
        let scope = match &info.namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let why = format!(
            "User {:?} cannot {} resource {:?} in API group {:?} {scope}{}{reason}",
            info.user,
            info.verb,
            info.resource,
            info.group,
            if reason.is_empty() { "" } else { ": " },
        );
        // Where no name is asked for there are no quotes either.
        let name = info.name.clone().unwrap_or_default();
        let mut error = ApiError::forbidden(resource, &name, &why);
        if name.is_empty() {
            error.message = format!("{} is forbidden: {why}", resource.qualified());
        }
        Err(error)
    }

    fn dispatch(&mut self, call: &Call) -> write::Answer {
        let path = call.info.path.as_str();
        if matches!(path, "/readyz" | "/livez" | "/healthz") {
            return Ok((200, Value::String("ok".into())));
        }
        if let Some(answer) = discovery::answer(&self.store.registry, path) {
            return Ok((200, answer));
        }
        let (route, resource) = self.resource(call)?;
        self.authorize(call, &resource)?;
        let status = match route.subresource.as_deref() {
            None => false,
            Some("status") if resource.traits.status => true,
            Some("eviction") if resource.kind == "Pod" && call.info.verb == "create" => {
                return delete::evict(&mut self.store, &target(&resource, &route, false), call);
            }
            Some(_) if resource.traits.custom => return Err(ApiError::no_such_path()),
            Some(_) => return Err(ApiError::no_such_resource()),
        };
        let target = target(&resource, &route, status);
        match call.info.verb.as_str() {
            "get" => Ok((200, read::get(&self.store, &resource, &target.key(), call)?)),
            "list" => Ok((200, read::list(&self.store, &resource, &selector(&resource, &route, call)?, call)?)),
            "create" if route.name.is_none() => write::create(&mut self.store, &target, call),
            "update" => write::update(&mut self.store, &target, call),
            "patch" => write::patch(&mut self.store, &target, call),
            "delete" if !status => delete::delete(&mut self.store, &target, call),
            "deletecollection" => {
                let selector = selector(&resource, &route, call)?;
                let list = read::list(&self.store, &resource, &selector, call)?;
                delete::delete_collection(&mut self.store, &resource, &selector, call, list)
            }
            verb if resource.traits.custom && !verb.is_empty() => Err(ApiError::not_supported(&resource, verb)),
            _ => Err(ApiError::method_not_allowed()),
        }
    }
}

fn target<'a>(resource: &'a registry::Resource, route: &Route, status: bool) -> Target<'a> {
    let namespace = route.namespace.clone().unwrap_or_default();
    Target { resource, namespace, name: route.name.clone().unwrap_or_default(), status }
}

fn json_response(code: u16, body: &Value) -> Result<Response<ResponseBody>, BoxError> {
    text_response(code, "application/json", body.to_string())
}

fn text_response(code: u16, kind: &str, text: String) -> Result<Response<ResponseBody>, BoxError> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    Ok(Response::builder().status(code).header(CONTENT_TYPE, kind).body(body)?)
}

fn refusal(error: &ApiError) -> Result<Response<ResponseBody>, BoxError> {
    if error.is_plain_text() {
        return text_response(error.code, "text/plain; charset=utf-8", error.message.clone());
    }
    let mut response = json_response(error.code, &error.body())?;
    let after = error.details.as_ref().and_then(|details| details["retryAfterSeconds"].as_u64());
    if let Some(seconds) = after.or((error.code == 429).then_some(1)) {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

fn reset() -> BoxError {
    Box::new(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by peer"))
}

impl tower::Service<http::Request<Body>> for ApiServer {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // In a task of its own: a request that has left is applied even if nobody waits for the answer.
        let task = tokio::spawn(self.clone().serve(request));
        Box::pin(async move { task.await? })
    }
}
