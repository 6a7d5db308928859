//! Chart.lock: what was resolved, and the digest that ties it to Chart.yaml.

use serde_json::{Map, Value, json};

use crate::{digest::Digest, yaml};

use super::{
    decode::{self, Defect, Problem, Reader},
    go_json,
    metadata::Dependency,
};

/// A lock file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lock {
    /// When it was made: RFC 3339, as Go writes it back.
    pub(crate) generated: String,
    /// Hash over the dependencies of Chart.yaml and those below.
    pub(crate) digest: String,
    /// One exact version each; `None` when the key is missing or null.
    pub(crate) dependencies: Option<Vec<Dependency>>,
}

impl Lock {
    /// Reads Chart.lock or requirements.lock.
    pub(crate) fn parse(file: &str, data: &[u8]) -> Result<Self, Defect> {
        let node = decode::document(file, data)?;
        let mut notes = Vec::new();
        let mut reader = Reader::new(file, &mut notes);
        reader.fields(&node, "the document")?;
        let written = reader.text(&node, "generated")?;
        let Some(generated) = go_time(&written) else {
            let problem = Problem::Value {
                key: "generated".to_owned(),
                value: written,
                remedy: "it has to be a time of RFC 3339; run 'helm dependency update' again",
            };
            return Err(Defect { file: file.to_owned(), at: decode::field(&node, "generated").and_then(|node| node.at), problem });
        };
        Ok(Self {
            generated,
            digest: reader.text(&node, "digest")?,
            dependencies: reader.dependencies(decode::field(&node, "dependencies"), "dependencies")?,
        })
    }

    /// The locked dependencies.
    pub(crate) fn dependencies(&self) -> &[Dependency] {
        self.dependencies.as_deref().unwrap_or_default()
    }

    /// Chart.lock as it goes into the package.
    pub(crate) fn chart_lock(&self) -> String {
        let mut map = Map::new();
        map.insert("generated".to_owned(), json!(self.generated));
        map.insert("digest".to_owned(), json!(self.digest));
        map.insert("dependencies".to_owned(), list(self.dependencies.as_deref()));
        yaml::to_string(&Value::Object(map))
    }

    /// Whether it belongs to `wanted`, the dependencies of Chart.yaml (helm `HashReq`; for requirements.yaml also Helm 2's hash).
    pub(crate) fn fits(&self, wanted: Option<&[Dependency]>, helm_2_too: bool) -> bool {
        let both = Value::Array(vec![list(wanted), list(self.dependencies.as_deref())]);
        let mut old = Map::new();
        old.insert("dependencies".to_owned(), list(wanted));
        let hash = |value: &Value| Digest::of(go_json::to_string(value).as_bytes());
        self.digest == hash(&both).as_str() || (helm_2_too && self.digest == hash(&Value::Object(old)).as_str())
    }
}

fn list(dependencies: Option<&[Dependency]>) -> Value {
    dependencies.map_or(Value::Null, |all| Value::Array(all.iter().map(Dependency::to_json).collect()))
}

/// `text` as Go reads and writes it again: fraction without trailing zeros, `Z` for no offset; the zero time for nothing.
fn go_time(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("0001-01-01T00:00:00Z".to_owned());
    }
    text.parse::<jiff::Timestamp>().ok()?;
    if text.as_bytes().get(10) != Some(&b'T') || text.contains('[') {
        return None;
    }
    let zone_at = text[19..].find(['Z', '+', '-'])? + 19;
    let (clock, zone) = text.split_at(zone_at);
    let clock = if clock.contains('.') { clock.trim_end_matches('0').trim_end_matches('.') } else { clock };
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    Some(format!("{clock}{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (text, expected) in [
            ("2024-05-06T07:08:09.120000000+02:00", Some("2024-05-06T07:08:09.12+02:00")),
            ("2024-05-06T07:08:09.000Z", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06T07:08:09+00:00", Some("2024-05-06T07:08:09Z")),
            ("", Some("0001-01-01T00:00:00Z")),
            ("yesterday", None),
            ("2024-05-06", None),
        ] {
            assert_eq!(go_time(text).as_deref(), expected, "{text}");
        }
    }

    /// Made by `helm dependency update` (4.3.1) for a chart with one dependency on a local folder.
    const WANTED: &str = "name: a\ndependencies:\n- name: sub\n  version: \">=0.1.0 <1\"\n  repository: file://../sub\n  tags: [x, y]\n  import-values: [{parent: b, child: a}]\n  alias: s\n";

    #[test]
    fn the_digest_ties_it_to_the_chart() {
        let metadata = decode::chart_yaml("Chart.yaml", WANTED.as_bytes(), &mut Vec::new()).expect("decodes");
        let wanted = metadata.dependencies.as_deref();
        let lock = |digest: &str| {
            let text = format!(
                "dependencies:\n- name: sub\n  repository: file://../sub\n  version: 0.1.0\ndigest: {digest}\ngenerated: \"2024-05-06T07:08:09Z\"\n"
            );
            Lock::parse("Chart.lock", text.as_bytes()).expect("a lock")
        };
        assert!(!lock("sha256:00").fits(wanted, false));
        let right = lock(HELM_DIGEST);
        assert!(right.fits(wanted, false));
        assert!(!right.fits(Some(&[]), false));
        assert_eq!(
            right.chart_lock(),
            format!(
                "dependencies:\n- name: sub\n  repository: file://../sub\n  version: 0.1.0\ndigest: {HELM_DIGEST}\ngenerated: \"2024-05-06T07:08:09Z\"\n"
            )
        );
    }

    const HELM_DIGEST: &str = "sha256:594896e285dfdb25f77446fae1bf3240d92f32ca913df3d22f2bec795a58787e";
}
