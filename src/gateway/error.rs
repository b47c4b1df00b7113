//! Why a handshake did not complete: one reason each, distinct, with words for people.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustls::{CertificateError, Error as TlsError, InvalidMessage};

use super::{
    alert,
    metered::{Metered, TooMuch},
};

/// Why a handshake did not complete. None of these is evidence of what a gateway serves (law 6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The name cannot be asked for.
    #[error("\"{0}\" is not a host name that TLS can ask for")]
    Name(String),
    /// Nobody listens.
    #[error("{0} refused the connection: no process listens there")]
    Refused(SocketAddr),
    /// No route leads there, or this machine has no address of that family.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(SocketAddr, String),
    /// The connection was not made in time: nothing answers at that address, or something drops what is sent there.
    #[error("{0} did not accept a connection within {1:?}: no machine has that address, or a firewall is in between")]
    Unanswered(SocketAddr, Duration),
    /// The connection was made, the handshake took too long.
    #[error("{0} did not complete a handshake within {1:?}")]
    TimedOut(SocketAddr, Duration),
    /// The peer closed the connection in an orderly way before the handshake was complete: it has no certificate for
    /// that name, or none at all.
    #[error("{0} closed the connection during the handshake: {asked}", asked = lacks(.1))]
    Closed(SocketAddr, String),
    /// The peer reset the connection: Envoy does so without a certificate for that name, or with none that works.
    #[error("{0} reset the connection during the handshake: {asked}", asked = lacks(.1))]
    Reset(SocketAddr, String),
    /// The peer said no, with this TLS alert.
    #[error("{0} refused the handshake: {alert}", alert = alert::describe(*.1))]
    Alert(SocketAddr, u8),
    /// It speaks TLS, but nothing of what was offered.
    #[error("{0} speaks no protocol version or cipher suite that was offered: {1}")]
    Incompatible(SocketAddr, String),
    /// The answer was no TLS; the second field says what it looks like.
    #[error("{0} answered with something else than TLS: {1}")]
    NotTls(SocketAddr, String),
    /// The answer was TLS, but broken.
    #[error("{0} broke the rules of TLS: {1}")]
    Broken(SocketAddr, String),
    /// The peer showed a leaf and could not prove that it holds its key.
    #[error("{0} showed a certificate and did not prove that it holds its key: {1}")]
    Unproven(SocketAddr, String),
    /// The answer was longer than this many bytes.
    #[error("{0} sent more than {1} bytes in a handshake")]
    TooBig(SocketAddr, usize),
    /// Anything else.
    #[error("{0}: {1}")]
    Other(SocketAddr, String),
}

/// One way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Its stable name in answers.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn reason(name: &'static str, meaning: &'static str, remedy: &'static str) -> Reason {
    Reason { name, meaning, remedy }
}

/// All ways to fail, as `docs/probe.md` has them.
pub const REASONS: &[Reason] = &[
    reason("name", "the name is none that TLS can ask for", "name a DNS name with --sni"),
    reason(
        "refused",
        "no process listens at that address and port",
        "check address and port; a gateway without a listener, or without the right to read its Secrets, refuses, too",
    ),
    reason(
        "unreachable",
        "no route leads there, or this machine has no address of that family",
        "check the network; name the address itself to leave out its other family",
    ),
    reason(
        "unanswered",
        "no connection within the time-out: no such machine, or a firewall in between",
        "check the address and what lies in between; a longer --timeout may help",
    ),
    reason(
        "timed-out",
        "connected, but no complete handshake within the time-out",
        "a longer --timeout may help; a server that waits for a PROXY header needs --proxy-protocol",
    ),
    reason(
        "closed",
        "closed without an answer: no certificate for that name (SNI), or none at all",
        "name one of the gateway's hosts with --sni: without a name, Istio's gateways end every connection; a PROXY \
         header that is missing, or that nobody expects, ends it, too",
    ),
    reason(
        "reset",
        "reset: Envoy does so without a certificate for that name (SNI), with none that works, and where a PROXY header \
         is missing",
        "name one of the gateway's hosts with --sni; check what is stored with certkeeper check --secret; behind a load \
         balancer that announces its clients, use --proxy-protocol",
    ),
    reason(
        "alert",
        "refused with a TLS alert, whose number is told: 40 no suite fits (an ECDSA leaf behind suites for RSA), 70 no \
         version does, 112 it does not know the name",
        "look at the policy that was seen; certkeeper check --secret --cipher-suites kyma says whether a pair fits",
    ),
    reason(
        "incompatible",
        "TLS, but the server picks a version or suite that was not offered, one older than TLS 1.2 say",
        "set minProtocolVersion and cipherSuites in the Gateway's tls",
    ),
    reason(
        "not-tls",
        "an answer that is no TLS: plain HTTP, another protocol",
        "check the port: TLS is at 443, or at 8443 of a gateway's pod",
    ),
    reason("broken-tls", "TLS that breaks its own rules", "find out what lies in between: this is no healthy server"),
    reason(
        "unproven",
        "a certificate was shown whose key the peer could not prove to hold",
        "trust nothing of it: somebody shows another's certificate, or a key that does not match is served",
    ),
    reason(
        "too-big",
        "more bytes than any honest handshake has",
        "check what is served: a whole bundle of roots as the chain, say",
    ),
    reason("other", "anything else; the message says what", "see the message"),
];

