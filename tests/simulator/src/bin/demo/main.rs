//! `cargo demo`: certkeeper at work in a terminal, with no cluster.
//!
//! An API server in memory, the controller that ships, and three TLS gateways on loopback that follow their Secret as
//! Istio's do. Time is real, and what the gateways serve is proved by handshakes all the while. The exit code is 0
//! only if every step was seen to happen.

mod account;
mod components;
mod keeper;
mod missed;
mod stage;
mod steps;
mod summary;
mod visitor;
mod watched;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    account::{Account, Paint},
    steps::{Demo, STEPS},
};

/// Shows certkeeper at work: three gateways, good and bad certificates, mishaps. Needs no cluster.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// How long each thing may take until it is seen to happen
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Rest after each step, to read along [default: 1 on a terminal, else 0]
    #[arg(long, value_name = "SECONDS")]
    rest: Option<u64>,
    /// Kills certkeeper before this step and never starts it again, to see that the demo fails then
    #[arg(long, value_name = "STEP", hide = true)]
    withhold_from: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let account = Account::begin();
    account.paragraph(Paint::Bold, "certkeeper: from a supplied certificate to what gateways serve, and why it stays");
    account.blank();
    account.paragraph(
        Paint::Plain,
        "In this process: an API server in memory, the controller that ships, and three TLS gateways on 127.0.0.1 that \
         follow Secret istio-system/kyma-gateway-certs as Istio's do. Somebody shakes hands with each of them every \
         few milliseconds, all the while. Fingerprints are shown by their first eight digits.",
    );
    // Two are needed: whoever makes an RSA key must not hold up the handshakes.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            account.verdict(Paint::Red, "FAILED", &format!("no threads can be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let rest = arguments.rest.unwrap_or(u64::from(account.is_watched()));
    let [patience, rest] = [arguments.patience, rest].map(Duration::from_secs);
    let mut demo = Demo::new(account, patience, rest, arguments.withhold_from);
    let seen = runtime.block_on(demo.play());
    summary::print(&demo.account, &demo.tally, demo.stage.as_ref(), STEPS.len());
    demo.account.blank();
    let code = if seen {
        demo.account.paragraph(Paint::Green, "Every step was seen to happen.");
        ExitCode::SUCCESS
    } else {
        demo.account.paragraph(Paint::Red, "FAILED: not every step was seen to happen.");
        ExitCode::FAILURE
    };
    drop(demo);
    runtime.shutdown_background();
    code
}
