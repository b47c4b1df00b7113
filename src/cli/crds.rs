//! `certkeeper crds`

use std::process::ExitCode;

/// Arguments of `certkeeper crds`.
#[derive(Debug, clap::Args)]
pub(super) struct Crds {}

impl Crds {
    pub(super) fn main(self) -> Result<ExitCode, String> {
        super::say(&crate::api::crds_yaml()?)?;
        Ok(ExitCode::SUCCESS)
    }
}
