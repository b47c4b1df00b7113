//! Gateways that contend for the same connections.

use super::{Gateway, Server, bare_host};

/// Servers of other Gateways, in words, that answer on the same port for a host of one of `ours`, at the same pods,
/// with another credential: which of the two is served is Istio's choice (the older Gateway's), and no reload changes
/// that. `hands_out` tells whose credential is ours.
#[must_use]
pub fn rivals(gateway: &Gateway, all: &[&Gateway], hands_out: impl Fn(&Gateway, &Server) -> bool) -> Vec<String> {
    let hosts = |server: &Server| server.hosts.iter().map(|host| bare_host(host)).collect::<Vec<String>>();
    let mut found = Vec::new();
    for other in all.iter().filter(|other| other.name != gateway.name && other.selector == gateway.selector) {
        for theirs in other.servers.iter().filter(|server| server.tls.is_some() && !hands_out(other, server)) {
            let contends = |server: &&Server| {
                server.port == theirs.port && hosts(server).iter().any(|host| hosts(theirs).contains(host))
            };
            if gateway.servers.iter().filter(|server| hands_out(gateway, server)).any(|server| contends(&server)) {
                found.push(format!("server {} of Gateway {}", theirs.name, other.name));
            }
        }
    }
    found
}
