//! Random sequences over a small world: two names, two managers, few keys, so that requests meet.

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use serde_json::{Value, json};

use super::{
    scripts::{CONFIG_MAPS, SECRETS, WIDGETS},
    world::Call,
};

const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Tries random sequences until one is answered differently, which is then made as short as possible.
pub fn run(check: impl Fn(&[Call]) -> Result<(), String>) {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let cases = u32::try_from(number("CERTKEEPER_CONFORMANCE_CASES", 150)).unwrap_or(u32::MAX);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("CERTKEEPER_CONFORMANCE_SEED", 1).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&sequences(), |calls| check(&calls).map_err(TestCaseError::fail));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, calls)) => {
            let line = |call: &Call| format!("  {} {} {} {}", call.method, call.path, call.content_type, call.body);
            let calls: Vec<_> = calls.iter().map(line).collect();
            panic!("{reason}\nThe shortest sequence found:\n{}", calls.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}

fn sequences() -> impl Strategy<Value = Vec<Call>> {
    let kind = prop_oneof![3 => Just(SECRETS), 1 => Just(CONFIG_MAPS), 3 => Just(WIDGETS)];
    kind.prop_flat_map(|collection| prop::collection::vec(call(collection), 2..12))
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("a"), 1 => Just("b")]
}

fn manager() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("one"), Just("two")]
}

/// Preconditions in the metadata: mostly none or the right ones.
fn metadata() -> BoxedStrategy<Value> {
    let version = prop_oneof![4 => Just(None), 3 => Just(Some("{rv:a}")), 1 => Just(Some("{oldrv:a}"))];
    let uid = prop_oneof![5 => Just(None), 1 => Just(Some("{uid:a}")), 1 => Just(Some("11111111-1111-1111-1111-111111111111"))];
    let labels = prop_oneof![
        3 => Just(None),
        1 => Just(Some(json!({"x": "1"}))),
        1 => Just(Some(json!({"x": "2", "y": "1"}))),
    ];
    let finalizers =
        prop_oneof![8 => Just(None), 1 => Just(Some(json!(["example.com/hold"]))), 1 => Just(Some(json!([])))];
    (version, uid, labels, finalizers)
        .prop_map(|(version, uid, labels, finalizers)| {
            let parts = [
                ("resourceVersion", version.map(Value::from)),
                ("uid", uid.map(Value::from)),
                ("labels", labels),
                ("finalizers", finalizers),
            ];
            parts
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
        .boxed()
}

fn content(collection: &'static str) -> BoxedStrategy<Value> {
    let value = prop_oneof![Just("MQ=="), Just("Mg==")];
    let key = prop_oneof![Just("tls.crt"), Just("tls.key"), Just("cert")];
    let data = prop::collection::btree_map(key, value, 0..3);
    match collection {
        SECRETS => {
            (data, prop_oneof![3 => Just(None), 1 => Just(Some("kubernetes.io/tls")), 1 => Just(Some("Opaque"))])
                .prop_map(|(data, kind)| match kind {
                    Some(kind) => json!({"data": data, "type": kind}),
                    None => json!({"data": data}),
                })
                .boxed()
        }
        CONFIG_MAPS => data.prop_map(|data| json!({"data": data})).boxed(),
        _ => widget(),
    }
}

fn widget() -> BoxedStrategy<Value> {
    let item = (prop_oneof![Just("a"), Just("b"), Just("c")], prop_oneof![Just("1"), Just("2")]);
    let list = prop::collection::btree_map(item.clone().prop_map(|(k, _)| k), item.prop_map(|(_, v)| v), 0..3);
    let list =
        list.prop_map(|list| list.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Value>());
    let tags = prop::collection::btree_set(prop_oneof![Just("x"), Just("y")], 0..2).prop_map(|tags| json!(tags));
    let size = prop_oneof![6 => 1..3_i64, 1 => Just(0_i64)];
    let ready = prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (size, prop::option::of(list), prop::option::of(tags), ready)
        .prop_map(|(size, list, tags, ready)| {
            let mut object = json!({"spec": {"size": size}});
            if let Some(list) = list {
                object["spec"]["list"] = list;
            }
            if let Some(tags) = tags {
                object["spec"]["tags"] = tags;
            }
            if let Some(ready) = ready {
                object["status"] = json!({"ready": ready});
            }
            object
        })
        .boxed()
}

fn kind(collection: &str) -> (&'static str, &'static str) {
    match collection {
        SECRETS => ("v1", "Secret"),
        CONFIG_MAPS => ("v1", "ConfigMap"),
        _ => ("conformance.example.com/v1", "Widget"),
    }
}

fn object(collection: &'static str) -> impl Strategy<Value = (&'static str, Value)> {
    let (version, kind) = kind(collection);
    (name(), metadata(), content(collection)).prop_map(move |(name, metadata, mut object)| {
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        object["metadata"] = metadata;
        object["metadata"]["name"] = name.into();
        (name, object)
    })
}

fn call(collection: &'static str) -> BoxedStrategy<Call> {
    let sub =
        if collection == WIDGETS { prop_oneof![3 => Just(""), 1 => Just("/status")].boxed() } else { Just("").boxed() };
    let create = (object(collection), manager()).prop_map(move |((_, mut body), manager)| {
        // Only a refusal, and one that the two word differently.
        body["metadata"].as_object_mut().map(|metadata| metadata.remove("resourceVersion"));
        request("POST", format!("{collection}?fieldManager={manager}"), "application/json", body)
    });
    let put = (object(collection), manager(), sub.clone()).prop_map(move |((name, body), manager, sub)| {
        request("PUT", format!("{collection}/{name}{sub}?fieldManager={manager}"), "application/json", body)
    });
    let merge = (object(collection), manager(), sub.clone()).prop_map(move |((name, body), manager, sub)| {
        request("PATCH", format!("{collection}/{name}{sub}?fieldManager={manager}"), MERGE, body)
    });
    let apply =
        (object(collection), manager(), any::<bool>(), sub).prop_map(move |((name, mut body), manager, force, sub)| {
            // The real server stores an empty list that is applied to a custom resource's metadata, though it never
            // shows it: the next write of the same is none in its eyes.
            if body["metadata"]["finalizers"] == json!([]) {
                body["metadata"].as_object_mut().map(|metadata| metadata.remove("finalizers"));
            }
            request("PATCH", format!("{collection}/{name}{sub}?fieldManager={manager}&force={force}"), APPLY, body)
        });
    let delete = (name(), metadata()).prop_map(move |(name, metadata)| {
        let part = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        let body = json!({"preconditions": {"uid": part("uid"), "resourceVersion": part("resourceVersion")}});
        request("DELETE", format!("{collection}/{name}"), "application/json", body)
    });
    let get = name().prop_map(move |name| request("GET", format!("{collection}/{name}"), "", Value::Null));
    let list = prop_oneof![Just("labelSelector=x%3D1"), Just("limit=1"), Just("fieldSelector=metadata.name%3Da")]
        .prop_map(move |query| request("GET", format!("{collection}?{query}"), "", Value::Null));
    prop_oneof![3 => create, 3 => put, 3 => merge, 4 => apply, 2 => delete, 1 => get, 1 => list].boxed()
}

fn request(method: &'static str, path: String, content_type: &'static str, body: Value) -> Call {
    Call { method, path, content_type, accept: "", body }
}
