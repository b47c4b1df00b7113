//! A GET at a time: what istiod and Envoy tell of themselves.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any of these answers takes; one that is frozen never answers.
const LIMIT: Duration = Duration::from_secs(5);

/// The body of `GET PATH` where the answer is 200.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        body(&String::from_utf8_lossy(&answer))
    };
    timeout(LIMIT, ask).await.ok().flatten()
}

/// The body of a whole answer with status 200.
fn body(answer: &str) -> Option<String> {
    let (head, rest) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    if chunked { joined(rest) } else { Some(rest.to_owned()) }
}

/// The chunks of a body, joined.
fn joined(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole += after.get(..size)?;
        rest = after.get(size + 2..)?;
    }
}

/// The value of the figure of this name: `name: 5` as Envoy writes it, `name{labels} 5` as Prometheus does.
pub(crate) fn figure(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().filter_map(|line| line.strip_prefix(name)).find(|rest| rest.starts_with([':', ' ']))?;
    rest.trim_start_matches([':', ' ']).trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_other_answers_are_none() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(body(&format!("{head}3\r\na: \r\n2\r\n5\n\r\n0\r\n\r\n")).as_deref(), Some("a: 5\n"));
        assert_eq!(body(&format!("{head}3\r\na: ")), None, "cut off");
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nLIVE").as_deref(), Some("LIVE"));
        assert_eq!(body("HTTP/1.1 503 Service Unavailable\r\n\r\nPRE_INITIALIZING"), None);
    }

    #[test]
    fn a_figure_is_found_in_either_notation() {
        let text = "x.update_rejected_text: \"a\"\nx.update_rejected: 2\nxds_rejects{type=\"sds\"} 7\n";
        assert_eq!(figure(text, "x.update_rejected"), Some(2));
        assert_eq!(figure(text, "xds_rejects{type=\"sds\"}"), Some(7));
        assert_eq!(figure(text, "y"), None);
    }
}
