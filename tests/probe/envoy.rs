//! A stock Envoy, where there is one: what the gateways of a Kyma cluster are made of.

use std::net::SocketAddr;

use certkeeper::gateway::{
    HandshakeError, ProxyHeader, Question, ServedChain, TcpDial, Versions, shake,
    wire::{Expectation, Observed, Outcome, Survey, Version, judge, survey},
};

use crate::servers::{PATIENCE, PKI, envoy};

async fn shaken(
    address: SocketAddr,
    name: &str,
    proxy: ProxyHeader,
    versions: Versions,
) -> Result<ServedChain, HandshakeError> {
    shake(&TcpDial, &Question { proxy, versions, ..Question::new(address, name, PATIENCE) }).await
}

async fn observe(address: SocketAddr, redirect: SocketAddr, proxy: ProxyHeader) -> Observed {
    let questions =
        Survey { address, name: "a.example.com", proxy, redirect: Some(redirect), limit: PATIENCE, at_once: 4 };
    survey(&TcpDial, &questions).await
}

#[tokio::test]
async fn envoy_with_kymas_policy_has_no_finding_with_a_proxy_header_or_without() {
    let test = "envoy_with_kymas_policy_has_no_finding_with_a_proxy_header_or_without";
    let Some(envoy) = envoy(test, &PKI.rsa) else { return };
    for (tls, plain, proxy) in [
        (envoy.tls.address, envoy.plain, ProxyHeader::None),
        (envoy.proxied, envoy.proxied_plain, ProxyHeader::V1),
        (envoy.proxied, envoy.proxied_plain, ProxyHeader::V2),
    ] {
        let served = shaken(tls, "a.example.com", proxy, Versions::Any).await.expect("a handshake");
        assert_eq!(served.fingerprint.to_string(), PKI.rsa.fingerprint());
        let observed = observe(tls, plain, proxy).await;
        let (_, findings) = judge(&Expectation::kyma(), &observed, Some("RSA 2048"));
        assert_eq!(findings, [], "{proxy:?}: {observed:?}");
    }
}

#[tokio::test]
async fn envoy_ends_connections_for_other_names_and_for_headers_that_are_missing_or_not_expected() {
    let test = "envoy_ends_connections_for_other_names_and_for_headers_that_are_missing_or_not_expected";
    let Some(envoy) = envoy(test, &PKI.rsa) else { return };
    for (address, name, proxy) in [
        (envoy.tls.address, "a.elsewhere.example", ProxyHeader::None),
        (envoy.tls.address, "127.0.0.1", ProxyHeader::None),
        (envoy.proxied, "a.example.com", ProxyHeader::None),
        (envoy.tls.address, "a.example.com", ProxyHeader::V1),
        (envoy.tls.address, "a.example.com", ProxyHeader::V2),
    ] {
        let ended = shaken(address, name, proxy, Versions::Any).await.expect_err("no handshake");
        assert!(["closed", "reset"].contains(&ended.reason().name), "{name} {proxy:?}: {ended}");
    }
}

#[tokio::test]
async fn the_leaf_of_an_envoy_that_wants_a_client_certificate_is_seen_without_one() {
    let test = "the_leaf_of_an_envoy_that_wants_a_client_certificate_is_seen_without_one";
    let Some(envoy) = envoy(test, &PKI.rsa) else { return };
    for (versions, complete) in [(Versions::Any, true), (Versions::Tls13, true), (Versions::Tls12, false)] {
        let served = shaken(envoy.mutual, "a.example.com", ProxyHeader::None, versions).await.expect("a leaf");
        assert_eq!(served.fingerprint.to_string(), PKI.rsa.fingerprint());
        assert_eq!((served.asks_client, served.complete), (true, complete), "{versions:?}");
    }
}

#[tokio::test]
async fn an_ecdsa_leaf_behind_kymas_suites_is_seen_as_measured() {
    let Some(envoy) = envoy("an_ecdsa_leaf_behind_kymas_suites_is_seen_as_measured", &PKI.ecdsa) else { return };
    let observed = observe(envoy.tls.address, envoy.plain, ProxyHeader::None).await;
    let refused = |alert: &str| Some(Outcome::Refused(alert.to_owned()));
    assert_eq!(observed.version(Version::Tls12).cloned(), refused("alert 40, handshake_failure"));
    assert_eq!(observed.version(Version::Tls10).cloned(), refused("alert 70, protocol_version"));
    let (_, findings) = judge(&Expectation::kyma(), &observed, Some("ECDSA P-256"));
    let names: Vec<&str> = findings.iter().map(|finding| finding.check.name).collect();
    assert_eq!(names, ["policy-suites-key"], "{observed:?}");
}
