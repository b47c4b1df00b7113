//! Each way in which a handshake fails has a reason of its own.

use std::{io, net::SocketAddr, time::Duration};

use certkeeper::gateway::{Dial, HandshakeError, Stream, TcpDial, handshake};
use futures::future::BoxFuture;
use tokio::{io::AsyncReadExt, net::TcpListener, time::Instant};

use crate::servers::{PATIENCE, PKI, Tcp, acceptor, openssl};

async fn fails(address: SocketAddr) -> HandshakeError {
    match handshake(&TcpDial, address, "a.example.com", PATIENCE).await {
        Ok(served) => panic!("served {}", served.fingerprint),
        Err(error) => error,
    }
}

/// A record of TLS 1.2 with this content.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    [&[kind, 3, 3], length.as_slice(), content].concat()
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    assert_eq!(fails(address).await, HandshakeError::Refused(address));
}

#[tokio::test]
async fn closing_and_resetting_are_told_apart() {
    let closing = Tcp::answering("").await;
    assert_eq!(fails(closing.address).await.reason().name, "closed");
    let resetting = Tcp::start(|stream| async move {
        // What came is left unread: the kernel resets such a connection.
        let _ = stream.readable().await;
    })
    .await;
    assert_eq!(fails(resetting.address).await.reason().name, "reset");
}

#[tokio::test]
async fn an_alert_is_told_with_its_number() {
    let old = openssl(&PKI.rsa, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert_eq!(fails(old.address).await, HandshakeError::Alert(old.address, 70));
    let told = fails(old.address).await.to_string();
    assert!(told.contains("alert 70, protocol_version"), "{told}");
    let unknown = Tcp::answering(record(21, &[2, 112])).await;
    assert_eq!(fails(unknown.address).await, HandshakeError::Alert(unknown.address, 112));
}

#[tokio::test]
async fn what_is_no_tls_is_described() {
    for (answer, wanted) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "plain HTTP"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH"),
        ("\0\0\0\0\0\0\0\0", "bytes 00 00"),
    ] {
        let server = Tcp::answering(answer).await;
        let error = fails(server.address).await;
        assert_eq!(error.reason().name, "not-tls", "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_version_that_nobody_offered_is_incompatible_and_nonsense_is_broken() {
    let hello = [&[2, 0, 0, 38, 3, 2][..], &[7; 32], &[0, 0xc0, 0x14, 0]].concat();
    let old = Tcp::answering(record(22, &hello)).await;
    assert_eq!(fails(old.address).await.reason().name, "incompatible");
    let nonsense = Tcp::answering(record(22, &[2, 0, 0, 2, 9, 9])).await;
    assert_eq!(fails(nonsense.address).await.reason().name, "broken-tls");
}

#[tokio::test]
async fn a_message_beyond_all_measure_is_too_big() {
    let huge = Tcp::answering(record(22, &[2, 0xff, 0xff, 0xff, 0])).await;
    let error = fails(huge.address).await;
    assert_eq!(error.reason().name, "too-big", "{error}");
}

#[tokio::test]
async fn who_shows_anothers_certificate_proves_nothing() {
    let acceptor = acceptor(&PKI.rsa, &PKI.other);
    let server = Tcp::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let _ = acceptor.accept(stream).await;
        }
    })
    .await;
    let error = fails(server.address).await;
    assert_eq!(error.reason().name, "unproven", "{error}");
}

/// A server that takes this long to connect, and then says nothing.
#[derive(Debug, Clone, Copy)]
struct Slow(Duration);

impl Dial for Slow {
    fn dial(&self, _address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let wait = self.0;
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            let (near, mut far) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move { while far.read_u8().await.is_ok() {} });
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_for_connection_and_handshake_together() {
    const LIMIT: Duration = Duration::from_secs(5);
    const MS: Duration = Duration::from_millis(1);
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    for (connecting, wanted) in [
        (LIMIT + MS, HandshakeError::Unanswered(address, LIMIT)),
        (LIMIT - MS, HandshakeError::TimedOut(address, LIMIT)),
        (Duration::ZERO, HandshakeError::TimedOut(address, LIMIT)),
    ] {
        let begin = Instant::now();
        let failed = handshake(&Slow(connecting), address, "a.example.com", LIMIT).await;
        assert_eq!(failed.err(), Some(wanted));
        assert_eq!(begin.elapsed(), LIMIT, "neither earlier nor later");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_asked_for_is_told_before_anything_is_sent() {
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    let failed = handshake(&TcpDial, address, "*.example.com", PATIENCE).await;
    assert!(matches!(failed, Err(HandshakeError::Name(name)) if name == "*.example.com"));
}

/// A network that fails like this.
#[derive(Debug, Clone, Copy)]
struct Fails(io::ErrorKind);

impl Dial for Fails {
    fn dial(&self, _address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let kind = self.0;
        Box::pin(async move { Err(kind.into()) })
    }
}

#[tokio::test]
async fn what_a_network_says_has_its_reason() {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    for (kind, reason, absent) in [
        (ConnectionRefused, "refused", true),
        (HostUnreachable, "unreachable", true),
        (NetworkUnreachable, "unreachable", true),
        (AddrNotAvailable, "unreachable", true),
        (TimedOut, "unreachable", true),
        (PermissionDenied, "other", false),
    ] {
        let error = handshake(&Fails(kind), address, "a.example.com", PATIENCE).await.expect_err("no network");
        assert_eq!((error.reason().name, error.is_absent()), (reason, absent), "{kind:?}: {error}");
    }
}
