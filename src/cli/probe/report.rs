//! The answer for programs. Its schema is `docs/probe.schema.json`: fields are added, never renamed or removed.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::answer::{Certificate, Found, schema_of};

/// What `certkeeper probe` saw.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Answer of certkeeper probe")]
pub(super) struct Report {
    /// The gravest verdict among the servers. The exit code says the same: 0 good, 1 bad, 2 unknown.
    pub(super) verdict: Word,
    /// Who was asked, and against what the answer was held.
    pub(super) probed: Probed,
    /// What each server showed: one for each address that was asked; with --gateway one for each pod and each of the
    /// Gateway's servers, none where no pod serves it.
    pub(super) servers: Vec<Server>,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    /// A handshake was completed and nothing of error level was found.
    Good,
    /// No handshake was completed: what is served is not known.
    Unknown,
    /// Something of error level was found: another leaf than expected, a certificate that is wrong, a policy that is
    /// not kept.
    Bad,
}

/// Who was asked, and against what the answer was held.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Probed {
    /// Host and port, as they were given; namespace and name of the Gateway.
    pub(super) target: String,
    /// The host that was asked for (SNI); an IP address was not sent. With --gateway that of the first of servers, empty
    /// where nobody was asked.
    pub(super) name: String,
    /// The time of the probe (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) at: String,
    /// The protocol versions that were offered: any, 1.2 or 1.3.
    pub(super) offered: &'static str,
    /// The PROXY header that went first: none, v1 or v2.
    pub(super) proxy_protocol: &'static str,
    /// The leaf that was expected of all; null where any was fine, or each of servers has its own.
    pub(super) expected: Option<Expected>,
    /// The policy that was asked for on the wire: kyma or gateway; null where it was not asked in this round.
    pub(super) policy: Option<&'static str>,
    /// Where the roots came from, for people; null where no root was asked for.
    pub(super) roots: Option<String>,
    /// The Gateway and its pods; null where a host was asked.
    pub(super) gateway: Option<AskedGateway>,
}

/// The Gateway whose pods were asked.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskedGateway {
    /// The labels of its pods, as kubectl takes them.
    pub(super) selector: String,
    /// Those of its servers that were asked.
    pub(super) servers: Vec<AskedServer>,
    /// Its other servers, and why they were not asked.
    pub(super) unasked: Vec<UnaskedServer>,
    /// How many of its pods are ready. They alone decide the verdict.
    pub(super) ready_pods: usize,
    /// How many are not ready; they are asked, too.
    pub(super) not_ready_pods: usize,
    /// Pods that terminate or have no address yet (namespace/name): they were not asked.
    pub(super) unasked_pods: Vec<String>,
}

/// One of the Gateway's servers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskedServer {
    /// Its port's name.
    pub(super) gateway_server: String,
    /// Its port, as clients of the Service see it.
    pub(super) port: u16,
    /// Its hosts.
    pub(super) hosts: Vec<String>,
    /// Its tls.mode.
    pub(super) mode: String,
    /// Its credentialName; null where its pair lies in files of the pods.
    pub(super) credential: Option<String>,
}

/// A server that was not asked.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnaskedServer {
    /// Its port's name.
    pub(super) gateway_server: String,
    /// Why it was not asked, for people.
    pub(super) reason: &'static str,
    /// It ought to serve a certificate, which nobody has seen: the verdict is unknown at best.
    pub(super) leaves_doubt: bool,
}

/// The leaf that was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Expected {
    /// SHA-256 over its DER: 64 hexadecimal digits in lower case.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(super) fingerprint: String,
    /// Who expects it, for people.
    pub(super) source: String,
}

/// What one server showed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Server {
    /// IP address and port.
    pub(super) address: String,
    /// The host that was asked for (SNI); an IP address was not sent.
    pub(super) name: String,
    /// The pod behind it, namespace/name; null where a host was asked.
    pub(super) pod: Option<String>,
    /// That pod is ready; null where a host was asked.
    pub(super) ready: Option<bool>,
    /// The port's name of the Gateway's server that was asked; null where a host was asked.
    pub(super) gateway_server: Option<String>,
    /// The verdict on this server.
    pub(super) verdict: Word,
    /// The handshake; null where none was completed.
    pub(super) handshake: Option<Handshake>,
    /// Why no handshake was completed; null where one was.
    pub(super) failure: Option<Failure>,
    /// The leaf that was expected here; null where any was fine.
    pub(super) expected: Option<Expected>,
    /// The leaf that is served is the one that was expected; null where nothing was expected or seen.
    pub(super) as_expected: Option<bool>,
    /// The leaf; null where none was seen or it cannot be read.
    pub(super) certificate: Option<Certificate>,
    /// The chain, leaf first, in mended order.
    pub(super) chain: Vec<Link>,
    /// What it does with each question about the policy; null where it was not asked in this round.
    pub(super) policy: Option<Vec<Answer>>,
    /// What was found: errors first, then warnings, then information.
    pub(super) findings: Vec<Found>,
}

/// A completed handshake.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handshake {
    /// The protocol version that was agreed on, e.g. TLS 1.3; null where the server turned away who has no client
    /// certificate before that was certain.
    pub(super) protocol: Option<String>,
    /// The cipher suite that was agreed on, in IANA's name; null as for the protocol.
    pub(super) cipher_suite: Option<String>,
    /// Both sides finished. False only with TLS 1.2 where a client certificate is required: the server had proven that
    /// it holds the leaf's key by then.
    pub(super) complete: bool,
    /// The server asked for a client certificate.
    pub(super) asks_client_certificate: bool,
    /// How long it took to connect, in microseconds.
    pub(super) connect_micros: u64,
    /// How long the handshake took once connected, in microseconds.
    pub(super) handshake_micros: u64,
    /// Bytes received.
    pub(super) received: usize,
    /// Bytes sent.
    pub(super) sent: usize,
}

/// Why no handshake was completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    /// The reason's stable name: docs/probe.md lists them.
    pub(super) reason: &'static str,
    /// What happened.
    pub(super) message: String,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// One certificate of the chain.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    /// SHA-256 over its DER: 64 hexadecimal digits in lower case.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub(super) fingerprint: String,
    /// The subject's name; may be empty.
    pub(super) subject: String,
    /// The issuer's name.
    pub(super) issuer: String,
    /// The last second at which it is valid (RFC 3339, UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(super) not_after: String,
}

/// The answer to one question about the policy.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// What it is about: TLS 1.0 to TLS 1.3, a TLS 1.2 cipher suite in OpenSSL's name, or plain HTTP.
    pub(super) subject: String,
    /// What the policy expects: accepted, refused, or redirect to https; empty where anything will do.
    pub(super) expected: &'static str,
    /// What was found, for people.
    pub(super) found: String,
    /// The two agree; null where it cannot be told, or anything will do.
    pub(super) holds: Option<bool>,
}

impl Report {
    pub(super) fn new(probed: Probed, servers: Vec<Server>) -> Self {
        // No client is sent to a pod that is not ready.
        let deciding = servers.iter().filter(|server| server.ready != Some(false));
        let verdict = deciding.map(|server| server.verdict).max().unwrap_or(Word::Unknown);
        let doubt = probed.gateway.as_ref().is_some_and(|asked| asked.unasked.iter().any(|one| one.leaves_doubt));
        Self { verdict: if doubt { verdict.max(Word::Unknown) } else { verdict }, probed, servers }
    }
}

/// The JSON Schema of the answer, as `docs/probe.schema.json` holds it.
#[must_use]
pub fn schema() -> String {
    schema_of::<Report>()
}
