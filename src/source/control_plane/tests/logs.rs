//! Log batches: compressed where they are read so, and never twice by themselves.

use super::*;
use crate::{
    logs::{Record, Stream},
    source::{
        LogContext, Source as _,
        control_plane::otlp::{self, Coding},
    },
};

fn context(stream: &str) -> LogContext {
    LogContext { job: job(), job_type: "noop-build".to_owned(), execution: execution(), stream: stream.to_owned() }
}

fn records() -> Vec<Record> {
    let record = |seq| Record {
        seq,
        time: jiff::Timestamp::from_second(1).expect("in range"),
        stream: Stream::Stdout,
        step: "package".to_owned(),
        text: format!("line {seq}"),
    };
    (1..=3).map(record).collect()
}

/// Encoding and sequence numbers of each batch that arrived.
fn batches(plane: &Plane) -> Vec<(String, Vec<u64>)> {
    let read = |seen: &Seen| {
        let encoding = seen.header("content-encoding").to_owned();
        let lines = otlp::decode(&seen.body, Coding::of(Some(&encoding)).expect("a coding"), 1 << 20).expect("a batch");
        assert_eq!((seen.line.as_str(), seen.header("content-type")), ("POST /v1/log-streams/log1/logs", "application/x-protobuf"));
        (encoding, lines.iter().filter_map(|line| line.seq).collect())
    };
    plane.seen().iter().map(read).collect()
}

#[tokio::test]
async fn batches_are_compressed_where_the_plane_reads_that() {
    let plane = Plane::saying(|| Reply::Json(201, json!("ok"))).await;
    let client = plane.client();
    for _ in 0..2 {
        client.logs(&context("log1"), &records()).await.expect("taken");
    }
    assert_eq!(batches(&plane), vec![("gzip".to_owned(), vec![1, 2, 3]); 2]);
    client.logs(&context(""), &records()).await.expect("nobody wants them");
    client.logs(&context("log1"), &[]).await.expect("nothing to send");
    assert_eq!(plane.seen().len(), 2);
}

#[tokio::test]
async fn a_plane_that_does_not_read_gzip_gets_plain_batches_from_then_on() {
    for status in [400, 415, 500] {
        let plane = Plane::start(move |seen| match seen.header("content-encoding") {
            "gzip" => refusal(status, "proto: cannot parse invalid wire-format data"),
            _ => Reply::Json(201, json!("ok")),
        })
        .await;
        let client = plane.client();
        for _ in 0..2 {
            client.logs(&context("log1"), &records()).await.expect("taken");
        }
        let encodings: Vec<_> = batches(&plane).into_iter().map(|(encoding, _)| encoding).collect();
        assert_eq!(encodings, ["gzip", "", ""], "{status}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_not_about_gzip_stays_one() {
    for (status, expected, requests) in
        [(404, "fenced", 1), (409, "fenced", 1), (503, "unavailable", 1), (400, "refused", 2), (413, "refused", 1)]
    {
        let plane = Plane::saying(move || refusal(status, "no")).await;
        let client = plane.client();
        assert_eq!(kind(&client.logs(&context("log1"), &records()).await.expect_err("refused")), expected);
        assert_eq!(plane.seen().len(), requests, "{status}");
        let _ = client.logs(&context("log1"), &records()).await;
        assert_eq!(plane.seen()[requests].header("content-encoding"), "gzip", "nothing was learned about gzip");
    }
}

#[tokio::test]
async fn a_plane_that_broke_once_keeps_getting_gzip() {
    let plane = Plane::start(|seen| if seen.number == 1 { refusal(500, "broken") } else { Reply::Json(201, json!("ok")) }).await;
    let client = plane.client();
    client.logs(&context("log1"), &records()).await.expect("taken");
    assert_eq!(kind(&client.logs(&context("log1"), &records()).await.expect_err("broken")), "unavailable");
    client.logs(&context("log1"), &records()).await.expect("taken");
    assert!(batches(&plane).iter().all(|(encoding, _)| encoding == "gzip"));
}
