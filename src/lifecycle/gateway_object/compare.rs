//! How a Gateway differs from what it should say. What is stricter than asked for is no difference.

use std::collections::BTreeMap;

use super::{Desired, GatewayObject};
use crate::lifecycle::{
    observed::ObjectName,
    serving::{Credential, Gateway, Server, Tls, bare_host, covers_host as covers, rivals},
};

/// The protocol versions that a Gateway may name, the oldest first. TLS_AUTO, or nothing, leaves the least to Istio,
/// whose choice has changed over its versions.
const VERSIONS: [&str; 4] = ["TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"];
/// How many values are quoted of a list.
const QUOTED: usize = 12;

/// A difference between a Gateway and what it should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A stable name: `gateway-…`.
    pub check: &'static str,
    /// Where it is: `spec.servers[0].tls.mode`.
    pub field: String,
    /// What is there.
    pub found: String,
    /// What should be.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

/// The differences of this Gateway, in the order of its fields. `all`: every Gateway that is known, for those that
/// contend for the same connections.
#[must_use]
pub fn compare(
    desired: &Desired,
    secret: &ObjectName,
    object: &GatewayObject,
    all: &[GatewayObject],
) -> Vec<Difference> {
    let gateway = &object.gateway;
    let mut found: Vec<Difference> = selector(desired, secret, object).into_iter().collect();
    let picked = |server: &Server| desired.server.as_ref().is_none_or(|name| server.name == *name);
    let ours: Vec<(usize, &Server)> = gateway
        .servers
        .iter()
        .enumerate()
        .filter(|(_, server)| picked(server) && object.hands_out(server, secret))
        .collect();
    if ours.is_empty() {
        found.push(credential(desired, secret, object));
        return found;
    }
    for (index, server) in &ours {
        let Some(tls) = &server.tls else { continue };
        found.extend(tls_differences(desired, &format!("spec.servers[{index}].tls"), tls));
    }
    found.extend(hosts(desired, &ours));
    found.extend(redirect(desired, gateway));
    let others: Vec<&Gateway> = all.iter().map(|object| &object.gateway).collect();
    let hands_out = |of: &Gateway, server: &Server| {
        all.iter().find(|object| object.gateway.name == of.name).is_some_and(|object| object.hands_out(server, secret))
    };
    found.extend(rivals(gateway, &others, hands_out).into_iter().map(|rival| Difference {
        check: "gateway-rival",
        field: "spec.servers".to_owned(),
        found: format!("{rival} answers for the same host on the same port at the same pods, with another credential"),
        expected: "one server for each host and port".to_owned(),
        remedy: "remove one of the two: which of them is served is Istio's choice".to_owned(),
    }));
    found
}

fn words(selector: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = selector.iter().map(|(label, value)| format!("{label}={value}")).collect();
    if pairs.is_empty() { "none".to_owned() } else { quoted(&pairs) }
}

fn selector(desired: &Desired, secret: &ObjectName, object: &GatewayObject) -> Option<Difference> {
    let found = &object.gateway.selector;
    let difference = |found: String, expected: String, remedy: &str| {
        let (check, field) = ("gateway-selector", "spec.selector".to_owned());
        Some(Difference { check, field, found, expected, remedy: remedy.to_owned() })
    };
    if found.is_empty() {
        let expected =
            if desired.selector_named { words(&desired.selector) } else { "the gateway's labels".to_owned() };
        let remedy = "name the labels of the gateway's pods: without them every gateway of the mesh serves it";
        return difference(words(found), expected, remedy);
    }
    if desired.selector_named && *found != desired.selector {
        let remedy = "set the labels that spec.gateway.selector names, or change that";
        return difference(words(found), words(&desired.selector), remedy);
    }
    if object.selects == Some(false) {
        let expected = format!("labels of the gateway's pods in namespace {}", secret.namespace);
        let found = format!("{}, which no pod and no Service there has", words(found));
        return difference(found, expected, "name the labels of the gateway's pods");
    }
    None
}

/// No server hands the Secret out.
fn credential(desired: &Desired, secret: &ObjectName, object: &GatewayObject) -> Difference {
    let with_tls = object.gateway.servers.iter().filter_map(|server| Some((server, server.tls.as_ref()?)));
    let others: Vec<String> = with_tls
        .filter(|(_, tls)| !tls.redirect)
        .map(|(server, tls)| match (&tls.credential, tls.files) {
            (Some(name), _) => match Credential::of(name, &secret.namespace) {
                Credential::Foreign(foreign) => format!("{name} in server {} (Secret {foreign})", server.name),
                _ => format!("{name} in server {}", server.name),
            },
            (None, true) => format!("files in server {}", server.name),
            (None, false) => format!("none in server {}", server.name),
        })
        .collect();
    let found = if others.is_empty() { "no server with TLS".to_owned() } else { quoted(&others) };
    let place = match &desired.server {
        Some(name) => format!("credentialName of server {name}"),
        None => "credentialName of a server".to_owned(),
    };
    Difference {
        check: "gateway-credential",
        field: "spec.servers[].tls.credentialName".to_owned(),
        found,
        expected: format!("{} (Secret {secret})", desired.credential),
        remedy: format!(
            "set {} as {place}: without a namespace it means that of the gateway's pods, and Istio hands out a Secret of \
             another only where a policy allows that",
            desired.credential
        ),
    }
}

