//! `certkeeper probe`: what a server shows on the wire, and whether that is as it should be.

mod args;
mod expected;
mod groups;
mod pods;
mod render;
mod report;
mod round;
mod watch;

pub use report::schema;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::ArgAction;
use tokio::{net::lookup_host, time::timeout};

use self::{
    args::{Port, Target},
    expected::Source,
    report::{Probed, Report, Word},
    round::Round,
};
use super::{
    COULD_NOT_LOOK, ClusterArgs,
    answer::{Look, Output, time},
    input::{Input, trusted},
};
use crate::{
    certificate::Roots,
    clock::{Clock, SystemClock},
    cluster::client::connect,
    gateway::{ProxyHeader, TcpDial, Versions, ask_for, wire::Expectation},
    lifecycle::ObjectName,
};

/// The most addresses of one name that are asked.
const MOST_ADDRESSES: usize = 64;

/// The port of plain HTTP (RFC 9110, 4.2.1).
const HTTP: u16 = 80;

/// Which PROXY header goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Proxy {
    /// None.
    #[default]
    None,
    /// The one in words.
    V1,
    /// The binary one.
    V2,
}

/// Which protocol versions are offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Tls {
    /// TLS 1.3 and 1.2.
    #[default]
    Any,
    /// TLS 1.2 alone.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[value(name = "1.3")]
    Tls13,
}

/// Which policy is asked for on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Policy {
    /// The one that Kyma documents for its gateway.
    Kyma,
    /// The one that the Gateway's own tls settings ask for.
    Gateway,
    /// None: one handshake is all.
    None,
}

/// Arguments of `certkeeper probe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 good (warnings allowed), 1 not as expected, 2 no handshake or could not look.")]
pub(super) struct Probe {
    /// Whom to ask; the port is 443 if none is named
    #[arg(value_name = "HOST[:PORT]", value_parser = args::target, required_unless_present_any = ["schema", "gateway"])]
    target: Option<Target>,
    /// Gateway of Istio's, each of whose pods is asked, from wherever pods can be reached
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = args::gateway, conflicts_with_all = ["target", "every_address"])]
    gateway: Option<ObjectName>,
    /// Host to ask for, which the leaf must cover; under a wildcard some label is asked for [default: HOST, or
    /// the first host of each of the Gateway's servers]
    #[arg(long, value_name = "NAME", value_parser = super::args::host)]
    sni: Option<String>,
    /// SHA-256 of the leaf that ought to be served, as openssl prints it
    #[arg(long, value_name = "SHA256", value_parser = args::fingerprint, conflicts_with = "expect_secret")]
    expect_fingerprint: Option<String>,
    /// Secret whose leaf ought to be served, read as Istio would read it [default with --gateway: each server's own]
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = super::args::secret)]
    expect_secret: Option<ObjectName>,
    /// Ask every address of HOST [default: the first that answers]
    #[arg(long)]
    every_address: bool,
    /// PROXY protocol header to send first
    #[arg(long, value_enum, default_value_t)]
    proxy_protocol: Proxy,
    /// Protocol versions to offer in the handshake
    #[arg(long, value_enum, default_value_t)]
    tls: Tls,
    /// Policy to ask for on the wire: versions, cipher suites, redirect [default: kyma; gateway with --gateway]
    #[arg(long, value_enum)]
    policy: Option<Policy>,
    /// Port where plain HTTP ought to be redirected to https, or none [default: 80; as the Gateway has it with --gateway]
    #[arg(long, value_name = "PORT", value_parser = args::redirect_port)]
    redirect_port: Option<Port>,
    /// Roots in PEM; the chain must lead to one of them
    #[arg(long, value_name = "FILE")]
    roots: Option<Input>,
    /// Go on until Ctrl-C, and tell what changes
    #[arg(long)]
    watch: bool,
    /// Time between two rounds, e.g. 500ms, 5s or 2m
    #[arg(long, value_name = "TIME", value_parser = args::interval, default_value = "5s", requires = "watch")]
    interval: Duration,
    /// Time for each connection with its handshake, e.g. 500ms, 5s or 2m
    #[arg(long, value_name = "TIME", value_parser = args::timeout, default_value = "5s")]
    timeout: Duration,
    /// Print the JSON Schema of --output json
    #[arg(long, conflicts_with_all = ["target", "gateway"])]
    schema: bool,
    /// How the answer looks
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: Output,
    /// No colour, as with NO_COLOR in the environment
    #[arg(long = "no-color", action = ArgAction::SetFalse)]
    color: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What stays the same from round to round.
struct Prober {
    probe: Probe,
    target: Target,
    /// The host that the leaf must cover.
    host: String,
    /// The name that is asked for.
    name: String,
    roots: Option<Roots>,
    source: Source,
}

impl Probe {
    pub(super) fn main(mut self) -> Result<ExitCode, String> {
        if self.schema {
            super::say(&schema())?;
            return Ok(ExitCode::SUCCESS);
        }
        let run = async {
            match (self.gateway.take(), self.target.take()) {
                (Some(gateway), _) => self.ask_gateway(gateway).await,
                (None, Some(target)) => self.ask_host(target).await,
                (None, None) => Err("name a HOST or a --gateway".to_owned()),
            }
        };
        Ok(match super::runtime()?.block_on(run)? {
            Word::Good => ExitCode::SUCCESS,
            Word::Bad => ExitCode::FAILURE,
            Word::Unknown => ExitCode::from(COULD_NOT_LOOK),
        })
    }

