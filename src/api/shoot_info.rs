//! What Gardener tells of a shoot: ConfigMap `kube-system/shoot-info`.

use k8s_openapi::api::core::v1::ConfigMap;

/// Its namespace.
pub const SHOOT_INFO_NAMESPACE: &str = "kube-system";
/// Its name.
pub const SHOOT_INFO_NAME: &str = "shoot-info";

/// What is read of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShootInfo {
    /// The cluster's domain, as it is written there. The key is optional: a shoot may have none.
    pub domain: Option<String>,
}

impl From<&ConfigMap> for ShootInfo {
    fn from(map: &ConfigMap) -> Self {
        Self { domain: map.data.as_ref().and_then(|data| data.get("domain")).cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(data: Value) -> ShootInfo {
        let map: ConfigMap = serde_json::from_value(json!({"data": data})).expect("a ConfigMap");
        ShootInfo::from(&map)
    }

    #[test]
    fn the_domain_is_read_where_there_is_one() {
        assert_eq!(read(json!({"domain": "s.example.com", "region": "r"})).domain.as_deref(), Some("s.example.com"));
        assert_eq!(read(json!({"domain": ""})).domain.as_deref(), Some(""));
    }

    #[test]
    fn a_shoot_without_a_domain_has_none() {
        assert_eq!(read(json!({"region": "r"})).domain, None);
        assert_eq!(read(Value::Null).domain, None);
    }
}