fn tls_differences(desired: &Desired, at: &str, tls: &Tls) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differs = |check, field: &str, found: &str, expected: String, remedy: &str| {
        let found = if found.is_empty() { "nothing".to_owned() } else { found.to_owned() };
        let field = format!("{at}.{field}");
        differences.push(Difference { check, field, found, expected, remedy: remedy.to_owned() });
    };
    if tls.mode != desired.mode {
        let remedy = match desired.mode.as_str() {
            "MUTUAL" => "set MUTUAL: else no client is asked for a certificate, or not each",
            _ => "set SIMPLE, or name the CA certificates of the clients in spec.clientCA",
        };
        differs("gateway-mode", "mode", &tls.mode, desired.mode.clone(), remedy);
    }
    let rank = |version: &str| VERSIONS.iter().position(|known| *known == version);
    if rank(&tls.min_version) < rank(&desired.min_version) {
        let remedy = "set it: what Istio takes by default has changed over its versions";
        differs("gateway-min-version", "minProtocolVersion", &tls.min_version, desired.min_version.clone(), remedy);
    }
    if let Some(most) = rank(&tls.max_version)
        && Some(most) < rank(&desired.min_version)
    {
        let expected = format!("{} or newer, or nothing", desired.min_version);
        let remedy = "remove it: it rules out every version that is accepted";
        differs("gateway-min-version", "maxProtocolVersion", &tls.max_version, expected, remedy);
    }
    let speaks_1_2 = tls.min_version != "TLSV1_3" && !desired.suites.is_empty();
    let outside: Vec<String> = tls.suites.iter().filter(|suite| !desired.suites.contains(suite)).cloned().collect();
    if speaks_1_2 && (tls.suites.is_empty() || !outside.is_empty()) {
        let found = if outside.is_empty() {
            "Envoy's default list".to_owned()
        } else {
            format!("{}, which is not in the policy", quoted(&outside))
        };
        let remedy = "name just those; a policy of your own goes into spec.gateway.policy.cipherSuites";
        differs("gateway-cipher-suites", "cipherSuites", &found, desired.suites.join(", "), remedy);
    }
    differences
}

fn hosts(desired: &Desired, ours: &[(usize, &Server)]) -> Option<Difference> {
    let missing: Vec<String> =
        desired.hosts.iter().filter(|host| !ours.iter().any(|(_, server)| covers(server, host))).cloned().collect();
    let found: Vec<String> = ours.iter().flat_map(|(_, server)| &server.hosts).map(|host| bare_host(host)).collect();
    let index = ours.first().map(|(index, _)| *index).unwrap_or_default();
    (!missing.is_empty()).then(|| Difference {
        check: "gateway-hosts",
        field: format!("spec.servers[{index}].hosts"),
        found: if found.is_empty() { "nothing".to_owned() } else { quoted(&found) },
        expected: quoted(&missing),
        remedy: "add them: for other hosts the gateway closes the connection".to_owned(),
    })
}

fn redirect(desired: &Desired, gateway: &Gateway) -> Option<Difference> {
    let redirects = |server: &&Server| server.port == 80 && server.tls.as_ref().is_some_and(|tls| tls.redirect);
    let redirecting: Vec<&Server> = gateway.servers.iter().filter(redirects).collect();
    let missing: Vec<String> =
        desired.hosts.iter().filter(|host| !redirecting.iter().any(|server| covers(server, host))).cloned().collect();
    (desired.redirect && !missing.is_empty()).then(|| Difference {
        check: "gateway-redirect",
        field: "spec.servers[].tls.httpsRedirect".to_owned(),
        found: format!("no server on port 80 that redirects {}", quoted(&missing)),
        expected: "true on port 80, for the same hosts".to_owned(),
        remedy: "add such a server, or set spec.gateway.policy.httpsRedirect to false".to_owned(),
    })
}

/// Some of these, in words.
fn quoted(all: &[String]) -> String {
    let more = all.len().saturating_sub(QUOTED);
    let shown = all.iter().take(QUOTED).cloned().collect::<Vec<String>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
