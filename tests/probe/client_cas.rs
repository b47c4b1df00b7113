//! The checks of a client CA against a stock Envoy, where there is one: what they refuse, Envoy refuses or lets nobody in
//! with; what they let pass lets in the clients that it should.

use std::{net::SocketAddr, process::Command, sync::Arc};

use certkeeper::certificate::{Context, judge_authorities, read_authorities};
use certkeeper_simulator::ca::{Ca, Issued};
use chrono::{Duration, Utc};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS12};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    envoys,
    servers::{PKI, free, listening, pair_in, program},
};

/// With TLS 1.2 the handshake itself says whether a client is let in.
async fn is_let_in(address: SocketAddr, chain: &str, key: &str) -> bool {
    let certificates = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.expect("a certificate")).collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(PKI.ca.root_pem()));
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .expect("TLS 1.2")
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(chain), PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"))
        .expect("a client's certificate");
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("a.example.com").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
}

fn client(ca: &Ca) -> Issued {
    ca.leaf(&["client.example.com"]).for_clients().issue().expect("a client")
}

/// A bundle, and clients (chain and key) of whom it is known whether they are let in.
struct Case {
    what: &'static str,
    bundle: String,
    /// The checks would let it be written.
    passes: bool,
    clients: Vec<(String, String, bool)>,
}

fn cases() -> Vec<Case> {
    let (root, other) = (Ca::root("Root", Utc::now()).expect("a root"), Ca::root("Other", Utc::now()).expect("a root"));
    let expired = Ca::root("Former", Utc::now() - Duration::days(365 * 11)).expect("a root");
    let below = root.intermediate("Intermediate").expect("an intermediate");
    let (ours, theirs, deep) = (client(&root), client(&other), client(&below));
    let with = |issued: &Issued, let_in| (issued.certificate(), issued.key().to_owned(), let_in);
    let alone = |issued: &Issued, let_in| (issued.leaf().to_owned(), issued.key().to_owned(), let_in);
    let former = expired
        .leaf(&["client.example.com"])
        .for_clients()
        .valid(certkeeper_simulator::ca::Validity::days(Utc::now(), 30))
        .issue()
        .expect("a client");
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let case = |what, bundle: &[&str], passes, clients| Case { what, bundle: bundle.concat(), passes, clients };
    let (pem, odd) = (root.pem(), root.pem().replace('\n', "\r\n"));
    vec![
        case("nothing", &[], false, Vec::new()),
        case("garbage", &["garbage"], false, Vec::new()),
        case("a good one and a broken one", &[&pem, broken], false, Vec::new()),
        case("one that is cut off", &[&pem, "-----BEGIN CERTIFICATE-----\nMII\n"], false, Vec::new()),
        case(
            "a root",
            &[&pem],
            true,
            vec![with(&ours, true), with(&theirs, false), with(&deep, true), alone(&deep, false)],
        ),
        case("another spelling", &["text\r\n", &odd], true, vec![with(&ours, true)]),
        case("two", &[&pem, &other.pem()], true, vec![with(&ours, true), with(&theirs, true)]),
        case("an intermediate", &[&below.pem()], true, vec![alone(&deep, true), with(&ours, false)]),
        case("a former one beside", &[&expired.pem(), &pem], true, vec![with(&ours, true), with(&former, false)]),
        case("a former one", &[&expired.pem()], false, vec![with(&former, false), with(&ours, false)]),
        case("a leaf", &[ours.leaf()], false, vec![with(&client(&root), false), with(&theirs, false)]),
    ]
}

#[tokio::test]
async fn what_the_checks_of_a_client_ca_say_is_what_envoy_does() {
    let test = "what_the_checks_of_a_client_ca_say_is_what_envoy_does";
    let Some(program) = program("envoy", "CERTKEEPER_ENVOY", test) else { return };
    for Case { what, bundle, passes, clients } in cases() {
        let read = read_authorities(Some(bundle.as_bytes()), false);
        let verdict = judge_authorities(&read, &Context::new(Utc::now()));
        assert_eq!(!verdict.is_unusable(), passes, "{what}: {verdict:?}");
        // As supplied, and as certkeeper would write it.
        let written = if passes { vec![bundle, read.pem()] } else { vec![bundle] };
        for bundle in written {
            let folder = tempfile::tempdir().expect("a folder");
            pair_in(&folder, &PKI.rsa);
            std::fs::write(folder.path().join("roots.pem"), &bundle).expect("written");
            let [address] = free();
            let listener = envoys::listener("mutual", address, false, &envoys::terminating(folder.path(), true));
            let path = folder.path().join("envoy.json");
            let configuration = serde_json::json!({"static_resources": {"listeners": [listener]}});
            std::fs::write(&path, configuration.to_string()).expect("written");
            let mut command = Command::new(&program);
            command.arg("-c").arg(&path).args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]);
            if clients.is_empty() {
                let output = command.args(["--mode", "validate"]).output().expect("it runs");
                assert!(!output.status.success(), "{what}: Envoy takes it");
                continue;
            }
            let envoy = listening(command, folder, &[address]);
            for (number, (chain, key, let_in)) in clients.iter().enumerate() {
                assert_eq!(is_let_in(envoy.address, chain, key).await, *let_in, "{what}: client {number}");
            }
        }
    }
}
