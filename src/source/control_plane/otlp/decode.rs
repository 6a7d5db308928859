//! Protobuf to log lines, from bytes of unknown origin.
//!
//! Protobuf and gzip both let few bytes become many: an empty record of two bytes is 200 in memory. So the envelope is walked by
//! hand, record by record, and only one record at a time is ever decoded.

use std::io::Read as _;

use bytes::Buf as _;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, SeverityNumber},
};
use prost::{
    Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use super::{attribute, encode};
use crate::logs::{Stream, visible};

/// Most records of one batch.
const MAX_RECORDS: usize = 20_000;
/// Longest record, in bytes of protobuf.
const MAX_RECORD: usize = 1 << 20;
/// Longest text taken from an attribute: ids and names.
const MAX_NAME: usize = 256;
/// Repeated message fields on the way to a record: `resource_logs`, `scope_logs`, `log_records`.
const PATH: [u32; 3] = [1, 2, 2];

/// A log line as it arrived: a [`crate::logs::Record`] with whose it is. Its text is free of control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The job it says it belongs to; empty when it does not say.
    pub job: String,
    /// The attempt it says it belongs to; empty when it does not say.
    pub execution: String,
    /// Its number in the log of its execution, from senders that number their lines.
    pub seq: Option<u64>,
    /// When it was written; `None` when it does not say.
    pub time: Option<Timestamp>,
    /// Where it comes from; of senders that do not say it is the runner.
    pub stream: Stream,
    /// The step under way; empty when it does not say.
    pub step: String,
    /// The line.
    pub text: String,
}

/// How a body is compressed (`Content-Encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// The coding by the header's value, absent included; `None` for one that is not understood (answer 415).
    #[must_use]
    pub fn of(header: Option<&str>) -> Option<Self> {
        match header.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Why a batch is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes than allowed, after decompression (answer 413).
    #[error("the batch is bigger than {0} bytes; send smaller ones")]
    TooBig(usize),
    /// More records than allowed (answer 413).
    #[error("the batch has more than {0} records; send smaller ones")]
    TooManyRecords(usize),
    /// One record is longer than allowed (answer 413).
    #[error("a record is longer than {0} bytes; cut its text")]
    RecordTooLong(usize),
    /// The content encoding says gzip, the bytes do not (answer 400).
    #[error("the body is not gzip, although its Content-Encoding says so")]
    NotGzip,
    /// Not an `ExportLogsServiceRequest` (answer 400).
    #[error("the body is not an ExportLogsServiceRequest in protobuf: {0}")]
    NotProtobuf(#[source] prost::DecodeError),
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::NotProtobuf(error)
    }
}

/// The records of a batch, in the order of the batch, of at most `limit` bytes once decompressed.
///
/// # Errors
/// Any [`DecodeError`]: nothing of a broken batch is used.
pub fn decode(body: &[u8], coding: Coding, limit: usize) -> Result<Vec<LogLine>, DecodeError> {
    let plain;
    let bytes = match coding {
        Coding::Identity => body,
        Coding::Gzip => {
            plain = gunzip(body, limit)?;
            &plain
        }
    };
    if bytes.len() > limit {
        return Err(DecodeError::TooBig(limit));
    }
    let mut lines = Vec::new();
    walk(bytes, &PATH, &mut lines)?;
    Ok(lines)
}

fn gunzip(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut plain = Vec::new();
    // One byte more than allowed tells too big from just fitting.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body).take(most).read_to_end(&mut plain).map_err(|_| DecodeError::NotGzip)?;
    Ok(plain)
}

/// Goes down `path` through `bytes`, and decodes what stands at its end.
fn walk(mut bytes: &[u8], path: &[u32], lines: &mut Vec<LogLine>) -> Result<(), DecodeError> {
    let Some((&wanted, below)) = path.split_first() else {
        if bytes.len() > MAX_RECORD {
            return Err(DecodeError::RecordTooLong(MAX_RECORD));
        }
        if lines.len() >= MAX_RECORDS {
            return Err(DecodeError::TooManyRecords(MAX_RECORDS));
        }
        lines.push(line(LogRecord::decode(bytes)?));
        return Ok(());
    };
    while bytes.has_remaining() {
        let (tag, wire_type) = decode_key(&mut bytes)?;
        if tag != wanted || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut bytes)?).unwrap_or(usize::MAX);
        let Some((message, rest)) = bytes.split_at_checked(length) else {
            return Err(cut_short());
        };
        walk(message, below, lines)?;
        bytes = rest;
    }
    Ok(())
}

/// The error prost gives for a message that ends too early; it has no public constructor.
fn cut_short() -> DecodeError {
    match LogRecord::decode([0x0a, 0x01].as_slice()) {
        Err(error) => error.into(),
        Ok(_) => DecodeError::NotGzip,
    }
}

fn line(record: LogRecord) -> LogLine {
    let time = Some(record.time_unix_nano).filter(|&nanos| nanos > 0).unwrap_or(record.observed_time_unix_nano);
    let time = Timestamp::from_nanosecond(i128::from(time)).ok().filter(|_| time > 0);
    let stream = if record.severity_number >= SeverityNumber::Warn.into() { Stream::Warning } else { Stream::Runner };
    let text = clean(record.body.map(string).unwrap_or_default());
    let mut line = LogLine { job: String::new(), execution: String::new(), seq: None, time, stream, step: String::new(), text };
    for KeyValue { key, value, .. } in record.attributes {
        let Some(value) = value else { continue };
        match key.as_str() {
            attribute::JOB => line.job = named(value),
            attribute::EXECUTION => line.execution = named(value),
            attribute::STEP => line.step = named(value),
            attribute::SEQ => line.seq = number(value),
            attribute::STREAM => line.stream = stream_of(&named(value)).unwrap_or(line.stream),
            _ => {}
        }
    }
    line
}

/// Text without what could move a terminal's cursor: senders other than ours may not have looked.
fn clean(text: String) -> String {
    let harmless = text.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte));
    if harmless { text } else { visible(text.trim_end().as_bytes()) }
}

fn named(value: AnyValue) -> String {
    let text = clean(string(value));
    if text.len() <= MAX_NAME { text } else { text.chars().take(MAX_NAME / 4).collect() }
}

fn number(value: AnyValue) -> Option<u64> {
    match value.value? {
        Value::IntValue(number) => u64::try_from(number).ok(),
        Value::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

/// Text as it is; simple values as they are written. Lists and objects are not log lines.
fn string(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::BytesValue(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Some(_) | None => String::new(),
    }
}

fn stream_of(name: &str) -> Option<Stream> {
    [Stream::Stdout, Stream::Stderr, Stream::Runner, Stream::Warning, Stream::Gap].into_iter().find(|&stream| encode::name(stream) == name)
}
