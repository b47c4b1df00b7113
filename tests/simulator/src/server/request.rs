//! What the server sees of a request, what it remembers of it, and where faults and laws hook in.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::{
    route::{self, Route},
    status::ApiError,
};

/// A request as authorizers and gates see it.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// Counts requests from 1.
    pub sequence: u64,
    /// The HTTP method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The verb as RBAC names it: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// API group; empty for core.
    pub group: String,
    /// Plural of the resource; with a subresource `pods/eviction`. Empty for paths that name none.
    pub resource: String,
    /// Namespace, if the path names one.
    pub namespace: Option<String>,
    /// Name: from the path, or from `fieldSelector=metadata.name=…` (RBAC by resourceNames honours both).
    pub name: Option<String>,
    /// `Content-Type` of the body.
    pub content_type: String,
    /// `fieldManager` of the query, else the first part of the user agent.
    pub manager: String,
    /// The client asked for metadata only (`PartialObjectMetadata`).
    pub metadata_only: bool,
    /// Who asks: the user of [`super::ApiServer::client_as`], else `admin`.
    pub user: String,
}

/// One answered request, as [`super::ApiServer::requests`] lists it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request.
    pub info: RequestInfo,
    /// The status code that was decided; 0 while the answer is outstanding.
    pub code: u16,
    /// Whether it changed what is stored.
    pub wrote: bool,
}

/// What a gate wants done with a request that has not been applied yet.
#[derive(Debug)]
pub enum Before {
    /// Let it through.
    Apply,
    /// Answer with this refusal; nothing is applied.
    Refuse(ApiError),
    /// Break the connection; nothing is applied.
    Drop,
}

/// What a gate wants done with the answer to a request that has been applied.
#[derive(Debug)]
pub enum After {
    /// Send it.
    Reply,
    /// Break the connection: applied, but the client does not hear of it.
    Drop,
    /// Send this refusal instead.
    Refuse(ApiError),
}

/// Looks at every request before and after it is applied: faults, delays, laws, a timeline. A gate may take
/// (tokio's) time in both places; a client that gives up meanwhile undoes nothing.
pub trait Gate: Send + Sync + 'static {
    /// Before anything is looked at or changed.
    fn before<'a>(&'a self, _request: &'a RequestInfo) -> BoxFuture<'a, Before> {
        Box::pin(async { Before::Apply })
    }

    /// Once it is applied (or refused, see `request.code`), before the answer leaves.
    fn after<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, After> {
        Box::pin(async { After::Reply })
    }
}

/// Decides who may do what: an error is the reason, and becomes a 403 in the words of the RBAC authorizer.
pub type Authorizer = dyn Fn(&RequestInfo) -> Result<(), String> + Send + Sync;

/// A parsed request with its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) info: RequestInfo,
    pub(crate) route: Option<Route>,
    pub(crate) body: bytes::Bytes,
}

impl Call {
    pub(crate) fn new(sequence: u64, parts: &http::request::Parts, body: bytes::Bytes) -> Self {
        let header = |name: &str| text(&parts.headers, name);
        let query = route::query(parts.uri.query().unwrap_or_default());
        let route = route::resource_path(parts.uri.path());
        let watch = matches!(query.get("watch").map(String::as_str), Some("true" | "1"));
        let named = route.as_ref().is_some_and(|route| route.name.is_some());
        let resource = route.as_ref().map_or_else(String::new, |route| match &route.subresource {
            Some(sub) => format!("{}/{sub}", route.plural),
            None => route.plural.clone(),
        });
        let selected = || {
            let terms = query.get("fieldSelector")?.split(',');
            terms.filter_map(|term| term.strip_prefix("metadata.name=")).next().map(|n| n.trim_matches('=').to_owned())
        };
        let agent = header("user-agent").split('/').next().unwrap_or_default().to_owned();
        let info = RequestInfo {
            sequence,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            verb: route::verb(&parts.method, named, watch).unwrap_or("").to_owned(),
            group: route.as_ref().map_or_else(String::new, |route| route.group.clone()),
            resource,
            namespace: route.as_ref().and_then(|route| match &route.name {
                // A request for one namespace is one in that namespace.
                Some(name) if route.plural == "namespaces" => Some(name.clone()),
                _ => route.namespace.clone(),
            }),
            name: route.as_ref().and_then(|route| route.name.clone()).or_else(selected),
            content_type: header("content-type").split(';').next().unwrap_or_default().trim().to_owned(),
            manager: query.get("fieldManager").cloned().filter(|m| !m.is_empty()).unwrap_or(agent),
            metadata_only: header("accept").contains("as=PartialObjectMetadata"),
            user: Some(header("impersonate-user")).filter(|user| !user.is_empty()).unwrap_or("admin".into()),
            query,
        };
        Self { info, route, body }
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.info.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a flag of the query is on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "1"))
    }

    /// Whether the client asked for metadata only.
    pub(crate) fn metadata_only(&self) -> bool {
        self.info.metadata_only
    }

    /// The body as JSON; the real server answers 400 to anything else.
    pub(crate) fn json(&self) -> Result<Value, ApiError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
