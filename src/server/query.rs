//! Query strings, read with the tolerance that the runner API's clients need: empty is as good as absent, unknown keys are ignored, and a
//! key may be given several times.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};

use super::{error::Refusal, state::Plane};
use crate::plan::GoDuration;

/// Keys and values of a request's query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl FromRequestParts<Arc<Plane>> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _plane: &Arc<Plane>) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

impl Query {
    /// The query of a request.
    pub(crate) fn of(parts: &Parts) -> Self {
        Self::parse(&parts.uri)
    }

    fn parse(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    /// Every value of a key that is not empty.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The first value of a key.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The first value of a key, as something that is read from text.
    pub(crate) fn read<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Refusal> {
        let read = |text: &str| text.parse().map_err(|_| Refusal::malformed(format!("the query {name} has to be {what}")));
        self.text(name).map(read).transpose()
    }

    /// A number of things that are wanted: at least one, at most `most`.
    pub(crate) fn limit(&self, usual: usize, most: usize) -> Result<usize, Refusal> {
        Ok(self.read::<usize>("limit", "a whole number")?.filter(|limit| *limit > 0).unwrap_or(usual).min(most))
    }

    /// `wait`: a duration as Go writes it, at most `most`; `most` when it is not given.
    pub(crate) fn wait(&self, most: Duration) -> Result<Duration, Refusal> {
        match self.text("wait") {
            None => Ok(most),
            Some("0" | "0s") => Ok(Duration::ZERO),
            Some(_) => Ok(self.read::<GoDuration>("wait", "a duration, such as 25s")?.map_or(most, GoDuration::get).min(most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().expect("a path"))
    }

    #[test]
    fn empty_is_absent_and_keys_repeat() {
        let query = query("status=&execution=a&execution=b%2Fc&limit=7&wait=1m&bad=x");
        assert_eq!(query.text("status"), None);
        assert_eq!(query.all("execution").collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(query.limit(10, 5).expect("a number"), 5);
        assert_eq!(query.wait(Duration::from_secs(25)).expect("a duration"), Duration::from_secs(25));
        assert_eq!(query.read::<u64>("bad", "a number").expect_err("not one").status(), 400);
    }
}
