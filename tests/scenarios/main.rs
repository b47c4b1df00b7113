//! What certkeeper does, one file a topic. Each scenario runs twice: on the in-memory API server with paused time,
//! and on a real etcd and kube-apiserver.

mod pki;
mod world;

mod client_ca;
mod copies;
mod crash;
mod distribution;
mod drift;
mod fan_out;
mod gardener;
mod gardener_troubles;
mod gateway_object;
mod gateway_object_conflicts;
mod gone;
mod law10;
mod leaks;
mod ownership;
mod permission;
mod promotion;
mod random_copies;
mod refusal;
mod rights;
mod rolling;
mod serving;
mod shoot;
mod time;
mod watches;
mod wire;
