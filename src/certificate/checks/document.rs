//! `docs/checks.md`, made from the table.

use std::fmt::Write as _;

use super::{
    super::{Check, Class},
    TABLE,
};

/// The page that explains every check, in Markdown.
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(HEAD);
    for row in TABLE {
        let Check { name, severity, class, meaning, source } = row.check;
        let letter = if row.strict { ", error in strict mode" } else { "" };
        let _ = write!(
            page,
            "\n## {name}\n\n**{severity}{letter}** · {}\n\n{meaning}\n\nSource: {source}.\n",
            harm(*class)
        );
    }
    page
}

const HEAD: &str = "\
# The checks

This page is generated from the table in `src/certificate/checks/mod.rs`; a test compares the two.
Regenerate it with `UPDATE=1 cargo test --test generated`.

Every check has a stable name. Its severity may be lowered with `spec.checks.warn` and `spec.checks.ignore`,
except for checks of the class *unusable*: those guard against material that a gateway would refuse, and
against nothing at all. The class ranks errors where two pieces of material are compared: unusable, then time,
hosts, chain, and the rest.

Findings of the severity *info* tell what was put right on the way; nothing needs to be done about them.
Strict mode takes RFC 5280 and the CA/Browser Forum's requirements to the letter: breaches that clients put
up with are errors there.
";

fn harm(class: Class) -> &'static str {
    match class {
        Class::Unusable => "unusable: a gateway could not serve it",
        Class::Time => "time",
        Class::Hosts => "hosts",
        Class::Chain => "chain",
        Class::Rest => "rest",
    }
}
