//! `certkeeper run`

use std::{process::ExitCode, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ClusterArgs;
use crate::{
    clock::SystemClock,
    cluster::client::{Clients, connect_all},
    controller::{Runtime, run},
    gateway::TcpDial,
    lifecycle::Settings,
    telemetry::{self, LogFormat},
};

/// Arguments of `certkeeper run`.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace whose GatewayCertificates are served; repeatable [default: the pod's, or the context's]
    #[arg(long = "namespace", short = 'n', value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Secret that may be written, with those beside it (-last-good, -cacert); repeatable, */NAME for any namespace
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = grant, default_value = Settings::DEFAULT_ALLOW)]
    allow: Vec<String>,
    /// Workload that targets may have rolled (spec.targets[].restart); repeatable, */KIND/NAME for any namespace
    #[arg(long, value_name = "NAMESPACE/KIND/NAME", value_parser = restart_grant)]
    allow_restart: Vec<String>,
    /// Gateway that may be written (spec.gateway.management: Manage); repeatable, */NAME for any namespace
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = grant)]
    allow_gateway: Vec<String>,
    /// Somebody else's Certificate of Gardener's that may be touched when it is late (spec.gardener.certificateRef);
    /// repeatable, */NAME for any namespace
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = grant)]
    allow_heal: Vec<String>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// What is logged, as RUST_LOG has it, e.g. info or certkeeper=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
}

fn grant(text: &str) -> Result<String, String> {
    let name = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
    };
    match text.split_once('/') {
        Some((namespace, secret)) if (namespace == "*" || name(namespace)) && name(secret) => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\" is no grant: give NAMESPACE/NAME, or */NAME for any namespace")),
    }
}

fn restart_grant(text: &str) -> Result<String, String> {
    let kinds = ["deployment", "statefulset", "daemonset"];
    match text.split('/').collect::<Vec<_>>()[..] {
        [namespace, kind, name]
            if !namespace.is_empty() && !name.is_empty() && kinds.contains(&kind.to_lowercase().as_str()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "\"{text}\" is no grant: give NAMESPACE/KIND/NAME with a kind of Deployment, StatefulSet or DaemonSet, or \
             */KIND/NAME for any namespace"
        )),
    }
}

impl Run {
    pub(super) fn main(self) -> Result<ExitCode, String> {
        telemetry::start(self.log_format, &self.log)?;
        super::runtime()?.block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, String> {
        let Clients { calls: client, watches } = connect_all(&self.cluster.into()).await.map_err(|e| e.to_string())?;
        let mut namespaces = self.namespaces;
        if namespaces.is_empty() {
            namespaces.push(client.default_namespace().to_owned());
        }
        namespaces.sort();
        namespaces.dedup();
        // In a pod the host name is the pod's name.
        let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| "certkeeper".to_owned());
        let (serves, allow) = (namespaces.join(","), self.allow.join(","));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), namespaces = serves, allow, "certkeeper starts");
        let settings = Settings {
            allow: self.allow,
            allow_restart: self.allow_restart,
            allow_gateway: self.allow_gateway,
            allow_heal: self.allow_heal,
            namespaces,
            ..Settings::default()
        };
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
        let stopper = stop.clone();
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("certkeeper stops: it finishes what it is at");
            stopper.cancel();
        });
        let (dial, clock) = (Arc::new(TcpDial), Arc::new(SystemClock));
        run(Runtime { client, watches, dial, clock, settings, instance }, stop).await;
        tracing::info!("certkeeper stopped");
        Ok(ExitCode::SUCCESS)
    }
}
