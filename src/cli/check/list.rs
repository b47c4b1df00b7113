//! `certkeeper check --list`

use std::fmt::Write;

use serde_json::json;

use super::{
    Output,
    render::{code, paint},
};
use crate::certificate::{Check, checks};

/// Every check with its severity, meaning and source.
pub(super) fn list(output: Output, color: bool) -> Result<String, String> {
    let json = || {
        let entry = |check: &&Check| {
            json!({
                "name": check.name, "severity": check.severity.as_str(), "class": format!("{:?}", check.class).to_lowercase(),
                "meaning": check.meaning, "source": check.source,
            })
        };
        json!({ "checks": checks().iter().map(entry).collect::<Vec<_>>() })
    };
    match output {
        Output::Json => serde_json::to_string_pretty(&json()).map_err(|e| e.to_string()),
        Output::Yaml => serde_saphyr::to_string(&json()).map_err(|e| e.to_string()),
        Output::Table => {
            let mut text = String::new();
            for check in checks() {
                let severity = check.severity.as_str();
                let severity = paint(&format!("{severity:<7}"), code(severity), color);
                let _ = writeln!(text, "{severity}  {}", paint(check.name, "1", color));
                let _ = writeln!(text, "         {}\n         {}", check.meaning, paint(check.source, "2", color));
            }
            let _ = write!(text, "{} checks", checks().len());
            Ok(text)
        }
    }
}
