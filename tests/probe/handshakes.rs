//! What a completed handshake shows.

use std::net::SocketAddr;

use certkeeper::gateway::{HandshakeError, Question, ServedChain, TcpDial, Versions, shake};
use rustls::{CipherSuite, ProtocolVersion};
use tokio::io::AsyncReadExt;

use crate::servers::{PATIENCE, PKI, Tcp, acceptor, openssl};

async fn shaken(address: SocketAddr, versions: Versions) -> Result<ServedChain, HandshakeError> {
    shake(&TcpDial, &Question { versions, ..Question::new(address, "a.example.com", PATIENCE) }).await
}

#[tokio::test]
async fn openssls_chain_is_seen_with_version_suite_and_time() {
    let server = openssl(&PKI.rsa, &[]);
    for (versions, protocol) in [
        (Versions::Any, ProtocolVersion::TLSv1_3),
        (Versions::Tls13, ProtocolVersion::TLSv1_3),
        (Versions::Tls12, ProtocolVersion::TLSv1_2),
    ] {
        let served = shaken(server.address, versions).await.expect("a handshake");
        assert_eq!(served.fingerprint.to_string(), PKI.rsa.fingerprint());
        assert_eq!(served.chain.len(), 2, "leaf and intermediate");
        assert_eq!(served.protocol, Some(protocol));
        assert!(served.complete && !served.asks_client);
        assert!(served.handshake <= PATIENCE && served.handshake.as_nanos() > 0);
        assert!(served.received > 1000 && served.sent > 100, "{} {}", served.received, served.sent);
        let facts = served.facts();
        assert_eq!(facts.leaf().map(|leaf| leaf.fingerprint.to_string()).as_deref(), Some(PKI.rsa.fingerprint()));
        assert_eq!(facts.chain().len(), 2);
        assert!(facts.pair().is_none(), "nobody shows a key");
    }
}

#[tokio::test]
async fn the_suite_that_a_server_has_alone_is_the_one_agreed_on() {
    let server = openssl(&PKI.rsa, &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"]);
    let served = shaken(server.address, Versions::Any).await.expect("a handshake");
    assert_eq!(served.cipher_suite, Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384));
    let refused = shaken(server.address, Versions::Tls13).await;
    assert!(matches!(refused, Err(HandshakeError::Alert(_, 70))), "{refused:?}");
}

#[tokio::test]
async fn the_leaf_of_a_server_that_wants_a_client_certificate_is_seen_without_one() {
    for (option, wanted, complete) in [
        ("-tls1_3", ProtocolVersion::TLSv1_3, true),
        // OpenSSL ends a TLS 1.2 handshake before it is finished; by then it had signed.
        ("-tls1_2", ProtocolVersion::TLSv1_2, false),
    ] {
        let server = openssl(&PKI.rsa, &[option, "-Verify", "1", "-verify_return_error"]);
        let served = shaken(server.address, Versions::Any).await.expect(option);
        assert_eq!(served.fingerprint.to_string(), PKI.rsa.fingerprint(), "{option}");
        assert!(served.asks_client, "{option}");
        assert_eq!(served.complete, complete, "{option}");
        assert_eq!(served.protocol, complete.then_some(wanted), "{option}");
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_only_wished_for_ends_nothing() {
    let server = openssl(&PKI.ecdsa, &["-tls1_2", "-verify", "1"]);
    let served = shaken(server.address, Versions::Any).await.expect("a handshake");
    assert!(served.asks_client && served.complete);
    assert_eq!(served.fingerprint.to_string(), PKI.ecdsa.fingerprint());
}

#[tokio::test]
async fn no_application_data_is_ever_sent() {
    let (seen, mut said) = tokio::sync::mpsc::channel(4);
    let acceptor = acceptor(&PKI.rsa, &PKI.rsa);
    let server = Tcp::start(move |stream| {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.expect("a handshake");
            let mut data = Vec::new();
            // The end may come without a farewell.
            let _ = stream.read_to_end(&mut data).await;
            seen.send(data).await.expect("somebody waits");
        }
    })
    .await;
    for versions in [Versions::Tls12, Versions::Tls13] {
        shaken(server.address, versions).await.expect("a handshake");
        let data = tokio::time::timeout(PATIENCE, said.recv()).await.expect("in time");
        assert_eq!(data.as_deref(), Some(&[][..]), "{versions:?}");
    }
}
