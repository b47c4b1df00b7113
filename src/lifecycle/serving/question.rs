//! What is to be asked of whom.

use std::net::SocketAddr;

use super::{Credential, Gateway, Pod, PodState, Server, Service, Tls, hosts, ports};

/// The port of plain HTTP (RFC 9110, 4.2.1).
const HTTP: u16 = 80;

/// One handshake to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// Who is asked.
    pub pod: &'a Pod,
    /// About which server.
    pub server: &'a Server,
    /// That server's TLS settings.
    pub tls: &'a Tls,
    /// Where the pod listens for it.
    pub address: SocketAddr,
    /// The host to ask for, which the leaf must cover: a name, or a wildcard.
    pub host: String,
    /// Where the pair comes from.
    pub credential: Credential,
    /// The pod's port at which the Gateway redirects this host's plain HTTP to https, if it does so.
    pub redirect: Option<u16>,
    /// The pod's port behind port 80, whatever the Gateway says of that.
    pub plain: u16,
}

/// A server that is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unasked<'a> {
    /// Which one.
    pub server: &'a Server,
    /// Why.
    pub why: Unaskable,
}

/// Why a server is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unaskable {
    /// Its port is plain.
    Plain,
    /// It passes TLS on: the certificate is that of somebody behind it.
    PassesOn,
    /// It serves the mesh's own certificates.
    MeshOnly,
    /// The name that is to be asked for is none of its hosts, or another server's first.
    OtherHost,
    /// It answers for `*` alone: which name to ask for is not known.
    NoName,
    /// It names neither a credential nor files: Istio refuses it.
    NoCredential,
    /// It names no port.
    NoPort,
    /// A mode that is not known here.
    UnknownMode,
}

impl Unaskable {
    /// It serves a certificate, or ought to, that nobody has seen.
    #[must_use]
    pub fn leaves_doubt(self) -> bool {
        matches!(self, Self::NoName | Self::NoCredential | Self::NoPort | Self::UnknownMode)
    }

    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "its port is plain",
            Self::PassesOn => "it passes TLS on to a server behind it",
            Self::MeshOnly => "it serves the mesh's own certificates",
            Self::OtherHost => "the name that is asked for is none of its hosts, or another server's first",
            Self::NoName => "it answers for * alone: which name is to be asked for",
            Self::NoCredential => "it names no credentialName and no files, and Istio refuses such a server",
            Self::NoPort => "it names no port",
            Self::UnknownMode => "its tls.mode is not known here",
        }
    }
}

/// Everything to ask, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions<'a> {
    /// In the order of the Gateway's servers, and of the pods for each.
    pub asked: Vec<Question<'a>>,
    /// In the order of the Gateway's servers.
    pub unasked: Vec<Unasked<'a>>,
}

/// What is to be asked about this Gateway: each pod that its selector matches, ready or not, for each server that
/// terminates TLS with a certificate of its own. Pods without an address, that terminate or have ended are not asked.
/// `sni` is asked for in place of the servers' own hosts, at those servers that answer for it.
///
/// An empty selector matches no pod here: which ones Istio takes for gateways is not known.
#[must_use]
pub fn questions<'a>(gateway: &'a Gateway, services: &[Service], pods: &'a [Pod], sni: Option<&str>) -> Questions<'a> {
    let mut questions = Questions::default();
    let live = |pod: &&Pod| matches!(pod.state, PodState::Ready | PodState::NotReady) && gateway.selects(&pod.labels);
    for server in &gateway.servers {
        match askable(gateway, server, sni) {
            Err(why) => questions.unasked.push(Unasked { server, why }),
            Ok((tls, host)) => {
                let askable = pods.iter().filter(live);
                questions.asked.extend(askable.filter_map(|pod| one(gateway, services, pod, (server, tls), &host)));
            }
        }
    }
    questions
}

fn askable<'a>(gateway: &Gateway, server: &'a Server, sni: Option<&str>) -> Result<(&'a Tls, String), Unaskable> {
    let tls = server.tls.as_ref().ok_or(Unaskable::Plain)?;
    match tls.mode.as_str() {
        "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL" => {}
        // On a plain server httpsRedirect is all that its tls says.
        "" | "PASSTHROUGH" if tls.redirect => return Err(Unaskable::Plain),
        "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH" => return Err(Unaskable::PassesOn),
        "ISTIO_MUTUAL" => return Err(Unaskable::MeshOnly),
        _ => return Err(Unaskable::UnknownMode),
    }
    if server.port == 0 {
        return Err(Unaskable::NoPort);
    }
    if tls.credential.is_none() && !tls.files {
        return Err(Unaskable::NoCredential);
    }
    let host = match sni {
        None => hosts::first(server).ok_or(Unaskable::NoName)?,
        Some(name) => {
            let own = hosts::coverage(server, name).ok_or(Unaskable::OtherHost)?;
            let neighbours = gateway.servers.iter().filter(|other| other.port == server.port && other.tls.is_some());
            if neighbours.filter_map(|other| hosts::coverage(other, name)).any(|other| other > own) {
                return Err(Unaskable::OtherHost);
            }
            hosts::bare_host(name)
        }
    };
    Ok((tls, host))
}

fn one<'a>(
    gateway: &Gateway,
    services: &[Service],
    pod: &'a Pod,
    (server, tls): (&'a Server, &'a Tls),
    host: &str,
) -> Option<Question<'a>> {
    let port = |port| ports::resolve(port, pod, services);
    let redirects = |other: &&Server| {
        other.port > 0 && other.tls.as_ref().is_some_and(|tls| tls.redirect) && hosts::coverage(other, host).is_some()
    };
    let credential = match &tls.credential {
        Some(name) => Credential::of(name, &pod.name.namespace),
        None => Credential::Files,
    };
    Some(Question {
        pod,
        server,
        tls,
        address: SocketAddr::new(pod.address?, port(server.port)),
        host: host.to_owned(),
        credential,
        redirect: gateway.servers.iter().find(redirects).map(|redirecting| port(redirecting.port)),
        plain: port(HTTP),
    })
}
