//! Logs.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::Directive, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Targets that may log the body of an answer, and with it a Secret: whatever a person asks for, they stay silent.
/// (kube-client warns with the whole body when it cannot decode an answer.)
const SILENCED: [&str; 2] = ["kube_client::client=off", "hyper=info"];

/// What is logged: `RUST_LOG` or `default`, but never what could hold a key.
///
/// # Errors
/// When the filter cannot be understood.
pub fn filter(wanted: &str) -> Result<EnvFilter, String> {
    let mut filter =
        EnvFilter::try_new(wanted).map_err(|e| format!("\"{wanted}\" is no log filter: {e}; try \"info\""))?;
    for directive in SILENCED {
        let directive: Directive = directive.parse().map_err(|e| format!("{directive}: {e}"))?;
        filter = filter.add_directive(directive);
    }
    Ok(filter)
}

/// Starts logging to standard error.
///
/// # Errors
/// When the filter cannot be understood, or logging was started before.
pub fn start(format: LogFormat, wanted: &str) -> Result<(), String> {
    let registry = tracing_subscriber::registry().with(filter(wanted)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    started.map_err(|e| e.to_string())
}
