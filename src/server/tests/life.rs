//! From submission to outcome: claims, fences, leases, retries, restarts.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_from_submission_to_its_outcome() {
    let plane = Plane::start().await;
    let plan = json!({"src_registry": {"RegistryType": "public_oci", "Repository": "h.io/a"}, "src_tag": "1",
        "dst_registry": {"RegistryType": "public_oci", "Repository": "h.io/b"}, "dst_tag": "1"});
    let job = plane.submit(json!({"type": "oci-sync", "plan": plan, "metadata": {"who": "me"}})).await;

    let (status, settings) = plane.run(Method::GET, "/v1/runners/r1/settings", Value::Null).await;
    assert_eq!((status.as_u16(), settings["heart_beat_timeout"].as_i64()), (200, Some(5_000_000_000)));
    let (_, listed) = plane.run(Method::GET, "/v1/runners/r1/jobs?group=sync", Value::Null).await;
    assert_eq!(listed[0]["id"], json!(job));
    assert_eq!(listed[0]["execution_timeout"], json!(900_000_000_000_i64));
    assert_eq!((&listed[0]["log_stream_id"], &listed[0]["metadata"]["who"]), (&json!(job), &json!("me")));
    let (_, other) = plane.run(Method::GET, "/v1/runners/r1/jobs?group=build", Value::Null).await;
    assert_eq!(other, json!([]));

    let (status, execution) = plane.claim(&job, "r1").await;
    assert_eq!(status, 201);
    let response = plane.ask(Method::GET, &format!("/v1/runner-jobs/{job}/plan"), &plane.runner).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(response.json::<Value>().await.unwrap(), plan);
    for status in ["initializing", "in-progress", "in-progress", "cleaning-up"] {
        assert_eq!(plane.set_status(&job, &execution, status).await.0, 200);
    }
    assert_eq!(plane.log(&job, &execution, 1, &["one", "two"]).await, 201);
    let path = format!("/v1/runner-jobs/{job}/executions/{execution}");
    let result = json!({"success": true, "contents": "{}"});
    for _ in 0..2 {
        assert_eq!(plane.run(Method::POST, &format!("{path}/result"), result.clone()).await.0, 201);
    }
    let outputs = json!({"outputs": {"image": {"tag": "1"}}});
    assert_eq!(plane.run(Method::POST, &format!("{path}/outputs"), outputs).await.0, 201);
    for _ in 0..2 {
        assert_eq!(plane.set_status(&job, &execution, "finished").await.0, 200);
    }
    assert_refusal(&plane.set_status(&job, &execution, "failed").await, 409);
    let shown = plane.show(&job).await;
    assert_eq!(
        (&shown["status"], &shown["execution_count"], &shown["outputs"]["image"]["tag"]),
        (&json!("finished"), &json!(1), &json!("1"))
    );
    assert_eq!(shown["result"]["success"], json!(true));
    let (_, runners) = plane.operate(Method::GET, "/v1/runners", Value::Null).await;
    assert_eq!(runners["runners"][0]["id"], json!("r1"));
    let metrics = plane.http.get(format!("http://{}/metrics", plane.running.addr)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("build_runner_plane_jobs{status=\"finished\"} 1"), "{metrics}");
    assert!(metrics.contains("build_runner_plane_claim_latency_seconds_count 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_claims_at_once_one_wins_and_a_key_repeats_it() {
    let plane = Plane::start().await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let path = format!("/v1/runner-jobs/{job}/executions");
    let claims = (0..50).map(|number| {
        let request = plane.ask(Method::POST, &path, &plane.runner).header("x-runner-id", format!("r{number}"));
        answer(request.header("idempotency-key", format!("k{number}")))
    });
    let answers = futures_util::future::join_all(claims).await;
    let won: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.0 == 201).collect();
    assert_eq!(won.len(), 1);
    answers.iter().filter(|answer| answer.0 != 201).for_each(|answer| assert_refusal(answer, 409));
    let (number, (_, execution)) = won[0];
    let again = plane.ask(Method::POST, &path, &plane.runner).header("x-runner-id", format!("r{number}"));
    let (status, same) = answer(again.header("idempotency-key", format!("k{number}"))).await;
    assert_eq!((status.as_u16(), &same["id"]), (200, &execution["id"]));
    assert_eq!(plane.show(&job).await["runner_id"], json!(format!("r{number}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_gives_the_job_to_the_next_and_fences_the_first() {
    let plane = Plane::with(|options| options.lease = Duration::from_millis(300)).await;
    let job = plane.submit(json!({"type": "noop", "max_executions": 2})).await;
    let (_, first) = plane.claim(&job, "r1").await;
    let began = std::time::Instant::now();
    // No beats: the next poll is woken by the end of the lease.
    let (_, jobs) = plane.run(Method::GET, "/v1/runners/r2/jobs/tail?wait=10s", Value::Null).await;
    assert_eq!(jobs[0]["id"], json!(job));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (status, second) = plane.claim(&job, "r2").await;
    assert_eq!(status, 201);
    assert_refusal(&plane.set_status(&job, &first, "finished").await, 409);
    assert_eq!(plane.log(&job, &first, 1, &["late"]).await, 409);
    let path = format!("/v1/runner-jobs/{job}/executions/{first}/outputs");
    assert_refusal(&plane.run(Method::POST, &path, json!({"outputs": {}})).await, 409);
    assert_eq!(plane.set_status(&job, &second, "finished").await.0, 200);
    let shown = plane.show(&job).await;
    assert_eq!((&shown["status"], &shown["execution_count"]), (&json!("finished"), &json!(2)));
    assert_eq!((&shown["executions"][0]["ending"], &shown["executions"][1]["ending"]), (&json!("expired"), &json!("reported")));
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_a_lease_and_the_last_execution_ends_the_job() {
    let plane = Plane::with(|options| options.lease = Duration::from_millis(400)).await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let beat = json!({"alive_time": 1_000_000_000_i64, "version": "1"});
        assert_eq!(plane.run(Method::POST, "/v1/runners/r1/heart-beats", beat).await.0, 201);
    }
    assert_eq!(plane.set_status(&job, &execution, "in-progress").await.0, 200);
    // Now it falls silent.
    let (_, stopped) = plane.run(Method::GET, &format!("/v1/runners/r2/executions/tail?wait=0s&execution={execution}"), Value::Null).await;
    assert_eq!(stopped, json!([]));
    let until = std::time::Instant::now() + PATIENCE;
    while plane.show(&job).await["status"] != json!("failed") {
        assert!(std::time::Instant::now() < until, "{}", plane.show(&job).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, again) = plane.operate(Method::POST, &format!("/v1/jobs/{job}/retry"), Value::Null).await;
    assert_eq!((status.as_u16(), &again["status"]), (200, &json!("available")));
    assert_eq!(plane.claim(&job, "r2").await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_its_runner_and_may_be_tried_again() {
    let plane = Plane::start().await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    let path = format!("/v1/runners/r1/executions/tail?wait=20s&execution={execution}");
    let watching = plane.run(Method::GET, &path, Value::Null);
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = plane.operate(Method::POST, &format!("/v1/runner-jobs/{job}/cancel"), Value::Null).await;
        (answer, std::time::Instant::now())
    };
    let ((_, stopped), (cancelled, at)) = tokio::join!(watching, cancelling);
    assert_eq!(cancelled.0, 202);
    assert!(at.elapsed() < Duration::from_secs(2));
    assert_eq!((&stopped[0]["execution_id"], &stopped[0]["status"]), (&json!(execution), &json!("cancelled")));
    assert_refusal(&plane.operate(Method::POST, &format!("/v1/jobs/{job}/retry"), Value::Null).await, 409);
    assert_eq!(plane.log(&job, &execution, 1, &["stopping"]).await, 201);
    assert_eq!(plane.set_status(&job, &execution, "cancelled").await.0, 200);
    assert_eq!(plane.operate(Method::POST, &format!("/v1/jobs/{job}/retry"), Value::Null).await.0, 200);
    assert_eq!(plane.operate(Method::POST, &format!("/v1/jobs/{job}/cancel"), Value::Null).await.0, 202);
    assert_eq!(plane.show(&job).await["status"], json!("cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart_and_tokens_are_written_once() {
    let plane = Plane::start().await;
    let key = |plane: &Plane| plane.ask(Method::POST, "/v1/jobs", &plane.operator).header("idempotency-key", "k");
    let (status, job) = answer(key(&plane).json(&json!({"type": "noop"}))).await;
    assert_eq!(status, 201);
    let id = job["id"].as_str().unwrap().to_owned();
    let (_, execution) = plane.claim(&id, "r1").await;
    let (operator, runner) = (plane.operator.clone(), plane.runner.clone());
    let plane = plane.restart().await;
    assert_eq!((operator, runner), (plane.operator.clone(), plane.runner.clone()));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(plane.folder.path().join("operator.token")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(plane.set_status(&id, &execution, "finished").await.0, 200);
    let (status, same) = answer(key(&plane).json(&json!({"type": "noop"}))).await;
    assert_eq!((status.as_u16(), &same["id"], &same["status"]), (200, &json!(id), &json!("finished")));
    assert_refusal(&answer(key(&plane).json(&json!({"type": "noop", "metadata": {"a": "b"}}))).await, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let plane = Plane::start().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(plane.submit(json!({"type": if number == 3 { "noop-sync" } else { "noop" }})).await);
    }
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = plane.operate(Method::GET, &format!("/v1/jobs?limit=3&cursor={cursor}"), Value::Null).await;
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(seen, ids);
    let (_, page) = plane.operate(Method::GET, "/v1/jobs?type=noop-sync&status=available,queued&group=sync", Value::Null).await;
    assert_eq!((page["jobs"].as_array().unwrap().len(), &page["jobs"][0]["execution_count"]), (1, &json!(0)));
    let (_, page) = plane.run(Method::GET, "/v1/runners/r1/jobs?limit=2&page=1&group=any", Value::Null).await;
    let listed: Vec<_> = page.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [&ids[4], &ids[3]], "the oldest first");
}
