//! A Gateway of Istio's with the pods that serve it, read once: for commands that look and do not stay; and what those
//! objects mean in the words of [`serving`](crate::lifecycle::serving).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Pod as PodObject, Service as ServiceObject},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, GroupVersionKind},
};
use serde::de::DeserializeOwned;

use super::error::{CALL_TIMEOUT, CallError, bounded, classify, describe, is_unknown_resource};
use crate::{
    api::{DISABLE_PORT_TRANSLATION, GATEWAY_VERSIONS, ISTIO_GROUP, IstioGateway, IstioServer, IstioServerTls},
    lifecycle::{
        FailureKind, ObjectName,
        serving::{Gateway, Pod, PodState, Server, Service, ServicePort, TargetPort, Tls},
    },
};

/// Where gateways are looked for if they may not be listed everywhere.
pub const INGRESS_NAMESPACE: &str = "istio-system";
/// How many pods or Services one answer of the API server holds.
const PAGE: u32 = 500;
/// The most pods of one Gateway, and Services of one namespace, that are read.
const MOST: usize = 5_000;

/// Reads this Gateway, in the newest version that the server has.
///
/// # Errors
/// Says that there is none, that Istio is not installed, which rule is missing, or why the API server could not be asked.
pub async fn gateway(client: &Client, name: &ObjectName) -> Result<Gateway, String> {
    for version in GATEWAY_VERSIONS {
        let kind = GroupVersionKind::gvk(ISTIO_GROUP, version, "Gateway");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
        let api: Api<IstioGateway> = Api::namespaced_with(client.clone(), &name.namespace, &resource);
        let read = tokio::time::timeout(CALL_TIMEOUT, api.get(&name.name)).await;
        let error = match read {
            Ok(Ok(found)) => return Ok(plain_gateway(&found)),
            // An answer that names no object: the server does not know the resource.
            Ok(Err(error)) if is_unknown_resource(&error) => continue,
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(format!("the API server did not answer within {} s", CALL_TIMEOUT.as_secs()));
            }
        };
        return Err(match classify(&error) {
            CallError::Stale => format!("there is no Gateway {} in namespace {}", name.name, name.namespace),
            CallError::Failed(FailureKind::Denied, message) if message.contains(" cannot ") => format!(
                "Gateway {name} may not be read: grant the verb get on gateways of {ISTIO_GROUP} in namespace {} (API \
                 server: {message})",
                name.namespace
            ),
            CallError::Failed(..) => format!("Gateway {name} could not be read: {}", describe(&error)),
        });
    }
    Err(format!(
        "the API server knows no gateways.{ISTIO_GROUP}: Istio is not installed in this cluster, or without its \
         CustomResourceDefinitions"
    ))
}

/// The pods that were found.
#[derive(Debug)]
pub struct Found {
    /// In the order of their names.
    pub pods: Vec<Pod>,
    /// Why only [`INGRESS_NAMESPACE`] was looked at, if that is so.
    pub narrowed: Option<String>,
}

/// The pods with these labels, in all namespaces; in [`INGRESS_NAMESPACE`] alone where that is refused.
///
/// # Errors
/// As [`gateway`].
pub async fn pods(client: &Client, selector: &BTreeMap<String, String>) -> Result<Found, String> {
    let terms: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = ListParams::default().labels(&terms.join(","));
    let everywhere: Result<Vec<PodObject>, CallError> = list(&Api::all(client.clone()), &labels).await;
    let (objects, narrowed) = match everywhere {
        Ok(objects) => (objects, None),
        Err(CallError::Failed(FailureKind::Denied, refusal)) if refusal.contains(" cannot ") => {
            let rule = format!(
                "grant the verb list on pods in a ClusterRole, or at least in namespace {INGRESS_NAMESPACE} (API \
                 server: {refusal})"
            );
            match list(&Api::namespaced(client.clone(), INGRESS_NAMESPACE), &labels).await {
                Ok(objects) => (objects, Some(rule)),
                Err(CallError::Failed(FailureKind::Denied, _)) => {
                    return Err(format!("the gateway's pods may not be listed: {rule}"));
                }
                Err(error) => return Err(failed("pods could not be listed", error)),
            }
        }
        Err(error) => return Err(failed("pods could not be listed", error)),
    };
    let mut pods: Vec<Pod> = objects.iter().map(plain_pod).collect();
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Found { pods, narrowed })
}

