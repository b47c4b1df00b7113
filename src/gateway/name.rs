//! Which name to ask for, given one of a Gateway's hosts.

/// A name that falls under this host: itself, or for a wildcard some label under it. `label` is what a wildcard's star
/// becomes: a random one shows that no single name is treated apart. An Istio host's namespace (`ns/host`) is left out.
///
/// `None` for a bare `*`, which says nothing about any name.
#[must_use]
pub fn ask_for(host: &str, label: &str) -> Option<String> {
    let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.strip_prefix("*.") {
        Some(parent) => Some(format!("{label}.{parent}")),
        None if host == "*" || host.is_empty() => None,
        None => Some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_gets_the_label_and_a_namespace_is_left_out() {
        assert_eq!(ask_for("*.Example.com.", "x7").as_deref(), Some("x7.example.com"));
        assert_eq!(ask_for("kyma-system/*.example.com", "x7").as_deref(), Some("x7.example.com"));
        assert_eq!(ask_for("./api.example.com", "x7").as_deref(), Some("api.example.com"));
        assert_eq!(ask_for("*", "x7"), None);
        assert_eq!(ask_for("ns/*", "x7"), None);
        assert_eq!(ask_for("", "x7"), None);
    }
}
