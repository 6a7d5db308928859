//! Errors out of failed requests and unwelcome answers.

use jiff::Timestamp;
use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

use super::super::{
    Error,
    error::{ContentError, ResponseError},
};

/// Longest error body that is read.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Longest text taken over from a registry's answer.
const MAX_DETAIL: usize = 300;

/// What caused an error. `io::Error` hides what it wraps from `source`.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The deepest cause: what the layers above repeat in other words.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| cause(*error))
        .last()
        .map_or_else(String::new, ToString::to_string)
}

/// The first cause of that type.
fn caused_by<T: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| cause(*error)).find_map(|error| error.downcast_ref())
}

/// A request that got no answer, or half of one.
pub(super) fn connection(host: &str, error: &reqwest::Error) -> Error {
    let tls = caused_by::<rustls::Error>(error);
    let certificate = matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
    let not_tls = matches!(tls, Some(rustls::Error::InvalidMessage(_)));
    let cause = innermost(error);
    let unknown_name = cause.contains("Name or service not known") || cause.contains("No address associated");
    // What `openssl req -x509` makes unless it is told otherwise.
    let is_authority = certificate && cause.contains("CaUsedAsEndEntity");
    let (reason, transient) = if is_authority {
        let text =
            "its certificate is that of an authority (CA:TRUE), which is not trusted as a server's; give the server one with CA:FALSE";
        (text.to_owned(), false)
    } else if certificate {
        (format!("its certificate is not trusted ({cause}); add its authority with ca_file or host_ca_files"), false)
    } else if not_tls {
        ("it does not speak TLS; if it is meant to be plain HTTP set PlainHTTP in the plan or plain_http_hosts".to_owned(), false)
    } else if unknown_name {
        ("there is no such host; check its name".to_owned(), false)
    } else if error.is_timeout() {
        ("no connection in time".to_owned(), true)
    } else {
        (cause, !error.is_builder())
    };
    Error::Connection { host: host.to_owned(), reason, transient }
}

/// Whether an answer is a web page.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: serde_json::Value,
}

/// Code and text of an error body (distribution-spec, "Error Codes"); of another body its beginning.
pub(super) fn read_errors(body: &[u8]) -> (String, String) {
    if let Ok(Errors { errors }) = serde_json::from_slice::<Errors>(body)
        && let Some(first) = errors.first()
    {
        let texts: Vec<_> = errors.iter().map(Entry::text).collect();
        return (first.code.clone(), shorten(&texts.join("; ")));
    }
    let text = String::from_utf8_lossy(body);
    (String::new(), shorten(text.trim()))
}

impl Entry {
    fn text(&self) -> String {
        let detail = match &self.detail {
            serde_json::Value::String(text) if !text.is_empty() && *text != self.message => format!(" ({text})"),
            serde_json::Value::Object(map) if !map.is_empty() => format!(" ({})", self.detail),
            _ => String::new(),
        };
        match (self.code.as_str(), self.message.as_str()) {
            ("", message) => format!("{message}{detail}"),
            (code, "") => format!("{code}{detail}"),
            (code, message) => format!("{code}: {message}{detail}"),
        }
    }
}

/// One line of at most [`MAX_DETAIL`] characters, without control characters.
fn shorten(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL + 1).collect();
    if line.chars().count() > MAX_DETAIL {
        line.pop();
        line.pop();
        line.push('…');
    }
    line
}

/// At most [`MAX_ERROR_BODY`] bytes of an answer; what cannot be read is left out.
pub(super) async fn error_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece[..piece.len().min(MAX_ERROR_BODY - body.len())]);
        if body.len() >= MAX_ERROR_BODY {
            break;
        }
    }
    body
}

/// What an answer without success says; `body` as [`error_body`] gave it.
pub(super) fn response(host: &str, request: String, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    if status == 400 && text.contains("HTTP request to an HTTPS server") {
        let reason =
            "it speaks TLS and was asked in plain HTTP; take PlainHTTP out of the plan, or the host out of plain_http_hosts".to_owned();
        return Error::Connection { host: host.to_owned(), reason, transient: false };
    }
    // 413 is what proxies before registries answer to a large upload, in a page of their own.
    if is_html(headers) && status < 500 && !matches!(status, 413 | 429) {
        return ContentError::NotARegistry { host: host.to_owned(), reason: format!("{request}: status {status} with a web page") }.into();
    }
    let (code, detail) = match status {
        413 if is_html(headers) => (String::new(), "a proxy before it does not take that much in one request".to_owned()),
        _ if is_html(headers) => (String::new(), "a web page".to_owned()),
        _ => read_errors(body),
    };
    let retry_after = retry_after(headers);
    ResponseError { host: host.to_owned(), request, status, code, detail, retry_after }.into()
}

/// `Retry-After` of an answer.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    crate::retry::parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_read_in_either_form() {
        let body = br#"{"errors":[{"code":"MANIFEST_INVALID","message":"bad","detail":{"name":"x"}},{"code":"UNKNOWN"}]}"#;
        assert_eq!(read_errors(body), ("MANIFEST_INVALID".to_owned(), r#"MANIFEST_INVALID: bad ({"name":"x"}); UNKNOWN"#.to_owned()));
        assert_eq!(read_errors(b"no such\nthing"), (String::new(), "no such thing".to_owned()));
        assert_eq!(read_errors(&[b'x'; 1000]).1.chars().count(), MAX_DETAIL);
    }
}
