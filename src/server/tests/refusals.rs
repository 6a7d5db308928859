//! Requests of every wrong kind: one clear answer each, and nothing changes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_what_they_are_for_and_nothing_else() {
    let plane = Plane::start().await;
    let url = |path: &str| format!("http://{}{path}", plane.running.addr);
    for path in ["/livez", "/readyz", "/metrics", "/v1/openapi.json"] {
        assert_eq!(plane.http.get(url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    for path in ["/v1/jobs", "/v1/runners/r1/settings", "/v1/tokens"] {
        let response = plane.http.get(url(path)).send().await.unwrap();
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        assert_refusal(&(response.status(), response.json().await.unwrap()), 401);
        assert_refusal(&answer(plane.ask(Method::GET, path, "wrong")).await, 401);
    }
    assert_refusal(&plane.run(Method::GET, "/v1/jobs", Value::Null).await, 403);
    assert_refusal(&plane.operate(Method::GET, "/v1/runners/r1/jobs", Value::Null).await, 403);
    let by_query = plane.http.get(url(&format!("/v1/runners/r1/settings?token={}", plane.runner)));
    assert_eq!(answer(by_query).await.0, 200);
    let by_query = plane.http.get(url(&format!("/v1/jobs?token={}", plane.operator)));
    assert_refusal(&answer(by_query).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_bound_expire_and_are_revoked() {
    let plane = Plane::start().await;
    let (status, token) = plane.operate(Method::POST, "/v1/tokens", json!({"kind": "runner", "runner_id": "r1", "name": "mine"})).await;
    assert_eq!(status, 201);
    let secret = token["token"].as_str().unwrap().to_owned();
    assert_eq!(answer(plane.ask(Method::GET, "/v1/runners/r1/settings", &secret)).await.0, 200);
    assert_refusal(&answer(plane.ask(Method::GET, "/v1/runners/r2/settings", &secret)).await, 403);
    let job = plane.submit(json!({"type": "noop", "runner_id": "r2"})).await;
    for path in [format!("/v1/runner-jobs/{job}/plan"), format!("/v1/runner-jobs/{job}")] {
        assert_refusal(&answer(plane.ask(Method::GET, &path, &secret)).await, 403);
    }
    let (_, execution) = plane.claim(&job, "r2").await;
    let path = format!("/v1/runner-jobs/{job}/executions/{execution}");
    assert_refusal(&answer(plane.ask(Method::PATCH, &path, &secret).json(&json!({"status": "failed"}))).await, 403);
    let free = plane.submit(json!({"type": "noop"})).await;
    assert_eq!(answer(plane.ask(Method::GET, &format!("/v1/runner-jobs/{free}/plan"), &secret)).await.0, 200);
    assert_eq!(answer(plane.ask(Method::POST, &format!("/v1/runner-jobs/{free}/executions"), &secret)).await.0, 201);
    assert_eq!(plane.show(&free).await["runner_id"], json!("r1"));

    let (_, listed) = plane.operate(Method::GET, "/v1/tokens", Value::Null).await;
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(&secret));
    let path = format!("/v1/tokens/{}", token["id"].as_str().unwrap());
    assert_eq!(plane.operate(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_refusal(&plane.operate(Method::DELETE, &path, Value::Null).await, 404);
    assert_refusal(&answer(plane.ask(Method::GET, "/v1/runners/r1/settings", &secret)).await, 401);

    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    let (_, token) = plane.operate(Method::POST, "/v1/tokens", json!({"kind": "operator", "expires_at": soon})).await;
    let secret = token["token"].as_str().unwrap();
    assert_eq!(answer(plane.ask(Method::GET, "/v1/jobs", secret)).await.0, 200);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_refusal(&answer(plane.ask(Method::GET, "/v1/jobs", secret)).await, 401);
    let wrong = json!({"kind": "admin", "runner_id": "../x", "expires_at": "2001-01-01T00:00:00Z"});
    let answer = plane.operate(Method::POST, "/v1/tokens", wrong).await;
    assert_refusal(&answer, 422);
    assert_eq!(answer.1["problems"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_have_their_own_answers() {
    let plane = Plane::start().await;
    let submit = || plane.ask(Method::POST, "/v1/jobs", &plane.operator);
    assert_refusal(&answer(submit().header("content-type", "text/plain").body("{}")).await, 415);
    assert_refusal(&answer(submit().header("content-encoding", "br").body("{}")).await, 415);
    let (status, broken) = answer(submit().header("content-type", "application/json").body("{\"type\": noop}")).await;
    assert_eq!(status, 400);
    assert!(broken["description"].as_str().unwrap().contains("line 1 column"), "{broken}");
    assert_refusal(&answer(submit().header("content-type", "application/json").body("x".repeat((1 << 20) + 1))).await, 413);
    let unknown = answer(submit().json(&json!({"type": "helm-chart-bild", "plan": {}}))).await;
    assert_refusal(&unknown, 422);
    assert!(unknown.1["description"].as_str().unwrap().contains("did you mean 'helm-chart-build'"), "{}", unknown.1);
    let bomb = otlp::gzip(&vec![b' '; 32 << 20]).unwrap();
    let packed = |path: String, token: &str| plane.ask(Method::POST, &path, token).header("content-encoding", "gzip").body(bomb.clone());
    assert_refusal(&answer(packed("/v1/jobs".to_owned(), &plane.operator)).await, 413);
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    let logs = format!("/v1/log-streams/{job}/logs");
    assert_refusal(&answer(packed(logs.clone(), &plane.runner)).await, 413);
    let log = |kind: &str| plane.ask(Method::POST, &logs, &plane.runner).header("content-type", kind);
    assert_refusal(&answer(log("application/json").body("{}")).await, 415);
    assert_refusal(&answer(log("application/x-protobuf").body("\u{1}nonsense")).await, 400);
    assert_refusal(&answer(log("application/x-protobuf").body(vec![0; 17 << 20])).await, 413);
    let path = format!("/v1/runner-jobs/{job}/executions/{execution}");
    assert_refusal(&plane.run(Method::PATCH, &path, json!({"status": "splendid"})).await, 400);
    assert_refusal(&plane.run(Method::POST, &format!("{path}/outputs"), json!({"outputs": "x".repeat(5 << 20)})).await, 413);
    assert_refusal(&plane.run(Method::POST, &format!("{path}/outputs"), json!({"outputs": []})).await, 400);
    assert_refusal(&plane.run(Method::POST, "/v1/runners/r1/heart-beats", json!({})).await, 400);
    assert_eq!(plane.show(&job).await["executions"][0]["status"], json!("pending"), "none of it changed anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_to_be_not_there() {
    let plane = Plane::start().await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    let other = plane.submit(json!({"type": "noop"})).await;
    for (path, status) in
        [("/v2", 404), ("/v1/jobs/nothing", 404), ("/v1/jobs/nothing/logs", 404), ("/v1/jobs/a%2Fb", 400), ("/v1/jobs?status=x", 400)]
    {
        assert_refusal(&plane.operate(Method::GET, path, Value::Null).await, status);
    }
    assert_refusal(&plane.operate(Method::DELETE, "/v1/jobs", Value::Null).await, 405);
    assert_refusal(&plane.run(Method::GET, "/v1/runner-jobs/nothing/plan", Value::Null).await, 404);
    assert_refusal(&plane.run(Method::GET, "/v1/runners/nobody", Value::Null).await, 404);
    // The execution of another job, and one that never was.
    assert_refusal(&plane.set_status(&other, &execution, "finished").await, 409);
    assert_refusal(&plane.set_status(&job, "run-that-never-was", "finished").await, 409);
    let (_, stopped) = plane.run(Method::GET, "/v1/runners/r1/executions/tail?wait=5s&execution=run-that-never-was", Value::Null).await;
    assert_eq!(stopped[0]["execution_id"], json!("run-that-never-was"));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_clients_are_cut_off_alone() {
    let plane = Plane::with(|options| options.limits.arrival = Duration::from_millis(300)).await;
    let head = |extra: &str| format!("POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{extra}", plane.operator);
    // A body that never comes.
    let text = talk(&plane, &head("content-length: 10\r\n\r\n{")).await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    // A head that never ends, and bytes that are no HTTP.
    assert!(!talk(&plane, &head("")).await.starts_with("HTTP/1.1 2"));
    assert!(!talk(&plane, "\u{16}\u{3}\u{1}hello\r\n\r\n").await.starts_with("HTTP/1.1 2"));
    assert_eq!(plane.operate(Method::GET, "/v1/jobs", Value::Null).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_wait_for_their_turn() {
    let plane = Plane::with(|options| options.limits.connections = 2).await;
    let (first, second) = (connect(&plane).await, connect(&plane).await);
    let third = client();
    let waiting = third.get(format!("http://{}/livez", plane.running.addr)).send();
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(200), waiting.as_mut()).await.is_err());
    drop((first, second));
    assert_eq!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().status(), 200);
}

async fn connect(plane: &Plane) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(plane.running.addr).await.unwrap()
}

/// What is answered to these bytes until the connection is closed.
async fn talk(plane: &Plane, text: &str) -> String {
    let mut stream = connect(plane).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut is an answer as well.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("cut off in time");
    String::from_utf8_lossy(&answer).into_owned()
}
