//! The servers that a Gateway should have: those that are there, with what is desired put into them.

use super::{Desired, GatewayObject};
use crate::lifecycle::{
    observed::ObjectName,
    serving::{Server, Tls, bare_host},
};

/// A server in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which of those that are there it is; `None`: a new one.
    pub from: Option<usize>,
    /// It differs from what is there.
    pub changed: bool,
    /// What it should say.
    pub server: Server,
}

/// All servers as they should be: the one that hands out the Secret and the one that redirects to it are made to say what
/// is desired, the others stay. A server is known by its Secret and its hosts, never by its name alone: that may be
/// somebody else's.
#[must_use]
pub fn merged(desired: &Desired, secret: &ObjectName, object: Option<&GatewayObject>) -> Vec<Placed> {
    let there = object.map(|object| object.gateway.servers.as_slice()).unwrap_or_default();
    let mut placed: Vec<Placed> = there
        .iter()
        .enumerate()
        .map(|(index, server)| Placed { from: Some(index), changed: false, server: server.clone() })
        .collect();
    let https = object.and_then(|object| find_https(desired, secret, object));
    let https = put(&mut placed, https, desired.server.as_deref().unwrap_or("https"), |server| {
        with_tls(desired, secret, object, server);
    });
    let http = find_http(desired, there, there.get(https)).filter(|index| *index != https);
    if desired.redirect {
        put(&mut placed, http, "http", |server| with_redirect(desired, server));
    } else if let Some(index) = http {
        put(&mut placed, Some(index), "http", |server| {
            if server.tls.as_ref().is_some_and(|tls| tls.redirect) {
                server.tls = None;
                with_hosts(desired, server);
            }
        });
    }
    placed
}

/// Changes the server at this place, or a new one at the end; returns its place.
fn put(placed: &mut Vec<Placed>, at: Option<usize>, name: &str, change: impl FnOnce(&mut Server)) -> usize {
    let index = at.unwrap_or_else(|| {
        let taken = placed.iter().any(|known| known.server.name == name);
        // Names of ports are unique in a Gateway.
        let name = if taken { format!("{name}-certkeeper") } else { name.to_owned() };
        let server = Server { name, port: 0, protocol: String::new(), hosts: Vec::new(), tls: None };
        placed.push(Placed { from: None, changed: true, server });
        placed.len() - 1
    });
    let before = placed[index].server.clone();
    change(&mut placed[index].server);
    placed[index].changed |= placed[index].server != before;
    index
}

fn find_https(desired: &Desired, secret: &ObjectName, object: &GatewayObject) -> Option<usize> {
    let servers = &object.gateway.servers;
    let find = |wanted: &dyn Fn(&Server) -> bool| servers.iter().position(wanted);
    if let Some(name) = &desired.server {
        return find(&|server| server.name == *name);
    }
    find(&|server| object.hands_out(server, secret) && meets(desired, server))
        .or_else(|| find(&|server| object.hands_out(server, secret)))
        .or_else(|| find(&|server| server.port == 443 && server.tls.is_some() && meets(desired, server)))
}

/// The one for our hosts or, where those are new, for the hosts that the https server had until now.
fn find_http(desired: &Desired, servers: &[Server], https: Option<&Server>) -> Option<usize> {
    let plain = |server: &Server| server.port == 80 && server.protocol.to_ascii_uppercase().starts_with("HTTP");
    let find = |wanted: &dyn Fn(&Server) -> bool| servers.iter().position(|server| plain(server) && wanted(server));
    let before = https.map(|https| &https.hosts).filter(|hosts| !hosts.is_empty());
    find(&|server| meets(desired, server)).or_else(|| find(&|server| Some(&server.hosts) == before))
}

/// It answers for one of our hosts by name.
fn meets(desired: &Desired, server: &Server) -> bool {
    server.hosts.iter().any(|host| desired.hosts.contains(&bare_host(host)))
}

fn with_tls(desired: &Desired, secret: &ObjectName, object: Option<&GatewayObject>, server: &mut Server) {
    if server.protocol != "HTTPS" || server.port == 0 {
        (server.port, server.protocol) = (443, "HTTPS".to_owned());
    }
    with_hosts(desired, server);
    // Another way to write the same name is no other name.
    let right = object.is_some_and(|object| object.hands_out(server, secret));
    let tls = server.tls.get_or_insert_default();
    let credential = tls.credential.take().filter(|_| right).or_else(|| Some(desired.credential.clone()));
    // The newest there is rules out nothing that is asked for; an older one might.
    let max_version = if tls.max_version == "TLSV1_3" { std::mem::take(&mut tls.max_version) } else { String::new() };
    *tls = Tls {
        mode: desired.mode.clone(),
        credential,
        files: false,
        min_version: desired.min_version.clone(),
        max_version,
        suites: desired.suites.clone(),
        redirect: false,
    };
}

fn with_redirect(desired: &Desired, server: &mut Server) {
    (server.port, server.protocol) = (80, "HTTP".to_owned());
    with_hosts(desired, server);
    server.tls = Some(Tls { redirect: true, ..server.tls.take().unwrap_or_default() });
}

/// `*/host` is another way to write `host`; another namespace before it narrows who may route it, and is taken off.
fn with_hosts(desired: &Desired, server: &mut Server) {
    let bare = |host: &String| host.strip_prefix("*/").unwrap_or(host).to_ascii_lowercase();
    let mut there: Vec<String> = server.hosts.iter().map(bare).collect();
    let mut wanted = desired.hosts.clone();
    there.sort();
    wanted.sort();
    if there != wanted {
        server.hosts.clone_from(&desired.hosts);
    }
}