impl HandshakeError {
    /// The reason, with what to do.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let name = self.reason_name();
        REASONS.iter().find(|reason| reason.name == name).copied().unwrap_or(reason(name, "", ""))
    }

    fn reason_name(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Refused(_) => "refused",
            Self::Unreachable(..) => "unreachable",
            Self::Unanswered(..) => "unanswered",
            Self::TimedOut(..) => "timed-out",
            Self::Closed(..) => "closed",
            Self::Reset(..) => "reset",
            Self::Alert(..) => "alert",
            Self::Incompatible(..) => "incompatible",
            Self::NotTls(..) => "not-tls",
            Self::Broken(..) => "broken-tls",
            Self::Unproven(..) => "unproven",
            Self::TooBig(..) => "too-big",
            Self::Other(..) => "other",
        }
    }

    /// Nothing came back from that address at all: another address of the same name may do better.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unreachable(..) | Self::Unanswered(..))
    }

    /// The peer speaks TLS and refuses this offer: its policy may be why.
    #[must_use]
    pub fn may_be_policy(&self) -> bool {
        matches!(self, Self::Alert(..) | Self::Incompatible(..))
    }

    /// The peer ended the connection itself.
    pub(super) fn is_farewell(&self) -> bool {
        matches!(self, Self::Closed(..) | Self::Reset(..) | Self::Alert(..))
    }

    /// What went wrong before there was a connection.
    pub(super) fn of_connecting(error: &io::Error, address: SocketAddr) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(address),
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut => Self::Unreachable(address, error.to_string()),
            _ => Self::Other(address, error.to_string()),
        }
    }

    /// What went wrong on a connection.
    pub(super) fn of_shaking(error: &io::Error, stream: &Metered, address: SocketAddr, name: &str) -> Self {
        let inner = error.get_ref();
        if let Some(TooMuch(most)) = inner.and_then(|inner| inner.downcast_ref()) {
            return Self::TooBig(address, *most);
        }
        // What came first decides: a greeting that ends in a closed connection is no missing certificate.
        if let Some(what) = not_tls(&stream.beginning) {
            return Self::NotTls(address, what);
        }
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                return Self::Reset(address, name.to_owned());
            }
            io::ErrorKind::UnexpectedEof => return Self::Closed(address, name.to_owned()),
            _ => {}
        }
        let Some(error) = inner.and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            return Self::Other(address, error.to_string());
        };
        Self::of_tls(error, address)
    }

    fn of_tls(error: &TlsError, address: SocketAddr) -> Self {
        let text = error.to_string();
        match error {
            TlsError::AlertReceived(alert) => Self::Alert(address, u8::from(*alert)),
            TlsError::PeerIncompatible(_) => Self::Incompatible(address, text),
            TlsError::InvalidMessage(
                InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
            ) => Self::TooBig(address, 0xffff),
            TlsError::InvalidCertificate(CertificateError::BadEncoding) => {
                Self::Broken(address, "the leaf is no certificate that can be read".to_owned())
            }
            TlsError::InvalidCertificate(_) | TlsError::DecryptError => Self::Unproven(address, text),
            TlsError::InvalidMessage(_)
            | TlsError::InappropriateMessage { .. }
            | TlsError::InappropriateHandshakeMessage { .. }
            | TlsError::PeerMisbehaved(_)
            | TlsError::PeerSentOversizedRecord
            | TlsError::NoCertificatesPresented => Self::Broken(address, text),
            _ => Self::Other(address, text),
        }
    }
}

