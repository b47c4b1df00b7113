//! One running etcd + kube-apiserver.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config, config::KubeConfigOptions, config::Kubeconfig};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    Binaries, Error,
    authority::Authority,
    supervised::{Janitor, Supervised},
};

/// A ready server takes 4 s on an idle machine; tests often share theirs with a compiler.
const READY_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between our choosing a free port and the server's taking it, anybody may take it.
const ATTEMPTS: usize = 5;

/// What can be chosen about a control plane.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Writes an audit log of each request's metadata: see [`ControlPlane::audit_log`]. Off by default.
    pub audit: bool,
}

/// A real etcd and kube-apiserver on 127.0.0.1, with RBAC, that end when this value is dropped or this process dies.
///
/// Everything it writes is in one temporary folder that goes with it.
pub struct ControlPlane {
    // The order matters: the server ends before its store, both before their folder goes.
    apiserver: Option<Supervised>,
    etcd: Supervised,
    _janitor: Janitor,
    folder: TempDir,
    binaries: Binaries,
    authority: Authority,
    config: Config,
    arguments: Vec<String>,
    endpoint: String,
}

impl ControlPlane {
    /// Starts one with [`Settings::default`] and waits until it is ready: `/readyz` says so and the namespace
    /// `default` exists.
    ///
    /// # Errors
    /// See [`Error`]; the message says what to install or change.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(Settings::default()).await
    }

    /// Starts one with the given settings; see [`ControlPlane::start`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start_with(settings: Settings) -> Result<Self, Error> {
        let found = tokio::task::spawn_blocking(Binaries::find).await;
        let binaries = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let mut attempt = 1;
        loop {
            match Self::attempt(&binaries, &settings, free_ports()?).await {
                Err(error) if error.is_port_clash() && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    async fn attempt(binaries: &Binaries, settings: &Settings, [etcd_port, port]: [u16; 2]) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("certkeeper-control-plane-").tempdir();
        let folder = folder.map_err(Error::file("create a folder in", std::env::temp_dir()))?;
        let janitor = Janitor::start(folder.path())?;
        let authority = Authority::new()?;
        write_certificates(&authority, folder.path())?;
        let endpoint = format!("https://127.0.0.1:{port}");
        let kubeconfig = write_kubeconfig(&authority, folder.path(), &endpoint, "admin", &["system:masters"])?;
        let config = read_config(&kubeconfig, "admin").await?;
        let etcd = start_etcd(&binaries.etcd, folder.path(), etcd_port)?;
        let arguments = apiserver_arguments(folder.path(), etcd_port, port, settings)?;
        let mut plane = Self {
            apiserver: None,
            etcd,
            _janitor: janitor,
            folder,
            binaries: binaries.clone(),
            authority,
            config,
            arguments,
            endpoint,
        };
        plane.wait_for_etcd(etcd_port).await?;
        plane.restart().await?;
        Ok(plane)
    }

    /// The API server's address, such as `https://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Connection data of the administrator (group `system:masters`), with kube's own retry of 429, 503 and 504
    /// switched off: a test wants to see the answer that was given.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// A client for the administrator, tied to the runtime that calls.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] if kube refuses the connection data.
    pub fn client(&self) -> Result<Client, Error> {
        client(self.config.clone(), "admin")
    }

    /// The administrator's kubeconfig, for `kubectl` and other programs.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig_path(self.folder.path(), "admin")
    }

    /// Writes a kubeconfig for a user with at most two groups; without a RoleBinding that user may do nothing.
    ///
    /// # Errors
    /// [`Error::Certificate`], [`Error::File`], or [`Error::Kubeconfig`] for more than two groups.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, Error> {
        write_kubeconfig(&self.authority, self.folder.path(), &self.endpoint, user, groups)
    }

    /// Connection data for a user: [`ControlPlane::kubeconfig_for`], read.
    ///
    /// # Errors
    /// Those of [`ControlPlane::kubeconfig_for`].
    pub async fn config_for(&self, user: &str, groups: &[&str]) -> Result<Config, Error> {
        read_config(&self.kubeconfig_for(user, groups)?, user).await
    }

    /// A client for a user: see [`ControlPlane::kubeconfig_for`].
    ///
    /// # Errors
    /// Those of [`ControlPlane::kubeconfig_for`].
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Result<Client, Error> {
        client(self.config_for(user, groups).await?, user)
    }

    /// A folder for a test's own files, gone with the control plane.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The audit log: one JSON object a line for each answered request, where [`Settings::audit`] asked for it.
    pub fn audit_log(&self) -> PathBuf {
        audit_path(self.folder.path())
    }

    /// Process ids of the two supervisors (kube-apiserver's first); each has its program as a child.
    pub fn supervisors(&self) -> Vec<u32> {
        self.apiserver.iter().chain([&self.etcd]).map(Supervised::id).collect()
    }

    /// Freezes the API server: connections stay open, nothing answers, until [`ControlPlane::resume`].
    ///
    /// # Errors
    /// [`Error::Spawn`] if its supervisor is gone, [`Error::StillRuns`] if it does not stand still.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.apiserver.as_mut().map_or(Ok(()), Supervised::freeze)
    }

    /// Undoes [`ControlPlane::pause`].
    ///
    /// # Errors
    /// [`Error::Spawn`] if its supervisor is gone.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.apiserver.as_mut().map_or(Ok(()), |server| server.signal("CONT"))
    }

    /// Ends the API server as a crash would; the store stays. Connections are refused until
    /// [`ControlPlane::restart`].
    pub fn kill(&mut self) {
        self.apiserver = None;
    }

    /// Starts the API server (anew) on its old port and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Ended`] or [`Error::NotReady`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        let log = self.folder.path().join("kube-apiserver.log");
        self.apiserver = Some(Supervised::start("kube-apiserver", &self.binaries.apiserver, &self.arguments, log)?);
        self.wait_until_ready().await
    }

    /// Starting kube-apiserver before its store listens would cost it whole seconds of back-off.
    async fn wait_for_etcd(&mut self, port: u16) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while let Err(error) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
            self.etcd.check()?;
            if Instant::now() > deadline {
                let (seconds, output) = (READY_WITHIN.as_secs(), self.etcd.tail());
                return Err(Error::NotReady { seconds, last: format!("etcd: {error}"), output });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let client = self.client()?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let last = match tokio::time::timeout(Duration::from_secs(5), readiness(&client)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer within 5 s".to_owned(),
            };
            self.etcd.check()?;
            if let Some(server) = &mut self.apiserver {
                server.check()?;
                if Instant::now() > deadline {
                    return Err(Error::NotReady { seconds: READY_WITHIN.as_secs(), last, output: server.tail() });
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ControlPlane").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// `/readyz` alone is not enough: the server's own first namespaces come a moment later.
async fn readiness(client: &Client) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    client.request_text(http::Request::get("/readyz").body(Vec::new())?).await?;
    Api::<Namespace>::all(client.clone()).get("default").await?;
    Ok(())
}

fn client(config: Config, user: &str) -> Result<Client, Error> {
    Client::try_from(config).map_err(|error| Error::Kubeconfig { user: user.to_owned(), message: error.to_string() })
}

/// Ports that were free a moment ago; both are held until both are known, so that they differ.
fn free_ports() -> Result<[u16; 2], Error> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).map_err(Error::file("listen on", "127.0.0.1:0"));
    let listeners = [bind()?, bind()?];
    let mut ports = [0; 2];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().map_err(Error::file("read the address of", "127.0.0.1:0"))?.port();
    }
    Ok(ports)
}

