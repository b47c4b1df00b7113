//! istiod as a process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use certkeeper_control_plane::Supervised;
use tokio::time::{Instant, sleep};

use crate::{
    Error, PATIENCE,
    http::{figure, get},
    objects::{self, ISTIO},
};

/// Istio's own port numbers: the address is this mesh's alone.
pub(crate) const SECURE_PORT: u16 = 15012;
const HTTP_PORT: u16 = 15080;
const MONITORING_PORT: u16 = 15014;

const ENVIRONMENT: &[(&str, &str)] = &[
    // Stock Envoy has not Istio's own filters: with these its listeners would be refused.
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    ("POD_NAMESPACE", ISTIO),
    ("POD_NAME", "istiod-0"),
    ("REVISION", "default"),
    ("CLUSTER_ID", "Kubernetes"),
    ("PILOT_CERT_PROVIDER", "istiod"),
    ("ENABLE_CA_SERVER", "false"),
    ("PILOT_ENABLE_GATEWAY_API", "false"),
    ("PILOT_ENABLE_AMBIENT", "false"),
    ("PILOT_ENABLE_IP_AUTOALLOCATE", "false"),
    ("ENABLE_LEADER_ELECTION", "false"),
    ("PILOT_ENABLE_CONFIG_DISTRIBUTION_TRACKING", "false"),
    ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
    ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
];

/// How istiod is started, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Istiod {
    pub(crate) program: PathBuf,
    pub(crate) address: Ipv4Addr,
    pub(crate) folder: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// Istio's own is 100 ms.
    pub(crate) debounce: Option<Duration>,
    pub(crate) process: Option<Supervised>,
}

impl Istiod {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<(), Error> {
        self.process = None;
        let mesh = self.folder.join("mesh.yaml");
        std::fs::write(&mesh, objects::MESH).map_err(Error::file(&mesh))?;
        let log = self.folder.join("istiod.log");
        // `env` becomes istiod: a supervised program gets arguments only.
        let process = Supervised::start("istiod", Path::new("/usr/bin/env"), &self.arguments(&mesh), log)?;
        let process = self.process.insert(process);
        let ready = SocketAddr::from((self.address, HTTP_PORT));
        let deadline = Instant::now() + PATIENCE;
        while get(ready, "/ready").await.is_none() {
            process.check()?;
            if Instant::now() > deadline {
                return Err(Error::Late { part: "istiod".to_owned(), within: PATIENCE, log: process.tail() });
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn arguments(&self, mesh: &Path) -> Vec<String> {
        let at = |port: u16| format!("{}:{port}", self.address);
        let named = |name: &str| self.folder.join(name).display().to_string();
        let mut arguments: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let Some(debounce) = self.debounce {
            arguments.push(format!("PILOT_DEBOUNCE_AFTER={}ms", debounce.as_millis()));
        }
        arguments.push(self.program.display().to_string());
        arguments.push("discovery".to_owned());
        let flags = [
            ("--kubeconfig", self.kubeconfig.display().to_string()),
            ("--meshConfig", mesh.display().to_string()),
            ("--httpAddr", at(HTTP_PORT)),
            ("--httpsAddr", at(15017)),
            ("--grpcAddr", at(15010)),
            ("--secureGRPCAddr", at(SECURE_PORT)),
            ("--monitoringAddr", at(MONITORING_PORT)),
            ("--ctrlz_port", "0".to_owned()),
            ("--caCertFile", named("ca.pem")),
            ("--tlsCertFile", named("istiod.pem")),
            ("--tlsKeyFile", named("istiod.key")),
        ];
        arguments.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        arguments
    }

    /// One of its figures, such as `pilot_total_xds_rejects{type="sds"}`; one that was never raised is not shown: 0.
    pub(crate) async fn figure(&self, name: &str) -> Option<u64> {
        let text = get(SocketAddr::from((self.address, MONITORING_PORT)), "/metrics").await?;
        Some(figure(&text, name).unwrap_or(0))
    }
}