/// What a server that ends the connection may lack.
fn lacks(name: &str) -> String {
    if name.parse::<IpAddr>().is_ok() {
        // RFC 6066, 3: an address is never sent as a name.
        "it was asked for no name, and serves nothing without one or nothing at all".to_owned()
    } else {
        format!("it has no certificate for \"{name}\", or none that works")
    }
}

/// What an answer is, if it does not begin as a TLS record does: content type 20 to 23, then version 3.x.
pub(super) fn not_tls(beginning: &[u8]) -> Option<String> {
    let is_tls = match beginning {
        [] => true,
        [kind] => (20..=23).contains(kind),
        [kind, major, ..] => (20..=23).contains(kind) && *major == 3,
    };
    if is_tls {
        return None;
    }
    if beginning.starts_with(b"HTTP/") {
        return Some("plain HTTP".to_owned());
    }
    let printable = beginning.iter().take_while(|byte| byte.is_ascii_graphic() || **byte == b' ').count();
    let shown = String::from_utf8_lossy(&beginning[..printable]).trim_end().to_owned();
    Some(if shown.len() >= 3 {
        format!("text that begins with \"{shown}\"")
    } else {
        let bytes: Vec<String> = beginning.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("bytes {}", bytes.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_begins_as_a_record_is_tls_and_the_rest_is_described() {
        assert_eq!(not_tls(&[22, 3, 3, 0, 1]), None);
        assert_eq!(not_tls(&[21, 3]), None);
        assert_eq!(not_tls(&[21]), None);
        assert_eq!(not_tls(&[]), None);
        assert_eq!(not_tls(b"HTTP/1.1 400 Bad").as_deref(), Some("plain HTTP"));
        assert_eq!(not_tls(b"SSH-2.0-x\r\n").as_deref(), Some("text that begins with \"SSH-2.0-x\""));
        assert_eq!(not_tls(&[0, 1, 2]).as_deref(), Some("bytes 00 01 02"));
        assert_eq!(not_tls(&[22, 9]).as_deref(), Some("bytes 16 09"));
    }

    proptest! {
        #[test]
        fn a_strangers_bytes_reach_no_terminal_as_control_characters(bytes: Vec<u8>) {
            if let Some(text) = not_tls(&bytes) {
                prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn every_reason_is_in_the_list_once() {
        let address = SocketAddr::from(([127, 0, 0, 1], 443));
        let text = String::new;
        let all = [
            HandshakeError::Name(text()),
            HandshakeError::Refused(address),
            HandshakeError::Unreachable(address, text()),
            HandshakeError::Unanswered(address, Duration::ZERO),
            HandshakeError::TimedOut(address, Duration::ZERO),
            HandshakeError::Closed(address, text()),
            HandshakeError::Reset(address, text()),
            HandshakeError::Alert(address, 40),
            HandshakeError::Incompatible(address, text()),
            HandshakeError::NotTls(address, text()),
            HandshakeError::Broken(address, text()),
            HandshakeError::Unproven(address, text()),
            HandshakeError::TooBig(address, 0),
            HandshakeError::Other(address, text()),
        ];
        for text in REASONS.iter().flat_map(|reason| [reason.meaning, reason.remedy]) {
            assert!(!text.is_empty() && !text.contains("  ") && !text.contains('\n'), "{text:?}");
        }
        let names: Vec<&str> = all.iter().map(|error| error.reason().name).collect();
        let listed: Vec<&str> = REASONS.iter().map(|reason| reason.name).collect();
        assert_eq!(names, listed);
    }
}
