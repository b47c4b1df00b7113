//! All Kubernetes I/O, and nothing but I/O: what is there becomes an `Observed` ([`gather`]), an `Action` becomes a
//! write ([`apply`]; [`copies`] for the copies). Only what is named and granted is read: one watch a named Secret.

pub mod apply;
mod board;
pub mod client;
pub(crate) mod client_ca;
pub mod copies;
pub mod error;
pub mod events;
pub mod evict;
pub mod gardener;
pub mod gateway_object;
pub mod gateways;
pub mod gather;
pub mod http2;
pub mod mesh;
pub mod one;
pub mod secrets;
pub mod single;
pub mod status;
pub mod wants;
mod write;

/// Our field manager for updates. A create uses this name and a suffix of its own, see [`apply`].
pub const MANAGER: &str = "certkeeper";
/// Whether this field manager is certkeeper: [`MANAGER`], or that with the suffix of a create.
#[must_use]
pub fn is_own_manager(manager: &str) -> bool {
    manager.strip_prefix(MANAGER).is_some_and(|rest| {
        let suffix = rest.strip_prefix('-').unwrap_or_default();
        rest.is_empty() || (suffix.len() == 16 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

/// The label on what we create.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

#[cfg(test)]
mod tests {
    use super::is_own_manager;

    #[test]
    fn only_our_own_managers_are_ours() {
        assert!(is_own_manager("certkeeper") && is_own_manager("certkeeper-0123456789abcdef"));
        for other in ["certkeeper-x", "certkeeper2", "certkeeper-0123456789abcdefg", "certkeeper-", "kubectl-edit", ""]
        {
            assert!(!is_own_manager(other), "{other}");
        }
    }
}
