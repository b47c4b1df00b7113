//! The command line: one file a subcommand.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cluster::client::Access;

mod answer;
mod args;
mod check;
mod crds;
mod input;
mod probe;
mod renew;
mod run;
mod status;

/// The JSON schema of `certkeeper check --output json`, as `docs/check.schema.json` holds it.
pub use check::schema as check_schema;
/// The JSON schema of `certkeeper probe --output json`, as `docs/probe.schema.json` holds it.
pub use probe::schema as probe_schema;

/// Keeps the TLS certificate of a Kubernetes ingress gateway valid, distributed, served and proven.
#[derive(Debug, Parser)]
#[command(name = "certkeeper", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a certificate, Kyma's values or a Secret before they go anywhere.
    Check(Box<check::Check>),
    /// Shake hands with a server: what it serves, and whether that is as it should be.
    Probe(Box<probe::Probe>),
    /// Keep the certificates of the GatewayCertificates in the served namespaces.
    Run(run::Run),
    /// Ask for another certificate now, and follow it until it is served.
    Renew(renew::Renew),
    /// Show what is known of each GatewayCertificate.
    Status(status::Status),
    /// Print the CustomResourceDefinitions, for kubectl apply -f -.
    Crds(crds::Crds),
}

/// Which cluster to talk to.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArgs {
    /// Kubeconfig file [default: KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl From<ClusterArgs> for Access {
    fn from(args: ClusterArgs) -> Self {
        Self { kubeconfig: args.kubeconfig, context: args.context }
    }
}

/// How an answer looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Exit code for "could not look": bad arguments, no cluster, an unreadable file.
pub const COULD_NOT_LOOK: u8 = 2;

/// Parses the arguments and does what they say.
///
/// 0: good, 1: refused or unwell, 2: could not look.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // A second provider in the same process would be an error of the build, not of the user.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match cli.command {
        Command::Check(check) => check.main(),
        Command::Probe(probe) => probe.main(),
        Command::Run(run) => run.main(),
        Command::Renew(renew) => renew.main(),
        Command::Status(status) => status.main(),
        Command::Crds(crds) => crds.main(),
    };
    result.unwrap_or_else(|message| {
        complain(&message);
        ExitCode::from(COULD_NOT_LOOK)
    })
}

/// A single-threaded runtime: the controller waits far more than it works.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| format!("no async runtime: {e}"))
}

/// Writes to standard output. `false`: the reader went away (`| head`), which is no error.
///
/// # Errors
/// Whatever else keeps the answer from being written, such as a full disk: an answer that nobody got must not look
/// like one.
fn say(text: &str) -> Result<bool, String> {
    use std::io::{ErrorKind, Write};
    // One write: standard output is buffered by lines, and what lies in its buffer at the end is lost without a word.
    let mut text = text.trim_end_matches('\n').to_owned();
    text.push('\n');
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("the answer could not be written to standard output: {error}")),
    }
}

/// Writes to standard error.
fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "certkeeper: {text}");
}
