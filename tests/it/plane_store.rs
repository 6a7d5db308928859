//! What a control plane has acknowledged is on its disk, and nobody but it touches that disk.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::plane::{Plane, until};
use crate::support::process::{self, Done};

/// Clients that submit at the same time.
const CLIENTS: usize = 16;
/// Acknowledged jobs after which the plane is killed.
const ENOUGH: usize = 300;

/// Submits one job after the other under keys of its own until the plane does not answer any more: what was acknowledged, and the key
/// that is left in doubt.
async fn submit_until_killed(
    client: usize,
    post: reqwest::RequestBuilder,
    count: Arc<watch::Sender<usize>>,
) -> (BTreeMap<String, String>, String) {
    let mut acknowledged = BTreeMap::new();
    loop {
        let key = format!("{client}-{}", acknowledged.len());
        let Ok(answer) = post.try_clone().unwrap().header("idempotency-key", &key).send().await else { return (acknowledged, key) };
        assert_eq!(answer.status(), 201);
        let Ok(body) = answer.bytes().await else { return (acknowledged, key) };
        let job: Value = serde_json::from_slice(&body).unwrap();
        acknowledged.insert(key, job["id"].as_str().unwrap().to_owned());
        count.send_modify(|count| *count += 1);
    }
}

fn submission(plane: &Plane) -> reqwest::RequestBuilder {
    let http = reqwest::Client::builder().no_proxy().timeout(process::PATIENCE).build().unwrap();
    let body = json!({"type": "noop", "plan": {}}).to_string();
    http.post(format!("{}/v1/jobs", plane.url())).bearer_auth(plane.token("operator")).header("content-type", "application/json").body(body)
}

#[test]
fn a_killed_plane_has_every_job_it_acknowledged_and_makes_none_twice() {
    let mut plane = Plane::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (count, mut counted) = watch::channel(0);
    let count = Arc::new(count);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn_on(submit_until_killed(client, submission(&plane), Arc::clone(&count)), runtime.handle());
    }
    runtime.block_on(counted.wait_for(|count| *count >= ENOUGH)).unwrap();
    plane.kill();
    let done = runtime.block_on(clients.join_all());
    plane.restart();

    let stored: Vec<String> = plane.jobs().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    let acknowledged: Vec<&String> = done.iter().flat_map(|(acknowledged, _)| acknowledged.values()).collect();
    assert!(acknowledged.len() >= ENOUGH);
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    // Each client asks again about what it does not know: a job that had been stored is given back, not made twice.
    for (_, doubtful) in &done {
        let answer = runtime.block_on(async { submission(&plane).header("idempotency-key", doubtful).send().await.unwrap() });
        assert!([200, 201].contains(&answer.status().as_u16()), "{doubtful}: {}", answer.status());
    }
    assert_eq!(plane.jobs().len(), acknowledged.len() + done.len());
}

/// Another control plane on the folder of `plane`, which has to fail.
fn refused(plane: &Plane) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_build-runner"));
    command.args(["control-plane", "--listen", "127.0.0.1:0", "--data-dir"]).arg(plane.data()).env_clear().env("HOME", plane.data());
    let done = process::output(&mut command);
    assert_eq!(done.code.map(|code| code == 0), Some(false), "{}{}", done.stdout, done.stderr);
    done
}

#[test]
fn a_second_control_plane_on_the_same_folder_is_refused() {
    let plane = Plane::start();
    let job = plane.submit(&json!({"type": "noop", "plan": {}}));
    let done = refused(&plane);
    assert!(done.stderr.contains("in use by another control plane"), "{}", done.stderr);
    assert!(done.stderr.contains("--data-dir"), "it says what to do: {}", done.stderr);
    assert_eq!(plane.job(&job)["status"], "available");
}

#[test]
fn a_database_of_a_later_release_is_refused_by_name_and_left_alone() {
    let mut plane = Plane::start();
    let database = plane.data().join("control-plane.db");
    plane.process().signal(Signal::SIGTERM);
    // The write-ahead log goes when the database is closed in order.
    until("the end of the plane", || !database.with_extension("db-wal").exists());
    plane.kill();
    let file = std::fs::OpenOptions::new().write(true).open(&database).unwrap();
    // The user version: bytes 60 to 63 of the header (https://www.sqlite.org/fileformat.html, section 1.3).
    file.write_all_at(&999_u32.to_be_bytes(), 60).unwrap();
    let before = std::fs::read(&database).unwrap();
    let done = refused(&plane);
    assert!(done.stderr.contains("control-plane.db") && done.stderr.contains("999"), "{}", done.stderr);
    assert!(std::fs::read(&database).unwrap() == before, "it was written to");
}
