//! The server through kube's own client.

mod crds;
mod faults;
mod secrets;
mod watches;

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Error, api::ObjectMeta, core::Status};

use super::ApiServer;

fn secret(name: &str, data: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<String, ByteString> =
        data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect();
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Secret { metadata, data: Some(data), ..Secret::default() }
}

fn secrets(server: &ApiServer) -> Api<Secret> {
    Api::namespaced(server.client(), "default")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("expected a refusal by the server, found {other:?}"),
    }
}