    async fn ask_host(self, target: Target) -> Result<Word, String> {
        if self.policy == Some(Policy::Gateway) {
            return Err("--policy gateway is what a Gateway's own tls settings ask for: name one with --gateway".into());
        }
        let roots = self.roots.as_ref().map(trusted).transpose()?;
        let source = self.source().await?;
        let host = self.sni.clone().unwrap_or_else(|| target.host.clone());
        let name = ask_for(&host, &random_label()).ok_or("a bare * is no name to ask for: name one with --sni")?;
        let showing = self.showing();
        let prober = Prober { probe: self, target, host, name, roots, source };
        showing.show(async |first| prober.round(first).await).await
    }

    async fn ask_gateway(self, gateway: ObjectName) -> Result<Word, String> {
        let roots = self.roots.as_ref().map(trusted).transpose()?;
        let source = self.source().await?;
        let client = connect(&self.cluster.clone().into()).await.map_err(|e| e.to_string())?;
        let showing = self.showing();
        let prober = pods::PodProber::new(self, gateway, client, roots, source);
        showing.show(async |first| prober.round(first).await).await
    }

    async fn source(&self) -> Result<Source, String> {
        Source::new(self.expect_fingerprint.clone(), self.expect_secret.clone(), self.cluster.clone()).await
    }

    fn showing(&self) -> Showing {
        let watch = self.watch.then_some(self.interval);
        Showing { output: self.output, look: Look::new(self.color), watch }
    }

    /// Against what an answer is held, of this target with this name.
    fn probed(&self, target: String, name: String, at: String) -> Probed {
        Probed {
            target,
            name,
            at,
            offered: match self.tls {
                Tls::Any => "any",
                Tls::Tls12 => "1.2",
                Tls::Tls13 => "1.3",
            },
            proxy_protocol: ProxyHeader::from(self.proxy_protocol).as_str(),
            expected: None,
            policy: None,
            roots: self.roots.as_ref().map(ToString::to_string),
            gateway: None,
        }
    }
}

/// How the rounds are told.
struct Showing {
    output: Output,
    look: Look,
    /// The time between two rounds, if there are several.
    watch: Option<Duration>,
}

impl Showing {
    /// Makes one round, or goes on until somebody ends it; the verdict of the last round.
    async fn show(self, mut round: impl AsyncFnMut(bool) -> Result<Report, String>) -> Result<Word, String> {
        let Self { output, look, watch } = self;
        if let Some(interval) = watch {
            let ends = watch::Ends::new()?;
            return watch::watch(round, interval, output, &look, ends).await;
        }
        let report = round(true).await?;
        super::say(&match output {
            Output::Table => render::report(&report, &look),
            Output::Json => serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?,
            Output::Yaml => serde_saphyr::to_string(&report).map_err(|e| e.to_string())?,
        })?;
        Ok(report.verdict)
    }
}

/// Some label that nobody gave a certificate or a route of its own.
fn random_label() -> String {
    let chance: String = std::iter::repeat_with(fastrand::lowercase).take(8).collect();
    format!("probe-{chance}")
}

impl Prober {
    /// Asks once. The policy is asked for in the first round only: it takes some twelve connections.
    async fn round(&self, first: bool) -> Result<Report, String> {
        let probe = &self.probe;
        let expected = self.source.read().await?;
        let addresses = self.addresses().await?;
        let kyma = Expectation::kyma();
        let wanted = first && probe.policy != Some(Policy::None);
        let policy = wanted.then_some((&kyma, probe.redirect_port.map_or(Some(HTTP), |Port(port)| port)));
        let now = SystemClock.now();
        let round = Round {
            name: &self.name,
            host: &self.host,
            versions: probe.tls.into(),
            proxy: probe.proxy_protocol.into(),
            limit: probe.timeout,
            expected: expected.as_ref(),
            policy,
            roots: self.roots.as_ref(),
            now,
        };
        let servers = if probe.every_address {
            round::every(&TcpDial, &addresses, &round).await
        } else {
            round::first(&TcpDial, &addresses, &round).await
        };
        let policy = policy.map(|_| "kyma");
        let probed = probe.probed(self.target.to_string(), self.name.clone(), time(now));
        Ok(Report::new(Probed { expected: expected.clone(), policy, ..probed }, servers))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let Target { host, port } = &self.target;
        let found = timeout(self.probe.timeout, lookup_host((host.as_str(), *port))).await;
        let found = found.map_err(|_| format!("{host} could not be looked up within {:?}", self.probe.timeout))?;
        let found = found.map_err(|error| format!("{host} could not be looked up: {error}"))?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found.take(MOST_ADDRESSES) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
    }
}

impl From<Proxy> for ProxyHeader {
    fn from(proxy: Proxy) -> Self {
        match proxy {
            Proxy::None => Self::None,
            Proxy::V1 => Self::V1,
            Proxy::V2 => Self::V2,
        }
    }
}

impl From<Tls> for Versions {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Any => Self::Any,
            Tls::Tls12 => Self::Tls12,
            Tls::Tls13 => Self::Tls13,
        }
    }
}
