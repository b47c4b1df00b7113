//! The least of an API server: one object at one path, over HTTP on loopback. What is stored and how it may be
//! written is the simulator's and the real API server's business.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::Value;

/// Serves until it is dropped.
pub struct ApiServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// Answers a GET of `path` with this status and object; any other request fails the test that made it.
    pub fn start(path: &str, status: u16, object: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, wanted, body) = (stop.clone(), format!("GET {path}"), object.to_string());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                answer(&stream.expect("a connection"), &wanted, status, &body);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// A kubeconfig for this server.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(self.address)
    }

    /// A kubeconfig for a port at which nobody listens.
    pub fn nowhere() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        kubeconfig(listener.local_addr().expect("an address"))
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread from its wait.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the API server met a request that it did not expect");
        }
    }
}

fn answer(stream: &TcpStream, wanted: &str, status: u16, body: &str) {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().and_then(Result::ok).unwrap_or_default();
    if request.is_empty() {
        return;
    }
    assert!(request.split('?').next().is_some_and(|line| line.starts_with(wanted)), "{request}");
    // The head ends with an empty line; a GET has no body.
    lines.map_while(Result::ok).find(String::is_empty);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("answered");
}

fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
         clusters: [{{name: t, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\nusers: [{{name: t, user: {{}}}}]\n"
    )
}
