//! The PROXY header goes first, on each connection, and nothing else does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use certkeeper::gateway::{
    HandshakeError, ProxyHeader, Question, ServedChain, TcpDial, shake,
    wire::{Expectation, Redirect, Survey, judge, survey},
};
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::TcpStream,
};

use crate::servers::{PATIENCE, PKI, Tcp, nginx, openssl};

/// Lets only those through to `inner` who send exactly this header first; counts them.
async fn behind(header: &'static [u8], inner: SocketAddr) -> (Tcp, Arc<AtomicUsize>) {
    let passed = Arc::new(AtomicUsize::new(0));
    let count = passed.clone();
    let gate = Tcp::start(move |mut stream| {
        let count = count.clone();
        async move {
            let mut first = vec![0; header.len()];
            if stream.read_exact(&mut first).await.is_err() || first != header {
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let mut inner = TcpStream::connect(inner).await.expect("the inner server");
            let _ = copy_bidirectional(&mut stream, &mut inner).await;
        }
    })
    .await;
    (gate, passed)
}

async fn shaken(address: SocketAddr, proxy: ProxyHeader) -> Result<ServedChain, HandshakeError> {
    shake(&TcpDial, &Question { proxy, ..Question::new(address, "a.example.com", PATIENCE) }).await
}

/// As the specification has them: 2.1, and 2.2 with the command LOCAL.
const HEADERS: [(ProxyHeader, &[u8]); 2] = [
    (ProxyHeader::V1, b"PROXY UNKNOWN\r\n"),
    (ProxyHeader::V2, b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x20\x00\x00\x00"),
];

#[tokio::test]
async fn a_server_behind_the_header_is_seen_with_it_and_not_without() {
    let server = openssl(&PKI.rsa, &[]);
    for (proxy, header) in HEADERS {
        let (gate, passed) = behind(header, server.address).await;
        let served = shaken(gate.address, proxy).await.expect("a handshake");
        assert_eq!(served.fingerprint.to_string(), PKI.rsa.fingerprint());
        assert_eq!(passed.load(Ordering::SeqCst), 1);
        for wrong in [ProxyHeader::None, ProxyHeader::V1, ProxyHeader::V2].iter().filter(|other| **other != proxy) {
            let error = shaken(gate.address, *wrong).await.expect_err("the wrong header");
            assert!(["reset", "closed"].contains(&error.reason().name), "{error}");
        }
        assert_eq!(passed.load(Ordering::SeqCst), 1, "nobody else came through");
    }
}

#[tokio::test]
async fn a_header_that_nobody_expects_is_no_tls_to_the_server() {
    let server = openssl(&PKI.rsa, &[]);
    let error = shaken(server.address, ProxyHeader::V1).await.expect_err("no TLS");
    assert!(!error.is_absent(), "{error}");
}

#[tokio::test]
async fn each_question_about_the_policy_has_the_header_too_and_so_has_plain_http() {
    let suites = certkeeper::gateway::wire::KYMA_SUITES.join(":");
    let server = openssl(&PKI.rsa, &["-cipher", &suites]);
    let plain = Tcp::answering("HTTP/1.1 301 Moved\r\nlocation: https://a.example.com/\r\n\r\n").await;
    let (proxy, header) = HEADERS[1];
    let (tls, asked) = behind(header, server.address).await;
    let (http, redirected) = behind(header, plain.address).await;
    let questions = Survey {
        address: tls.address,
        name: "a.example.com",
        proxy,
        redirect: Some(http.address),
        limit: PATIENCE,
        at_once: 4,
    };
    let observed = survey(&TcpDial, &questions).await;
    assert!(matches!(observed.redirect, Some(Redirect::ToHttps { status: 301, .. })), "{observed:?}");
    let (_, findings) = judge(&Expectation::kyma(), &observed, Some("RSA 2048"));
    assert_eq!(findings, [], "{observed:?}");
    // Four versions, and the five suites: the first is known by then, and the rest is refused at once.
    assert_eq!(asked.load(Ordering::SeqCst), 9);
    assert_eq!(redirected.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nginx_takes_both_headers() {
    let Some((_nginx, _, proxied)) = nginx("nginx_takes_both_headers", &PKI.rsa) else { return };
    for (proxy, _) in HEADERS {
        let served = shaken(proxied, proxy).await.unwrap_or_else(|error| panic!("{proxy:?}: {error}"));
        assert_eq!(served.fingerprint.to_string(), PKI.rsa.fingerprint());
    }
    assert!(shaken(proxied, ProxyHeader::None).await.is_err());
}
