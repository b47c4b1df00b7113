//! Which host a server answers for. Envoy takes the most specific of all that cover a name; a wildcard covers any
//! number of labels there.

use super::Server;

/// A Gateway's host without the namespace that may stand before it (`ns/host`, `./host`, `*/host`), in lower case.
#[must_use]
pub fn bare_host(host: &str) -> String {
    let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The first host that somebody can ask for: a name, or a wildcard under which any label will do. `*` is neither.
pub(super) fn first(server: &Server) -> Option<String> {
    server.hosts.iter().map(|host| bare_host(host)).find(|host| !matches!(host.as_str(), "" | "*" | "*."))
}

/// How specifically this server covers a name (or a wildcard): the greater, the more. `None`: it does not.
pub(super) fn coverage(server: &Server, name: &str) -> Option<usize> {
    let name = bare_host(name);
    server.hosts.iter().filter_map(|host| covers(&bare_host(host), &name)).max()
}

/// Whether this server answers for a name, or for all names under a wildcard.
#[must_use]
pub fn covers_host(server: &Server, name: &str) -> bool {
    coverage(server, name).is_some()
}

fn covers(host: &str, name: &str) -> Option<usize> {
    if host == "*" {
        return Some(0);
    }
    if host == name {
        return Some(usize::MAX);
    }
    let parent = host.strip_prefix('*').filter(|parent| parent.starts_with('.') && parent.len() > 1)?;
    (name.len() > parent.len() && name.ends_with(parent)).then_some(parent.len())
}
