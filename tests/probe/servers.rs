//! Servers on loopback, each on a port of its own, ended when dropped.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock},
    time::Duration,
};

use certkeeper_simulator::ca::{Algorithm, Ca, Issued};
use chrono::Utc;
use rustls::{ServerConfig, crypto::aws_lc_rs, server::ResolvesServerCert, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::envoys;

/// Long enough for a loaded machine; nothing waits that long where all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A CA and leaves for `*.example.com` with either kind of key.
pub struct Pki {
    pub ca: Ca,
    pub rsa: Issued,
    pub other: Issued,
    pub ecdsa: Issued,
}

pub static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let ca = Ca::root("Probe Root", Utc::now()).expect("a root").intermediate("Probe Intermediate").expect("a CA");
    let issue = |algorithm| ca.leaf(&["*.example.com"]).algorithm(algorithm).issue().expect("a leaf");
    let (rsa, other, ecdsa) = (issue(Algorithm::Rsa2048), issue(Algorithm::Rsa2048), issue(Algorithm::P256));
    Pki { ca, rsa, other, ecdsa }
});

/// A process that is ended when this is dropped, with a folder of its own.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `openssl s_server` with this pair and these options.
pub fn openssl(pair: &Issued, options: &[&str]) -> Process {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    let leaf = put("leaf.pem", pair.leaf());
    let all = pair.certificate();
    let chain = put("chain.pem", all.strip_prefix(pair.leaf()).expect("the leaf comes first"));
    let key = put("key.pem", pair.key());
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1000"])
        .arg("-cert")
        .arg(&leaf)
        .arg("-cert_chain")
        .arg(&chain)
        .arg("-key")
        .arg(&key)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed: it is the server of another make that these tests need");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let address = lines.by_ref().find_map(|line| line.strip_prefix("ACCEPT ").and_then(|at| at.trim().parse().ok()));
    // It tells much of each connection, and would wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    let Some(address) = address else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("openssl s_server {options:?} did not say where it listens");
    };
    Process { child, address, _folder: folder }
}

/// A program that not every machine has: named by this variable, or on the PATH. Says so where there is none.
pub fn program(name: &str, variable: &str, test: &str) -> Option<PathBuf> {
    let on_path = || {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let mut all: Vec<PathBuf> = std::env::split_paths(&paths).collect();
        all.push("/usr/sbin".into());
        all.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file())
    };
    // The one that the tests against a mesh fetched serves as well.
    let fetched = || if name == "envoy" { certkeeper_control_plane::envoy_if_there() } else { None };
    let found = std::env::var_os(variable).map(PathBuf::from).or_else(on_path).or_else(fetched);
    if found.is_none() {
        // Not by eprintln!, which the test harness keeps to itself where a test passes.
        let _ = writeln!(std::io::stderr(), "LEFT OUT, no {name} on the PATH and none named by {variable}: {test}");
    }
    found
}

/// Ports on a loopback address that nobody else uses: free still when the server that is told of them takes them.
pub fn free<const N: usize>() -> [SocketAddr; N] {
    let part = || fastrand::u8(1..=254);
    let own = std::net::Ipv4Addr::new(127, fastrand::u8(64..=127), part(), part());
    let held = [(); N].map(|()| StdListener::bind((own, 0)).expect("a port: all of 127.0.0.0/8 is loopback"));
    held.map(|listener| listener.local_addr().expect("an address"))
}

