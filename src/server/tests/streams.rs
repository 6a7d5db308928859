//! Logs: in pages, followed live, cut and resumed.

use futures_util::StreamExt as _;

use super::*;

/// What arrives of an event stream, event by event.
struct Events {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Events {
    async fn open(plane: &Plane, job: &str, last: Option<&str>) -> Self {
        let request = plane.ask(Method::GET, &format!("/v1/jobs/{job}/logs"), &plane.operator).header("accept", "text/event-stream");
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: response.bytes_stream().boxed(), text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
                let Some(kind) = field("event:") else { continue };
                let data = field("data:").unwrap_or_default();
                return Some(Event { kind, id: field("id:").unwrap_or_default(), data: serde_json::from_str(&data).unwrap() });
            }
            let piece = tokio::time::timeout(PATIENCE, self.bytes.next()).await.expect("an event in time")?;
            self.text += std::str::from_utf8(&piece.ok()?).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_live_cut_and_resumed_without_loss_or_doubles() {
    let plane = Plane::start().await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    let mut events = Events::open(&plane, &job, None).await;
    assert_eq!(plane.log(&job, &execution, 1, &["one", "two"]).await, 201);
    let first = events.next().await.unwrap();
    assert_eq!((first.kind.as_str(), first.id.as_str(), &first.data["text"]), ("record", "1", &json!("one")));
    assert_eq!(
        (&first.data["execution_id"], &first.data["stream"], &first.data["step"]),
        (&json!(execution), &json!("stdout"), &json!("execute"))
    );
    drop(events);
    // A batch sent twice, and one more.
    assert_eq!(plane.log(&job, &execution, 1, &["one", "two"]).await, 201);
    assert_eq!(plane.log(&job, &execution, 3, &["three"]).await, 201);
    let mut events = Events::open(&plane, &job, Some(&first.id)).await;
    for (id, text) in [("2", "two"), ("3", "three")] {
        let event = events.next().await.unwrap();
        assert_eq!((event.id.as_str(), &event.data["text"]), (id, &json!(text)));
    }
    assert_eq!(plane.set_status(&job, &execution, "finished").await.0, 200);
    let end = events.next().await.unwrap();
    assert_eq!((end.kind.as_str(), &end.data["id"], &end.data["status"]), ("end", &json!(job), &json!("finished")));
    assert_eq!(events.next().await, None);

    let path = format!("/v1/jobs/{job}/logs");
    let (_, page) = plane.operate(Method::GET, &format!("{path}?limit=2"), Value::Null).await;
    assert_eq!((page["records"].as_array().unwrap().len(), &page["next"], &page["end"]), (2, &json!(2), &json!(false)));
    let (_, page) = plane.operate(Method::GET, &format!("{path}?after=2"), Value::Null).await;
    assert_eq!((&page["records"][0]["text"], &page["next"], &page["end"]), (&json!("three"), &json!(3), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_plane_ends_its_streams_and_a_client_goes_on_after_the_restart() {
    let plane = Plane::start().await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    plane.log(&job, &execution, 1, &["one"]).await;
    let mut events = Events::open(&plane, &job, None).await;
    let first = events.next().await.unwrap();
    let plane = tokio::time::timeout(PATIENCE, plane.restart()).await.unwrap();
    assert_eq!(events.next().await, None, "ended, and not by an end event");
    assert!(events.text.is_empty() || events.text.starts_with(':'), "{}", events.text);
    let mut events = Events::open(&plane, &job, Some(&first.id)).await;
    plane.log(&job, &execution, 2, &["two"]).await;
    assert_eq!(events.next().await.unwrap().data["text"], json!("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_batches_are_fine() {
    let plane = Plane::start().await;
    let job = plane.submit(json!({"type": "noop"})).await;
    let (_, execution) = plane.claim(&job, "r1").await;
    let batches = futures_util::stream::iter(1..=10_000_u64).map(|seq| {
        let (plane, job, execution) = (&plane, &job, &execution);
        async move { plane.log(job, execution, seq, &["a line"]).await }
    });
    let refused = batches.buffered(64).filter(|status| std::future::ready(*status != 201)).count().await;
    assert_eq!(refused, 0);
    let (_, page) = plane.operate(Method::GET, &format!("/v1/jobs/{job}/logs?after=9998"), Value::Null).await;
    assert_eq!((page["records"].as_array().unwrap().len(), &page["next"]), (2, &json!(10_000)));
}
