//! Pairs to supply: the simulator's certificate authority in the words of the scenarios.

use base64::Engine;
use certkeeper_simulator::ca;
use chrono::{Duration, Utc};

/// The domain of every scenario.
pub const DOMAIN: &str = "gateway.example.com";
/// What its gateway must cover.
pub const WILDCARD: &str = "*.gateway.example.com";

/// A certificate and key as people supply them.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    fingerprint: String,
}

impl Pair {
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// A leaf for [`WILDCARD`] that began `age` ago and ends in `ends` from now; both may be negative.
pub struct Leaf {
    pub age: Duration,
    pub ends: Duration,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { age: Duration::hours(1), ends: Duration::days(90) }
    }
}

/// A root and an intermediate.
pub struct Ca {
    intermediate: ca::Ca,
}

impl Ca {
    pub fn new() -> Self {
        let root = ca::Ca::root("Scenario Root", Utc::now()).expect("a root");
        Self { intermediate: root.intermediate("Scenario Intermediate").expect("an intermediate") }
    }

    pub fn root_pem(&self) -> String {
        self.intermediate.root_pem().to_owned()
    }

    pub fn issue(&self, hosts: &[&str]) -> Pair {
        self.pair(hosts, &Leaf::default())
    }

    /// With the kind of key that Kyma's cipher suites are for.
    pub fn issue_rsa(&self) -> Pair {
        let leaf = self.intermediate.leaf(&[WILDCARD]).algorithm(ca::Algorithm::Rsa2048);
        issued(&leaf.issue().expect("a leaf is issued"))
    }

    pub fn issue_leaf(&self, leaf: &Leaf) -> Pair {
        self.pair(&[WILDCARD], leaf)
    }

    fn pair(&self, hosts: &[&str], leaf: &Leaf) -> Pair {
        let from = Utc::now() - leaf.age;
        let until = Utc::now() + leaf.ends;
        let leaf = self.intermediate.leaf(hosts).valid(ca::Validity { from, until });
        issued(&leaf.issue().expect("a leaf is issued"))
    }
}

fn issued(issued: &ca::Issued) -> Pair {
    Pair {
        certificate: issued.certificate(),
        key: issued.key().to_owned(),
        fingerprint: issued.fingerprint().to_owned(),
    }
}

/// Base64 on one line, as Kyma's values have it.
pub fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