/// Starts a server and waits until it listens everywhere.
pub fn listening(mut command: Command, folder: tempfile::TempDir, addresses: &[SocketAddr]) -> Process {
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut process = Process { child, address: addresses[0], _folder: folder };
    let begin = std::time::Instant::now();
    while !addresses.iter().all(|address| std::net::TcpStream::connect(address).is_ok()) {
        let ended = process.child.try_wait().expect("its state").is_some();
        if ended || begin.elapsed() > PATIENCE {
            panic!("{command:?} does not listen: {}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        std::thread::yield_now();
    }
    process
}

pub fn pair_in(folder: &tempfile::TempDir, pair: &Issued) {
    std::fs::write(folder.path().join("chain.pem"), pair.certificate()).expect("written");
    std::fs::write(folder.path().join("key.pem"), pair.key()).expect("written");
    std::fs::write(folder.path().join("roots.pem"), PKI.ca.root_pem()).expect("written");
}

/// nginx with Kyma's policy, where there is one. Its process, the port of plain HTTP, and where it wants a PROXY header.
pub fn nginx(test: &str, pair: &Issued) -> Option<(Process, u16, SocketAddr)> {
    let program = program("nginx", "CERTKEEPER_NGINX", test)?;
    let folder = tempfile::tempdir().expect("a folder");
    pair_in(&folder, pair);
    let [tls, plain, proxied] = free();
    let suites = certkeeper::gateway::wire::KYMA_SUITES.join(":");
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\n\
         access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; \
         scgi_temp_path t5;\n\
         ssl_certificate chain.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {suites};\n\
         server {{ listen {plain}; return 301 https://$host$request_uri; }}\n\
         server {{ listen {tls} ssl; return 204; }}\nserver {{ listen {proxied} ssl proxy_protocol; return 204; }}\n}}\n"
    );
    let path = folder.path().join("nginx.conf");
    std::fs::write(&path, configuration).expect("written");
    let mut command = Command::new(&program);
    command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
    Some((listening(command, folder, &[tls, plain, proxied]), plain.port(), proxied))
}

/// Where Envoy listens, each as Istio would have set it up for `*.example.com` with Kyma's policy.
#[derive(Debug)]
pub struct Envoy {
    /// The process; its address is the one of TLS.
    pub tls: Process,
    /// Wants a client certificate.
    pub mutual: SocketAddr,
    /// Wants a PROXY header first.
    pub proxied: SocketAddr,
    /// Redirects.
    pub plain: SocketAddr,
    /// Wants a PROXY header first, and redirects.
    pub proxied_plain: SocketAddr,
}

/// A stock Envoy, where there is one.
pub fn envoy(test: &str, pair: &Issued) -> Option<Envoy> {
    let program = program("envoy", "CERTKEEPER_ENVOY", test)?;
    let folder = tempfile::tempdir().expect("a folder");
    pair_in(&folder, pair);
    let [tls, mutual, proxied, plain, proxied_plain] = free();
    let listeners = [
        envoys::listener("tls", tls, false, &envoys::terminating(folder.path(), false)),
        envoys::listener("mutual", mutual, false, &envoys::terminating(folder.path(), true)),
        envoys::listener("proxied", proxied, true, &envoys::terminating(folder.path(), false)),
        envoys::listener("plain", plain, false, &envoys::redirecting()),
        envoys::listener("proxied-plain", proxied_plain, true, &envoys::redirecting()),
    ];
    let path = folder.path().join("envoy.json");
    let configuration = serde_json::json!({"static_resources": {"listeners": listeners}});
    std::fs::write(&path, configuration.to_string()).expect("written");
    let mut command = Command::new(&program);
    command.arg("-c").arg(&path).args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]);
    let process = listening(command, folder, &[tls, mutual, proxied, plain, proxied_plain]);
    Some(Envoy { tls: process, mutual, proxied, plain, proxied_plain })
}

/// Shows this chain and signs with this key, whether they fit or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Terminates TLS with the chain of one pair and the key of another.
pub fn acceptor(shown: &Issued, held: &Issued) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pem = shown.certificate();
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_slice(held.key().as_bytes()).expect("a key");
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(chain.collect(), key)))));
    TlsAcceptor::from(Arc::new(config))
}

/// A server that does this with each connection.
pub struct Tcp {
    pub address: SocketAddr,
    _task: JoinSet<()>,
}

impl Tcp {
    pub async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::on(StdListener::bind("127.0.0.1:0").expect("a port"), serve)
    }

    /// On a port that is listened at already.
    pub fn on<F>(listener: StdListener, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("non-blocking");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
        Self { address, _task: task }
    }

    /// Reads what a client says first, answers with these bytes, and closes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Vec<u8> = answer.into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                let mut first = [0; 4096];
                let _ = stream.read(&mut first).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                // Closing with something unread would reset the connection.
                while stream.read(&mut first).await.is_ok_and(|length| length > 0) {}
            }
        })
        .await
    }
}
