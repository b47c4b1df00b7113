//! Whether plain HTTP is redirected to https: one bounded GET (RFC 9110, 15.4; RFC 9112).

use std::net::{IpAddr, SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::Survey;
use crate::gateway::{Dial, handshake::connect, metered::Metered};

/// The most that is read of an answer: its head is all that counts.
const MOST: usize = 8 * 1024;
/// Locations are shown; what is longer is cut.
const LONGEST_SHOWN: usize = 200;

/// What a server does with plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// It sends the client to this https address.
    ToHttps {
        /// 301 and 308 are for good, 302, 303 and 307 for this once.
        status: u16,
        /// Where to.
        location: String,
    },
    /// It answers, but does not send the client to https.
    Other {
        /// The answer's status.
        status: u16,
        /// Where it sends the client instead, if anywhere.
        location: Option<String>,
    },
    /// Nobody listens, or the connection is ended without an answer: at least nothing is served in the clear.
    Closed(String),
    /// It cannot be told, for this reason.
    Unknown(String),
}

impl Redirect {
    /// To https, and for good.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::ToHttps { status: 301 | 308, .. })
    }
}

/// Asks for `/` and reads the answer's head.
pub(super) async fn ask(dial: &dyn Dial, survey: &Survey<'_>, address: SocketAddr) -> Redirect {
    let deadline = Instant::now() + survey.limit;
    let stream = match connect(dial, address, deadline).await {
        Some(Ok(stream)) => stream,
        Some(Err(refused @ crate::gateway::HandshakeError::Refused(_))) => {
            return Redirect::Closed(refused.to_string());
        }
        Some(Err(error)) => return Redirect::Unknown(error.to_string()),
        None => return Redirect::Unknown(format!("{address} did not accept a connection within {:?}", survey.limit)),
    };
    let mut stream = Metered::new(stream, MOST);
    let first = [survey.proxy.bytes(), request(survey.name).into_bytes()].concat();
    let talk = async {
        stream.write_all(&first).await?;
        listen(&mut stream).await
    };
    match timeout_at(deadline, talk).await {
        Ok(Ok(head)) => head,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {
            Redirect::Closed(format!("{address} reset the connection"))
        }
        Ok(Err(error)) => Redirect::Unknown(format!("{address}: {error}")),
        Err(_) => Redirect::Unknown(format!("{address} did not answer within {:?}", survey.limit)),
    }
}

fn request(name: &str) -> String {
    let host = match name.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => name.to_owned(),
    };
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: certkeeper\r\nAccept: */*\r\nConnection: close\r\n\r\n")
}

async fn listen(stream: &mut Metered) -> std::io::Result<Redirect> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await?;
        bytes.extend(&chunk[..length]);
        if let Some(redirect) = read(&bytes) {
            return Ok(redirect);
        }
        if length == 0 {
            let how = if bytes.is_empty() { "without an answer" } else { "in the middle of its answer" };
            return Ok(Redirect::Closed(format!("the connection was closed {how}")));
        }
    }
}

/// Reads an answer's head; `None` while it is not complete. Total: any bytes give an answer.
pub(super) fn read(bytes: &[u8]) -> Option<Redirect> {
    const BEGINS: &[u8] = b"HTTP/1.";
    let begun = bytes.len().min(BEGINS.len());
    if bytes[..begun] != BEGINS[..begun] {
        return Some(Redirect::Unknown("the answer is no HTTP/1.x".to_owned()));
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    let Some(status) = status else { return Some(Redirect::Unknown("the answer has no status".to_owned())) };
    let headers = lines.filter_map(|line| line.split_once(':'));
    let location = headers
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("location"))
        .map(|(_, value)| value.trim().chars().take(LONGEST_SHOWN).collect::<String>())
        .next();
    let sends_on = matches!(status, 301 | 302 | 303 | 307 | 308);
    Some(match location {
        Some(location) if sends_on && is_https(&location) => Redirect::ToHttps { status, location },
        location => Redirect::Other { status, location: location.filter(|_| sends_on) },
    })
}

fn is_https(location: &str) -> bool {
    location.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(head: &str) -> Option<Redirect> {
        read(head.as_bytes())
    }

    fn to(status: u16, location: &str) -> Option<Redirect> {
        Some(Redirect::ToHttps { status, location: location.to_owned() })
    }

    fn other(status: u16, location: Option<&str>) -> Option<Redirect> {
        Some(Redirect::Other { status, location: location.map(str::to_owned) })
    }

    #[test]
    fn a_redirect_counts_where_its_status_and_its_location_say_so() {
        let https = "https://a.example.com/";
        assert_eq!(of("HTTP/1.1 301 Moved\r\nServer: x\r\nLOCATION: https://a.example.com/\r\n\r\n"), to(301, https));
        assert_eq!(of("HTTP/1.1 308 X\r\nlocation:https://a.example.com/\r\n\r\nbody"), to(308, https));
        assert_eq!(of("HTTP/1.0 302 X\r\nLocation: HTTPS://a\r\n\r\n"), to(302, "HTTPS://a"));
        assert_eq!(of("HTTP/1.1 301 X\r\nLocation: http://a/\r\n\r\n"), other(301, Some("http://a/")));
        assert_eq!(of("HTTP/1.1 301 X\r\nLocation: /login\r\n\r\n"), other(301, Some("/login")));
        assert_eq!(of("HTTP/1.1 200 OK\r\nLocation: https://a/\r\n\r\n"), other(200, None));
        assert_eq!(of("HTTP/1.1 404\r\n\r\n"), other(404, None));
    }

    #[test]
    fn half_an_answer_is_waited_for_and_nonsense_is_not() {
        assert_eq!(of("HTTP/1.1 301 Moved\r\nLocation: https://a/\r\n"), None);
        assert_eq!(of("HT"), None);
        assert!(matches!(of("SSH-2.0"), Some(Redirect::Unknown(_))));
        assert!(matches!(of("HTTP/1.1 abc\r\n\r\n"), Some(Redirect::Unknown(_))));
    }

    #[test]
    fn only_301_and_308_are_for_good() {
        let permanent = |status| to(status, "https://a/").expect("a redirect").is_permanent();
        assert_eq!([301, 302, 303, 307, 308].map(permanent), [true, false, false, false, true]);
    }

    #[test]
    fn the_request_names_its_host_as_http_wants_it() {
        assert!(request("a.example.com").contains("\r\nHost: a.example.com\r\n"));
        assert!(request("2001:db8::1").contains("\r\nHost: [2001:db8::1]\r\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_none(bytes: Vec<u8>) {
            read(&bytes);
        }

        #[test]
        fn any_head_gives_an_answer(head in "HTTP/1\\.[01] [0-9]{0,4}( \\PC{0,9})?\r\n(\\PC{0,20}\r\n){0,5}\r\n") {
            prop_assert!(read(head.as_bytes()).is_some());
        }
    }
}