/// The Services of this namespace, the oldest first.
///
/// # Errors
/// As [`gateway`].
pub async fn services(client: &Client, namespace: &str) -> Result<Vec<Service>, String> {
    let api: Api<ServiceObject> = Api::namespaced(client.clone(), namespace);
    let mut objects = list(&api, &ListParams::default()).await.map_err(|error| match error {
        CallError::Failed(FailureKind::Denied, message) if message.contains(" cannot ") => format!(
            "the Services of namespace {namespace} may not be listed, and only they tell at which port a pod listens: \
             grant the verb list on services there (API server: {message})"
        ),
        error => failed(&format!("the Services of namespace {namespace} could not be listed"), error),
    })?;
    objects.sort_by_key(|service| (service.creation_timestamp().map(|time| time.0), service.name_any()));
    Ok(objects.iter().map(plain_service).collect())
}

fn failed(what: &str, error: CallError) -> String {
    match error {
        CallError::Stale => format!("{what}: what was listed has changed too often; try again"),
        CallError::Failed(_, message) => format!("{what}: {message}"),
    }
}

/// All pages of a list, bounded.
async fn list<K>(api: &Api<K>, wanted: &ListParams) -> Result<Vec<K>, CallError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut wanted = wanted.clone().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = bounded(api.list(&wanted)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(_) if all.len() >= MOST => {
                let message = format!("there are more than {MOST}");
                return Err(CallError::Failed(FailureKind::Rejected, message));
            }
            Some(token) => wanted = wanted.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// A Gateway in plain words.
#[must_use]
pub fn plain_gateway(gateway: &IstioGateway) -> Gateway {
    let name = ObjectName::new(gateway.namespace().unwrap_or_default(), gateway.name_any());
    let server = |server: &IstioServer| Server {
        name: server.port.name.clone(),
        port: u16::try_from(server.port.number).unwrap_or_default(),
        protocol: server.port.protocol.clone(),
        hosts: server.hosts.clone(),
        tls: server.tls.as_ref().map(plain_tls),
    };
    Gateway {
        name,
        selector: gateway.spec.selector.clone(),
        servers: gateway.spec.servers.iter().map(server).collect(),
    }
}

fn plain_tls(tls: &IstioServerTls) -> Tls {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Tls {
        mode: tls.mode.clone().unwrap_or_default(),
        credential: filled(&tls.credential_name),
        files: filled(&tls.server_certificate).is_some(),
        min_version: tls.min_protocol_version.clone().unwrap_or_default(),
        max_version: tls.max_protocol_version.clone().unwrap_or_default(),
        suites: tls.cipher_suites.clone(),
        redirect: tls.https_redirect,
    }
}

/// A Service in plain words: its TCP ports.
#[must_use]
pub fn plain_service(service: &ServiceObject) -> Service {
    let spec = service.spec.clone().unwrap_or_default();
    let tcp = spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let ports = tcp.filter_map(|port| {
        let number = u16::try_from(port.port).ok()?;
        let target = match &port.target_port {
            Some(IntOrString::Int(target)) if *target > 0 => TargetPort::Number(u16::try_from(*target).ok()?),
            Some(IntOrString::String(name)) => match name.parse() {
                Ok(target) => TargetPort::Number(target),
                Err(_) => TargetPort::Name(name.clone()),
            },
            // The same port: Kubernetes' default.
            _ => TargetPort::Number(number),
        };
        Some(ServicePort { port: number, target })
    });
    Service {
        namespace: service.namespace().unwrap_or_default(),
        selector: spec.selector.clone().unwrap_or_default(),
        ports: ports.collect(),
        translates: !service.labels().contains_key(DISABLE_PORT_TRANSLATION),
    }
}

/// A pod in plain words.
#[must_use]
pub fn plain_pod(pod: &PodObject) -> Pod {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"));
    let state = match (phase, ready) {
        ("Succeeded" | "Failed", _) => PodState::Ended,
        _ if pod.metadata.deletion_timestamp.is_some() => PodState::Terminating,
        (_, true) => PodState::Ready,
        (_, false) => PodState::NotReady,
    };
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    Pod {
        name: ObjectName::new(pod.namespace().unwrap_or_default(), pod.name_any()),
        uid: pod.uid().unwrap_or_default(),
        labels: pod.labels().clone(),
        address: status.and_then(|status| status.pod_ip.as_deref()).and_then(|address| address.parse().ok()),
        ports: ports.filter_map(|port| Some((port.name.clone()?, u16::try_from(port.container_port).ok()?))).collect(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object<K: DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).expect("an object of that kind")
    }

    #[test]
    fn a_pod_is_ready_not_ready_terminating_or_at_its_end() {
        let pod = |phase: &str, ready: &str, deleted: bool| {
            let deleted = deleted.then_some("2026-01-01T00:00:00Z");
            plain_pod(&object(json!({
                "metadata": {"name": "a", "namespace": "b", "deletionTimestamp": deleted},
                "status": {"phase": phase, "podIP": "2001:db8::1", "conditions": [{"type": "Ready", "status": ready}]},
            })))
        };
        assert_eq!(pod("Running", "True", false).state, PodState::Ready);
        assert_eq!(pod("Running", "False", false).state, PodState::NotReady);
        assert_eq!(pod("Pending", "Unknown", false).state, PodState::NotReady);
        assert_eq!(pod("Running", "True", true).state, PodState::Terminating);
        assert_eq!(pod("Failed", "False", true).state, PodState::Ended);
        assert_eq!(pod("Succeeded", "False", false).state, PodState::Ended);
        assert_eq!(pod("Running", "True", false).address, "2001:db8::1".parse().ok());
        let bare = plain_pod(&object(json!({"metadata": {"name": "a"}})));
        assert_eq!((bare.state, bare.address), (PodState::NotReady, None));
    }

    #[test]
    fn a_services_ports_lead_to_numbers_names_or_themselves() {
        let service = plain_service(&object(json!({"metadata": {"name": "a"}, "spec": {"ports": [
            {"port": 1, "targetPort": 11}, {"port": 2, "targetPort": "tls"}, {"port": 3}, {"port": 4, "targetPort": "44"},
            {"port": 5, "protocol": "UDP"}, {"port": 6, "targetPort": 0}, {"port": 70000},
        ]}})));
        let number = TargetPort::Number;
        let wanted =
            [(1, number(11)), (2, TargetPort::Name("tls".into())), (3, number(3)), (4, number(44)), (6, number(6))];
        let found: Vec<(u16, TargetPort)> = service.ports.into_iter().map(|port| (port.port, port.target)).collect();
        assert_eq!(found, wanted);
        let label = json!({"name": "a", "labels": {DISABLE_PORT_TRANSLATION: "false"}});
        let opted_out = plain_service(&object(json!({ "metadata": label })));
        assert!(service.translates && !opted_out.translates, "the label alone counts, whatever its value");
    }

    #[test]
    fn a_gateway_with_nothing_filled_in_is_read() {
        let gateway = plain_gateway(&object(json!({
            "metadata": {"name": "a", "namespace": "b"}, "status": null,
            "spec": {"selector": null, "servers": [{"port": {"number": 70000}, "hosts": null, "tls": {
                "credentialName": "", "cipherSuites": null}}, {"tls": null}]},
        })));
        assert_eq!(gateway.name, ObjectName::new("b", "a"));
        assert!(gateway.selector.is_empty());
        assert_eq!((gateway.servers[0].port, &gateway.servers[0].tls), (0, &Some(Tls::default())));
        assert_eq!(gateway.servers[1].tls, None);
    }
}
