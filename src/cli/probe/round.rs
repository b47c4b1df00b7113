//! One round: each address is asked, and the answers are judged.

use std::{net::SocketAddr, time::Duration};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use rustls::ProtocolVersion;

use super::{
    expected::differs,
    report::{Answer, Expected, Failure, Handshake, Link, Server, Word},
};
use crate::{
    certificate::{Context, Facts, Finding, Roots, Severity, judge},
    cli::answer::{Certificate, Found, time},
    gateway::{
        Dial, HandshakeError, ProxyHeader, Question, ServedChain, Versions, shake,
        wire::{self, Expectation, Survey, survey},
    },
};

/// How many servers are asked at once.
pub(super) const SERVERS_AT_ONCE: usize = 8;
/// How many connections there may be to one server at once.
const AT_ONCE: usize = 4;

/// What is asked of each server.
pub(super) struct Round<'a> {
    /// The name that is asked for.
    pub(super) name: &'a str,
    /// The host that the leaf must cover: the name, or the wildcard that it falls under.
    pub(super) host: &'a str,
    pub(super) versions: Versions,
    pub(super) proxy: ProxyHeader,
    pub(super) limit: Duration,
    pub(super) expected: Option<&'a Expected>,
    /// The policy to ask for on the wire, and where plain HTTP is.
    pub(super) policy: Option<(&'a Expectation, Option<u16>)>,
    pub(super) roots: Option<&'a Roots>,
    pub(super) now: DateTime<Utc>,
}

/// Asks all of these addresses, some at once; the answers are in their order.
pub(super) async fn every(dial: &dyn Dial, addresses: &[SocketAddr], round: &Round<'_>) -> Vec<Server> {
    stream::iter(addresses).map(|address| one(dial, *address, round)).buffered(SERVERS_AT_ONCE).collect().await
}

/// Asks the first of these addresses that answers, as a client does; the first of all where none does.
pub(super) async fn first(dial: &dyn Dial, addresses: &[SocketAddr], round: &Round<'_>) -> Vec<Server> {
    let mut absent = None;
    for address in addresses {
        let shaken = shake(dial, &round.question(*address)).await;
        match &shaken {
            Err(error) if error.is_absent() => absent = absent.or(Some((*address, shaken))),
            _ => return vec![judged(dial, *address, round, shaken).await],
        }
    }
    match absent {
        Some((address, shaken)) => vec![judged(dial, address, round, shaken).await],
        None => Vec::new(),
    }
}

/// Asks this address.
pub(super) async fn one(dial: &dyn Dial, address: SocketAddr, round: &Round<'_>) -> Server {
    let shaken = shake(dial, &round.question(address)).await;
    judged(dial, address, round, shaken).await
}

async fn judged(
    dial: &dyn Dial,
    address: SocketAddr,
    round: &Round<'_>,
    shaken: Result<ServedChain, HandshakeError>,
) -> Server {
    let facts = shaken.as_ref().ok().map(ServedChain::facts);
    let mut findings = Vec::new();
    if let (Ok(served), Some(facts)) = (&shaken, &facts) {
        findings.extend(round.judge(served, facts));
    }
    let askable = shaken.as_ref().map_or_else(HandshakeError::may_be_policy, |_| true);
    let key = facts.as_ref().and_then(Facts::leaf).map(|leaf| leaf.key.as_str());
    let policy = match round.policy.filter(|_| askable) {
        Some((expectation, redirect)) => {
            let (answers, found) = round.ask_policy(dial, address, expectation, redirect, key).await;
            findings.extend(found);
            Some(answers)
        }
        None => None,
    };
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    round.server(address, shaken, facts.as_ref(), policy, &findings)
}