fn start_etcd(binary: &Path, folder: &Path, port: u16) -> Result<Supervised, Error> {
    let arguments = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        // No peer ever calls: any port will do.
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        // The data dies with the test, so it need not survive a power cut.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Supervised::start("etcd", binary, &arguments, folder.join("etcd.log"))
}

fn apiserver_arguments(folder: &Path, etcd: u16, port: u16, settings: &Settings) -> Result<Vec<String>, Error> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("serving.crt")),
        format!("--tls-private-key-file={}", file("serving.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("tokens.pub")),
        format!("--service-account-signing-key-file={}", file("tokens.key")),
        "--service-cluster-ip-range=10.96.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // No controller-manager makes ServiceAccounts here, so Pods could never be admitted.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // A loopback address cannot be published as an endpoint; the default would log that for ever.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", file("generated")),
    ];
    if settings.audit {
        let policy = folder.join("audit-policy.json");
        let rule = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["RequestReceived"], "rules": [{ "level": "Metadata" }],
        });
        fs::write(&policy, rule.to_string()).map_err(Error::file("write", &policy))?;
        arguments.push(format!("--audit-policy-file={}", policy.display()));
        arguments.push(format!("--audit-log-path={}", audit_path(folder).display()));
    }
    Ok(arguments)
}

fn audit_path(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

fn write_certificates(authority: &Authority, folder: &Path) -> Result<(), Error> {
    let serving = authority.serving()?;
    let (private, public) = Authority::token_keys()?;
    let files = [
        ("ca.crt", authority.certificate()),
        ("serving.crt", serving.certificate),
        ("serving.key", serving.key),
        ("tokens.key", private),
        ("tokens.pub", public),
    ];
    for (name, text) in files {
        write_private(&folder.join(name), &text)?;
    }
    Ok(())
}

fn kubeconfig_path(folder: &Path, user: &str) -> PathBuf {
    // A user's name may hold slashes and colons ("system:serviceaccount:a:b").
    let name: String = user.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    folder.join(format!("{name}.kubeconfig"))
}

fn write_kubeconfig(
    authority: &Authority,
    folder: &Path,
    endpoint: &str,
    user: &str,
    groups: &[&str],
) -> Result<PathBuf, Error> {
    let signed = authority.client(user, groups)?;
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "certkeeper-test",
        "clusters": [{ "name": "certkeeper-test", "cluster": {
            "server": endpoint,
            "certificate-authority-data": STANDARD.encode(authority.certificate()),
        }}],
        "users": [{ "name": user, "user": {
            "client-certificate-data": STANDARD.encode(signed.certificate),
            "client-key-data": STANDARD.encode(signed.key),
        }}],
        "contexts": [{ "name": "certkeeper-test", "context": { "cluster": "certkeeper-test", "user": user }}],
    });
    let path = kubeconfig_path(folder, user);
    write_private(&path, &format!("{text:#}\n"))?;
    Ok(path)
}

