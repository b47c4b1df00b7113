//! From method, path and query to what is asked for.

use std::collections::BTreeMap;

use http::Method;

use super::status::ApiError;

/// The parts of a resource path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Route {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// Splits `/api/v1/namespaces/n/secrets/s/status` and `/apis/GROUP/VERSION/…`; nothing for other paths.
pub(crate) fn resource_path(path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // `namespaces/x` and its subresources are about the namespace itself.
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        _ => (None, rest),
    };
    let [plural, rest @ ..] = rest else { return None };
    let (name, subresource) = match rest {
        [] => (None, None),
        [name] => (Some((*name).to_owned()), None),
        [name, subresource] => (Some((*name).to_owned()), Some((*subresource).to_owned())),
        _ => return None,
    };
    let (group, version, plural) = (group.to_owned(), version.to_owned(), (*plural).to_owned());
    Some(Route { group, version, namespace, plural, name, subresource })
}

/// The verb as RBAC names it.
pub(crate) fn verb(method: &Method, named: bool, watch: bool) -> Result<&'static str, ApiError> {
    Ok(match (method.as_str(), named) {
        ("GET", _) if watch => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    })
}

/// The query string, decoded.
pub(crate) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (unescape(k), unescape(v))).collect()
}

/// Undoes percent-encoding and `+`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let hex = || more.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let route = resource_path("/apis/coordination.k8s.io/v1/namespaces/n/leases/l/status").unwrap();
        assert_eq!((route.group.as_str(), route.namespace.as_deref()), ("coordination.k8s.io", Some("n")));
        assert_eq!((route.name.as_deref(), route.subresource.as_deref()), (Some("l"), Some("status")));
        let route = resource_path("/api/v1/namespaces/n").unwrap();
        assert_eq!((route.plural.as_str(), route.name.as_deref(), route.namespace), ("namespaces", Some("n"), None));
        let route = resource_path("/api/v1/secrets").unwrap();
        assert_eq!((route.plural.as_str(), route.name), ("secrets", None));
        let route = resource_path("/api/v1/namespaces/n/status").unwrap();
        assert_eq!((route.plural.as_str(), route.subresource.as_deref()), ("namespaces", Some("status")));
        assert_eq!(resource_path("/healthz"), None);
        assert_eq!(resource_path("/api/v1"), None);
    }

    #[test]
    fn a_query_is_decoded() {
        let query = query("fieldSelector=metadata.name%3Da%2Cx&watch=1&dry+run");
        assert_eq!(query["fieldSelector"], "metadata.name=a,x");
        assert_eq!((query["watch"].as_str(), query["dry run"].as_str()), ("1", ""));
    }

    #[test]
    fn a_method_that_does_not_fit_the_path_is_not_allowed() {
        assert_eq!(verb(&Method::GET, false, true).unwrap(), "watch");
        assert_eq!(verb(&Method::PUT, false, false).unwrap_err().code, 405);
    }
}
