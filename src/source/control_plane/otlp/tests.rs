use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    logs::{Record, Stream},
    source::LogContext,
};

const LIMIT: usize = 1 << 20;

fn context() -> LogContext {
    LogContext {
        job: "job1".parse().expect("an id"),
        job_type: "noop-build".to_owned(),
        execution: "run1".parse().expect("an id"),
        stream: "log1".to_owned(),
    }
}

fn record(seq: u64, stream: Stream, step: &str, text: &str) -> Record {
    let time = jiff::Timestamp::from_nanosecond(1_766_000_000_123_456_789).expect("in range");
    Record { seq, time, stream, step: step.to_owned(), text: text.to_owned() }
}

fn batch(records: &[Record]) -> Vec<u8> {
    let runner = Runner {
        id: "run0".to_owned(),
        version: "1.2.3".to_owned(),
        api_url: "http://plane".to_owned(),
        attributes: [("org.id".to_owned(), "org1".to_owned())].into(),
    };
    encode(&runner, &context(), records)
}

#[test]
fn a_batch_comes_back_as_it_was_sent_compressed_or_not() {
    let streams = [Stream::Stdout, Stream::Stderr, Stream::Runner, Stream::Warning, Stream::Gap];
    let records: Vec<_> = streams.iter().zip(1..).map(|(&stream, seq)| record(seq, stream, "package", &format!("line {seq} ✓"))).collect();
    let plain = batch(&records);
    for (bytes, coding) in [(gzip(&plain).expect("gzip"), Coding::Gzip), (plain, Coding::Identity)] {
        let lines = decode(&bytes, coding, LIMIT).expect("readable");
        assert_eq!(lines.len(), records.len());
        for (line, record) in lines.into_iter().zip(&records) {
            assert_eq!((line.job.as_str(), line.execution.as_str(), line.seq), ("job1", "run1", Some(record.seq)));
            assert_eq!(
                (line.time, line.stream, line.step, line.text),
                (Some(record.time), record.stream, record.step.clone(), record.text.clone())
            );
        }
    }
}

#[test]
fn the_envelope_has_the_attributes_that_hosted_planes_look_for() {
    let request = ExportLogsServiceRequest::decode(batch(&[record(7, Stream::Gap, "", "2 lines left out")]).as_slice()).expect("protobuf");
    let logs = &request.resource_logs[0];
    let keys = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| -> Vec<String> {
        attributes.iter().map(|a| a.key.clone()).collect()
    };
    assert_eq!(logs.schema_url, "http://plane");
    assert_eq!(keys(&logs.resource.as_ref().expect("a resource").attributes), ["org.id", "service.name", "runner.id", "runner.version"]);
    let record = &logs.scope_logs[0].log_records[0];
    assert_eq!(record.severity_text, "WARN");
    let expected = ["runner_job.id", "runner_job.type", "log_stream.id", "runner_job_execution.id", "log.seq", "log.stream"];
    assert_eq!(keys(&record.attributes), expected);
}

#[test]
fn a_batch_of_another_sender_is_understood_and_made_harmless() {
    use opentelemetry_proto::tonic::{
        common::v1::{AnyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    };
    let record = LogRecord {
        observed_time_unix_nano: 5,
        severity_number: 17,
        body: Some(AnyValue { value: Some(Value::StringValue("\u{1b}[2Jgone\n".to_owned())) }),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record, LogRecord::default()], ..ScopeLogs::default() }];
    let request = ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] };
    let lines = decode(&request.encode_to_vec(), Coding::Identity, LIMIT).expect("readable");
    assert_eq!((lines[0].seq, lines[0].stream, lines[0].text.as_str()), (None, Stream::Warning, "\u{fffd}[2Jgone"));
    assert_eq!(lines[0].time, jiff::Timestamp::from_nanosecond(5).ok());
    assert_eq!((lines[1].time, lines[1].text.as_str()), (None, ""));
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let zeros = gzip(&vec![0; 64 << 20]).expect("gzip");
    assert_eq!(decode(&zeros, Coding::Gzip, LIMIT), Err(DecodeError::TooBig(LIMIT)));
    assert_eq!(decode(&vec![0; LIMIT + 1], Coding::Identity, LIMIT), Err(DecodeError::TooBig(LIMIT)));
    // Empty records: two bytes each, 200 in memory.
    let records = [0x12, 0x00].repeat(200_000);
    let nested = [message(0x0a, &message(0x12, &records))].concat();
    assert_eq!(decode(&nested, Coding::Identity, LIMIT), Err(DecodeError::TooManyRecords(20_000)));
    let long = batch(&[record(1, Stream::Stdout, "", &"x".repeat(2 << 20))]);
    assert_eq!(decode(&long, Coding::Identity, 8 << 20), Err(DecodeError::RecordTooLong(1 << 20)));
}

/// A field of one message.
fn message(key: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![key];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

#[test]
fn what_is_not_a_batch_is_refused() {
    let good = batch(&[record(1, Stream::Stdout, "", "x")]);
    for bad in [&good[..good.len() - 1], b"{\"resourceLogs\":[]}", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        assert!(matches!(decode(bad, Coding::Identity, LIMIT), Err(DecodeError::NotProtobuf(_))), "{bad:?}");
    }
    assert_eq!(decode(&good, Coding::Gzip, LIMIT), Err(DecodeError::NotGzip));
    let packed = gzip(&good).expect("gzip");
    assert_eq!(decode(&packed[..packed.len() - 4], Coding::Gzip, LIMIT), Err(DecodeError::NotGzip));
    assert_eq!(decode(b"", Coding::Identity, LIMIT), Ok(Vec::new()));
    assert_eq!([Coding::of(None), Coding::of(Some("GZIP")), Coding::of(Some("br"))], [Some(Coding::Identity), Some(Coding::Gzip), None]);
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..400, flip in any::<u8>()) {
        let _ = decode(&bytes, Coding::Identity, LIMIT);
        let _ = decode(&bytes, Coding::Gzip, LIMIT);
        bytes = batch(&[record(1, Stream::Stdout, "step", "text"), record(2, Stream::Gap, "", "more")]);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = decode(&bytes, Coding::Identity, LIMIT);
    }
}
