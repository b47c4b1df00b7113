//! At which port of a pod a Gateway's port is served (IS pilot/pkg/model/gateway.go, `resolvePorts`).

use super::{Pod, Service, TargetPort, selects};

/// The first Service of the pod's namespace that selects it and has this port says where that leads; without any the pod
/// listens at the port itself. A target's name that no container of the pod has leads nowhere: no Service then.
pub(super) fn resolve(port: u16, pod: &Pod, services: &[Service]) -> u16 {
    let of_pod = |service: &&Service| {
        service.translates
            && service.namespace == pod.name.namespace
            && !service.selector.is_empty()
            && selects(&service.selector, &pod.labels)
    };
    let leads = |target: &TargetPort| match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => pod.ports.iter().find(|(known, _)| known == name).map(|(_, number)| *number),
    };
    let ports = services.iter().filter(of_pod).flat_map(|service| &service.ports);
    ports.filter(|candidate| candidate.port == port).find_map(|found| leads(&found.target)).unwrap_or(port)
}