impl Round<'_> {
    fn question(&self, address: SocketAddr) -> Question<'_> {
        Question { address, name: self.name, versions: self.versions, proxy: self.proxy, limit: self.limit }
    }

    fn judge(&self, served: &ServedChain, facts: &Facts) -> Vec<Finding> {
        let hosts = [self.host.to_owned()];
        let context = Context { hosts: &hosts, roots: self.roots, key_expected: false, ..Context::new(self.now) };
        let mut findings = judge(facts, &context).findings;
        let fingerprint = served.fingerprint.to_string();
        if let Some(expected) = self.expected.filter(|expected| expected.fingerprint != fingerprint) {
            let place = facts.leaf().map_or_else(|| "certificate".to_owned(), |leaf| leaf.location());
            findings.push(differs(expected, &fingerprint, place));
        }
        findings
    }

    async fn ask_policy(
        &self,
        dial: &dyn Dial,
        address: SocketAddr,
        expectation: &Expectation,
        redirect: Option<u16>,
        key: Option<&str>,
    ) -> (Vec<Answer>, Vec<Finding>) {
        let questions = Survey {
            address,
            name: self.name,
            proxy: self.proxy,
            redirect: redirect.map(|port| SocketAddr::new(address.ip(), port)),
            limit: self.limit,
            at_once: AT_ONCE,
        };
        let observed = survey(dial, &questions).await;
        let (rows, findings) = wire::judge(expectation, &observed, key);
        let answer = |row: wire::Row| Answer {
            subject: row.subject,
            expected: row.expected,
            found: row.found,
            holds: row.holds,
        };
        (rows.into_iter().map(answer).collect(), findings)
    }

    fn server(
        &self,
        address: SocketAddr,
        shaken: Result<ServedChain, HandshakeError>,
        facts: Option<&Facts>,
        policy: Option<Vec<Answer>>,
        findings: &[Finding],
    ) -> Server {
        let gravest = findings.iter().map(|finding| finding.severity).max();
        let verdict = match gravest {
            Some(Severity::Error) => Word::Bad,
            _ if shaken.is_err() => Word::Unknown,
            _ => Word::Good,
        };
        let chain = facts.map(Facts::chain).unwrap_or_default();
        let served = shaken.as_ref().ok();
        let as_expected = self.expected.zip(served);
        Server {
            address: address.to_string(),
            name: self.name.to_owned(),
            pod: None,
            ready: None,
            gateway_server: None,
            verdict,
            expected: self.expected.cloned(),
            as_expected: as_expected.map(|(expected, served)| expected.fingerprint == served.fingerprint.to_string()),
            certificate: chain.first().map(|leaf| Certificate::new(leaf, chain.len())),
            chain: chain
                .iter()
                .map(|certificate| Link {
                    fingerprint: certificate.fingerprint.to_string(),
                    subject: certificate.subject.clone(),
                    issuer: certificate.issuer.clone(),
                    not_after: time(certificate.not_after),
                })
                .collect(),
            handshake: served.map(Handshake::from),
            failure: shaken.err().map(|error| Failure::from(&error)),
            policy,
            findings: findings.iter().map(|finding| Found::at(finding, finding.location.clone())).collect(),
        }
    }
}

impl From<&ServedChain> for Handshake {
    fn from(served: &ServedChain) -> Self {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self {
            protocol: served.protocol.map(protocol),
            cipher_suite: served.cipher_suite.and_then(|suite| suite.as_str().map(iana)),
            complete: served.complete,
            asks_client_certificate: served.asks_client,
            connect_micros: micros(served.connect),
            handshake_micros: micros(served.handshake),
            received: served.received,
            sent: served.sent,
        }
    }
}

impl From<&HandshakeError> for Failure {
    fn from(error: &HandshakeError) -> Self {
        let reason = error.reason();
        Self { reason: reason.name, message: error.to_string(), remedy: reason.remedy }
    }
}

fn protocol(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        other => format!("0x{:04x}", u16::from(other)),
    }
}

/// rustls tells TLS 1.3's suites by a prefix of its own; IANA's name has none.
fn iana(suite: &str) -> String {
    suite.replacen("TLS13_", "TLS_", 1)
}
