//! Patches of the plan: files of the source or inline text, put on top of what the kustomization gives.
//!
//! A patch is a strategic merge patch (an object with apiVersion, kind and metadata.name), or an entry as kustomize has it: `path` or
//! `patch`, and `target`. A JSON 6902 patch is a list and says nothing about whom it is for, so it needs such an entry.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{
    job::{Failure, FailureKind},
    yaml::{self, Dialect, Limits, Node},
};

use super::place::{self, Place};

/// Longest file of a patch.
const MAX_FILE: u64 = 4 << 20;
/// Keys of an entry (kustomize `api/types/patch.go`).
const ENTRY: [&str; 4] = ["path", "patch", "target", "options"];

/// One patch.
#[derive(Debug)]
pub(super) struct Patch {
    text: String,
    /// `target` and `options`.
    more: Map<String, Value>,
}

/// A patch that cannot be used.
#[derive(Debug, thiserror::Error)]
enum PatchError {
    #[error("kustomize_config.patches[{index}]: '{path}' {why}")]
    File { index: usize, path: String, why: &'static str },
    #[error("kustomize_config.patches[{index}]{}: {source}", named(file.as_deref()))]
    Yaml { index: usize, file: Option<String>, source: yaml::Error },
    #[error("kustomize_config.patches[{index}]{}: {why}", named(file.as_deref()))]
    Form { index: usize, file: Option<String>, why: &'static str },
}

fn named(file: Option<&str>) -> String {
    file.map_or_else(String::new, |file| format!(" ({file})"))
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        let kind = match &error {
            PatchError::File { .. } => FailureKind::SourceNotFound,
            PatchError::Yaml { file: Some(_), .. } | PatchError::Form { file: Some(_), .. } => FailureKind::InvalidSource,
            PatchError::Yaml { .. } | PatchError::Form { .. } => FailureKind::InvalidPlan,
        };
        Self::new(kind, error.to_string())
    }
}

impl Patch {
    /// The patch that the plan has at `index`.
    pub(super) fn read(root: &Path, base: &Path, index: usize, text: &str) -> Result<Self, Failure> {
        let (text, file) = if is_inline(text) { (text.to_owned(), None) } else { (file(root, base, index, text)?, Some(text.to_owned())) };
        let form = |why| PatchError::Form { index, file: file.clone(), why };
        let nodes = yaml::parse_with(&text, Dialect::Go, Limits::default()).map_err(|source| PatchError::Yaml {
            index,
            file: file.clone(),
            source,
        })?;
        let nodes: Vec<_> = nodes.into_iter().filter(|node| !node.is_null()).collect();
        match nodes.as_slice() {
            [] => Err(form("is empty; give it a patch or remove it").into()),
            [entry] if is_entry(entry) => Self::entry(root, base, index, entry).map_err(|failure| match &file {
                Some(name) if failure.kind != FailureKind::SourceNotFound => failure.context(name),
                _ => failure,
            }),
            all if all.iter().all(is_object) => Ok(Self { text, more: Map::new() }),
            all if all.iter().any(|node| node.items().is_some()) => Err(form(
                "is a JSON 6902 patch, which does not say whom it is for; write it as an entry {patch: …, target: {kind: …, name: …}}",
            )
            .into()),
            _ => Err(form("is neither a patch with apiVersion, kind and metadata.name nor an entry {path or patch, target}").into()),
        }
    }

    /// An entry as a kustomization has it.
    fn entry(root: &Path, base: &Path, index: usize, entry: &Node) -> Result<Self, Failure> {
        let form = |why| Failure::from(PatchError::Form { index, file: None, why });
        let text = |key: &str| entry.get(key).and_then(Node::as_str).filter(|text| !text.is_empty());
        let content = match (text("path"), text("patch")) {
            (Some(path), None) => file(root, base, index, path)?,
            (None, Some(patch)) => patch.to_owned(),
            _ => return Err(form("needs either path or patch, as text")),
        };
        let nodes = yaml::parse_with(&content, Dialect::Go, Limits::default()).map_err(|source| PatchError::Yaml {
            index,
            file: text("path").map(str::to_owned),
            source,
        })?;
        let more: Map<String, Value> = ["target", "options"]
            .into_iter()
            .filter_map(|key| entry.get(key).filter(|value| !value.is_null()).map(|value| (key.to_owned(), value.to_json())))
            .collect();
        if nodes.iter().any(|node| node.items().is_some()) && !more.contains_key("target") {
            return Err(form("is a JSON 6902 patch without a target; add target: {kind: …, name: …}"));
        }
        Ok(Self { text: content, more })
    }
}

fn is_entry(node: &Node) -> bool {
    node.entries().is_some_and(|entries| {
        entries.iter().all(|entry| ENTRY.contains(&entry.key.as_str())) && (node.get("path").is_some() || node.get("patch").is_some())
    })
}

fn is_object(node: &Node) -> bool {
    node.get("apiVersion").is_some() && node.get("kind").is_some()
}

/// Text, unless it can only be a name.
fn is_inline(text: &str) -> bool {
    text.contains('\n') || text.contains(": ") || text.trim_start().starts_with(['{', '['])
}

/// Content of a file of the source, relative as `kustomize_path` is.
fn file(root: &Path, base: &Path, index: usize, path: &str) -> Result<String, Failure> {
    let wrong = |why| PatchError::File { index, path: path.to_owned(), why };
    let places = place::candidates(root, base, path.trim_start_matches('/'));
    let files: Vec<_> = places
        .iter()
        .filter_map(|place| if let Place::Inside(file) = place { Some(file) } else { None })
        .filter(|file| file.is_file())
        .collect();
    let found = match files.as_slice() {
        [one] => *one,
        [_, _, ..] => return Err(wrong("is ambiguous: it is a file below git_source.path and another at the root; rename one").into()),
        [] if places.contains(&Place::Outside) => return Err(wrong("leads out of the source; copy the patch into the repository").into()),
        [] => {
            let why = "is not a file of the source; write it relative to the root of the repository or to git_source.path, or give the text of the patch";
            return Err(wrong(why).into());
        }
    };
    if std::fs::metadata(found)?.len() > MAX_FILE {
        return Err(Failure::new(FailureKind::LimitExceeded, wrong("has more than 4 MiB").to_string()));
    }
    String::from_utf8(std::fs::read(found)?)
        .map_err(|_| Failure::new(FailureKind::InvalidSource, wrong("is not UTF-8 text; save it as UTF-8").to_string()))
}

/// Writes a kustomization that puts `patches` on top of `manifests` into `folder`.
pub(super) fn write(folder: &Path, manifests: &str, patches: &[Patch]) -> Result<(), Failure> {
    fs_err::write(folder.join("manifests.yaml"), manifests)?;
    let mut entries = Vec::new();
    for (index, patch) in patches.iter().enumerate() {
        let name = format!("patch-{index}.yaml");
        fs_err::write(folder.join(&name), &patch.text)?;
        let mut entry = patch.more.clone();
        entry.insert("path".to_owned(), Value::String(name));
        entries.push(Value::Object(entry));
    }
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["manifests.yaml"],
        "patches": entries,
    });
    Ok(fs_err::write(folder.join("kustomization.yaml"), yaml::to_string(&kustomization))?)
}