async fn read_config(path: &Path, user: &str) -> Result<Config, Error> {
    let failed = |message: String| Error::Kubeconfig { user: user.to_owned(), message };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(error.to_string()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| failed(error.to_string()))?;
    config.default_retry = false;
    Ok(config)
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::left_out::shared_or_left_out;

    #[tokio::test]
    async fn a_port_that_somebody_else_took_is_told_from_other_failures() -> Result<(), Error> {
        if shared_or_left_out("a port that somebody else took is told from other failures").await?.is_none() {
            return Ok(());
        }
        let binaries = Binaries::find()?;
        let somebody = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let taken = somebody.local_addr().expect("its address").port();
        for position in [0, 1] {
            let mut ports = free_ports()?;
            ports[position] = taken;
            let error = ControlPlane::attempt(&binaries, &Settings::default(), ports).await.expect_err("a clash");
            assert!(error.is_port_clash(), "{error}");
        }
        let not_etcd = Binaries { etcd: "/bin/false".into(), ..binaries };
        let error = ControlPlane::attempt(&not_etcd, &Settings::default(), free_ports()?).await.expect_err("no etcd");
        assert!(matches!(&error, Error::Ended { program: "etcd", .. }) && !error.is_port_clash(), "{error}");
        Ok(())
    }
}
