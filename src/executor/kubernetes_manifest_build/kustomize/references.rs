//! What a kustomization or the configuration of a plugin refers to, read out of its text.
//!
//! Which keys hold paths: kustomize `api/types` (`Kustomization`, `Patch`, `GeneratorArgs`, `HelmChart` …) and the built-in plugins. Keys that
//! hold the names of fields or free text are passed over.
//!
//! Invariant: what kustomize takes for an entry is one here, or is a [`Fault`]. Its decoder takes `Files` and even `fileſ` for `files`.

use crate::yaml::{Entry, Kind, Node, Position};

/// What an entry may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A file of objects, or a folder with a kustomization.
    Resource,
    /// A folder with a component.
    Component,
    /// Configuration of plugins: a file, a folder with a kustomization, or the text itself.
    Plugin,
    /// A file.
    File,
}

/// An entry of a kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference<'n> {
    pub(super) role: Role,
    /// Path of the key: `configMapGenerator.files`.
    pub(super) key: String,
    pub(super) entry: &'n str,
    pub(super) at: Option<Position>,
}

/// Keys of a kustomization whose strings are entries.
const ENTRIES: [(&str, Role); 10] = [
    ("resources", Role::Resource),
    ("bases", Role::Resource),
    ("components", Role::Component),
    ("generators", Role::Plugin),
    ("transformers", Role::Plugin),
    ("validators", Role::Plugin),
    ("crds", Role::File),
    ("configurations", Role::File),
    ("patchesStrategicMerge", Role::File),
    ("patches", Role::File),
];

/// Keys of a kustomization with objects in which files are named.
const OBJECTS: [&str; 9] = [
    "configMapGenerator",
    "secretGenerator",
    "patches",
    "patchesJson6902",
    "replacements",
    "openapi",
    "helmCharts",
    "helmGlobals",
    "helmChartInflationGenerator",
];

/// Keys that name files wherever they stand.
const FILES: [&str; 11] =
    ["path", "paths", "files", "env", "envs", "valuesFile", "additionalValuesFiles", "chartHome", "configHome", "home", "valuesFiles"];

/// Keys below which no file is named, whatever a key is called there.
const FREE: [&str; 14] = [
    "options",
    "labels",
    "annotations",
    "metadata",
    "target",
    "targets",
    "source",
    "valuesInline",
    "values",
    "literals",
    "patch",
    "fieldSpecs",
    "fieldPaths",
    "schema",
];

/// Keys that say something of a chart or plugin, beside those above.
const OTHERS: [&str; 7] = ["kind", "name", "chartName", "version", "chartVersion", "repo", "chartRepoUrl"];

/// Something that kustomize may read in another way than it is read here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) entry: String,
    pub(super) at: Option<Position>,
    pub(super) why: &'static str,
}

/// What is doubtful in a kustomization.
pub(super) fn fault_of_kustomization(node: &Node) -> Option<Fault> {
    let entries = node.entries().unwrap_or_default();
    entries.iter().find_map(|entry| {
        let inside = OBJECTS.contains(&entry.key.as_str()).then(|| fault(&entry.value)).flatten();
        misspelt(entry).or_else(|| no_text(entry)).or(inside)
    })
}

/// What is doubtful in the configuration of a plugin.
pub(super) fn fault(node: &Node) -> Option<Fault> {
    match &node.kind {
        Kind::Sequence(items) => items.iter().find_map(fault),
        Kind::Mapping(entries) => entries
            .iter()
            .filter(|entry| !FREE.contains(&entry.key.as_str()))
            .find_map(|entry| misspelt(entry).or_else(|| no_text(entry)).or_else(|| fault(&entry.value))),
        _ => None,
    }
}

/// A key that Go's decoder takes for a known one although it is written otherwise (encoding/json, `foldName`).
fn misspelt(entry: &Entry) -> Option<Fault> {
    let known = || ENTRIES.iter().map(|(key, _)| *key).chain(OBJECTS).chain(FILES).chain(OTHERS);
    let fold = |key: &str| key.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>();
    let folded = fold(&entry.key);
    let is_known = known().any(|key| key == entry.key);
    (!is_known && known().any(|key| fold(key) == folded)).then(|| Fault {
        entry: entry.key.clone(),
        at: entry.key_at,
        why: "is a key that kustomize takes for one of its own, which is written otherwise; write it as its documentation does",
    })
}

/// A name of a file that is no text, such as `yes`, which one reader takes for `true`.
fn no_text(entry: &Entry) -> Option<Fault> {
    let is_entry = FILES.contains(&entry.key.as_str()) || ENTRIES.iter().any(|(key, _)| *key == entry.key);
    let values = entry.value.items().unwrap_or(std::slice::from_ref(&entry.value));
    let wrong = values.iter().find(|value| matches!(value.kind, Kind::Bool(_) | Kind::Number(..))).filter(|_| is_entry)?;
    Some(Fault { entry: entry.key.clone(), at: wrong.at, why: "has a value that is no text; put it in quotes" })
}

/// Everything a kustomization refers to.
pub(super) fn of_kustomization(node: &Node) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    for (key, role) in ENTRIES {
        for item in node.get(key).and_then(Node::items).unwrap_or_default() {
            if let Some(entry) = item.as_str() {
                found.push(Reference { role, key: key.to_owned(), entry, at: item.at });
            }
        }
    }
    for key in OBJECTS {
        if let Some(value) = node.get(key) {
            files(value, key, &mut found);
        }
    }
    // In the old form the values are a file.
    for chart in node.get("helmChartInflationGenerator").and_then(Node::items).unwrap_or_default() {
        if let Some((entry, at)) = chart.get("values").and_then(|value| Some((value.as_str()?, value.at))) {
            found.push(Reference { role: Role::File, key: "helmChartInflationGenerator.values".to_owned(), entry, at });
        }
    }
    found
}

/// Everything the configuration of a plugin refers to.
pub(super) fn of_plugin(node: &Node) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    files(node, node.get("kind").and_then(Node::as_str).unwrap_or("plugin"), &mut found);
    found
}

fn files<'n>(node: &'n Node, key: &str, found: &mut Vec<Reference<'n>>) {
    match &node.kind {
        Kind::Sequence(items) => items.iter().filter(|item| item.as_str().is_none()).for_each(|item| files(item, key, found)),
        Kind::Mapping(entries) => {
            for entry in entries.iter().filter(|entry| !FREE.contains(&entry.key.as_str())) {
                let key = format!("{key}.{}", entry.key);
                if FILES.contains(&entry.key.as_str()) {
                    let texts = entry.value.items().map_or_else(|| vec![&entry.value], |items| items.iter().collect());
                    found.extend(texts.into_iter().filter_map(|text| {
                        let entry_text = text.as_str()?;
                        // Generators write KEY=PATH.
                        let path = entry_text.split_once('=').filter(|_| entry.key == "files").map_or(entry_text, |(_, path)| path);
                        Some(Reference { role: Role::File, key: key.clone(), entry: path, at: text.at })
                    }));
                }
                files(&entry.value, &key, found);
            }
        }
        _ => {}
    }
}

impl Reference<'_> {
    /// Whether the entry may be the text itself instead of the name of a file, and looks so. kustomize tries the text first and takes what
    /// it does not understand for a name, so such an entry must not lead anywhere as a name either.
    pub(super) fn is_inline(&self) -> bool {
        let may_be = self.role == Role::Plugin
            || matches!(self.key.as_str(), "patches" | "patchesStrategicMerge")
            || self.key.ends_with("Transformer.paths");
        let first = self.entry.lines().find(|line| !line.trim_start().starts_with('#')).unwrap_or_default();
        let is_text = self.entry.trim_start().starts_with(['{', '[']) || (self.entry.contains('\n') && !is_remote(first));
        may_be && is_text
    }
}

/// Whether kustomize would fetch `entry` from elsewhere: what its loader takes for a URL (`api/internal/git/repospec.go`,
/// `api/internal/loader/fileloader.go`), generously.
pub(super) fn is_remote(entry: &str) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    let scp = |text: &str| text.split('/').next().is_some_and(|head| head.contains('@') && head.contains(':'));
    entry.contains("://")
        || ["git::", "git@", "gh:", "github.com/", "github.com:", "www.github.com/", "gitlab.com/", "bitbucket.org/"]
            .iter()
            .any(|start| entry.starts_with(start))
        || ["http:", "https:", "ssh:", "file:"].iter().any(|scheme| entry.starts_with(scheme))
        || scp(&entry)
}

/// Whether what `key` names goes into an object as it is, whatever it is.
pub(super) fn is_content(key: &str) -> bool {
    ["files", "env", "envs"].iter().any(|name| key.rsplit('.').next() == Some(name))
}

/// Whether kustomize takes `entry`, although it looks like an address, for the path that it is: without scheme and user only GitHub's own
/// host is one, and only with an owner and a repository, or an end of the repository, behind it (`api/internal/git/repospec.go`).
pub(super) fn may_be_path(entry: &str) -> bool {
    let lower = entry.to_ascii_lowercase();
    if entry.contains(['@', ':', '?', '\\']) || entry.contains("//") || entry.trim() != entry {
        return false;
    }
    let owner =
        lower.strip_prefix("github.com/").map(|rest| !rest.is_empty() && !["/", ".git", "_git"].iter().any(|end| rest.contains(end)));
    owner.unwrap_or(true)
}

/// User name and password of a URL, to be hidden, and the URL without them.
pub(super) fn without_credentials(entry: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = entry.split_once("://") else { return (entry.to_owned(), None) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let Some((userinfo, _)) = authority.rsplit_once('@') else { return (entry.to_owned(), None) };
    if scheme.eq_ignore_ascii_case("ssh") && !userinfo.contains(':') {
        return (entry.to_owned(), None);
    }
    let secret = userinfo.split_once(':').map_or(userinfo, |(_, password)| password);
    let secret = Some(secret.to_owned()).filter(|secret| secret.len() > 3);
    (format!("{scheme}://{}", &rest[userinfo.len() + 1..]), secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Dialect, Limits, parse_one};

    #[test]
    fn every_key_that_names_a_file_is_read() {
        let text = "resources: [a.yaml, ../base]\ncomponents: [c]\npatches:\n- path: p.yaml\n  target: {kind: X, path: no}\n- patch: |-\n    - op: add\n      path: /spec\n\
                    configMapGenerator:\n- name: n\n  files: [f, k=g]\n  envs: [e]\n  options: {labels: {path: no}}\n  literals: [a=b]\nsecretGenerator: [{env: s}]\n\
                    replacements: [{path: r, source: {fieldPath: x}}, {source: {}, targets: [{fieldPaths: [x]}]}]\nopenapi: {path: o}\ncrds: [crd]\nconfigurations: [cfg]\n\
                    patchesStrategicMerge: [sm]\npatchesJson6902: [{path: j, target: {name: x}}]\nhelmGlobals: {chartHome: h}\n\
                    helmCharts: [{name: n, valuesFile: v, additionalValuesFiles: [w], valuesInline: {path: no}}]\ncommonLabels: {path: /no}\n";
        let node = parse_one(text, Dialect::GoExact, Limits::default()).expect("parses");
        let mut entries: Vec<_> = of_kustomization(&node).iter().map(|found| found.entry).collect();
        entries.sort_unstable();
        assert_eq!(entries, ["../base", "a.yaml", "c", "cfg", "crd", "e", "f", "g", "h", "j", "o", "p.yaml", "r", "s", "sm", "v", "w"]);
        let plugin =
            parse_one("kind: PatchTransformer\nmetadata: {name: x}\npath: ../p\n", Dialect::GoExact, Limits::default()).expect("parses");
        assert_eq!(
            of_plugin(&plugin).iter().map(|found| (found.key.as_str(), found.entry)).collect::<Vec<_>>(),
            [("PatchTransformer.path", "../p")]
        );
    }

    #[test]
    fn what_kustomize_may_read_in_another_way_is_found() {
        let parse = |text: &str| parse_one(text, Dialect::GoExact, Limits::default()).expect(text);
        for text in [
            "Resources: [a]",
            "configmapgenerator: []",
            "configMapGenerator: [{name: a, Files: [a]}]",
            "configMapGenerator: [{name: a, file\u{17f}: [a]}]",
            "helmCharts: [{Repo: x}]",
            "resources: [yes]",
            "secretGenerator: [{files: [1]}]",
            "openapi: {path: true}",
        ] {
            assert!(fault_of_kustomization(&parse(text)).is_some(), "{text}");
        }
        for text in [
            "commonLabels: {Path: x, Name: y}",
            "helmCharts: [{name: a, valuesInline: {Files: 1, path: yes}}]",
            "configMapGenerator: [{name: a, options: {labels: {Path: x}}, literals: [Files=1]}]",
            "patches: [{target: {kind: X}, path: p}]",
            "images: [{name: x, newTag: y}]",
        ] {
            assert_eq!(fault_of_kustomization(&parse(text)), None, "{text}");
        }
        assert_eq!(fault(&parse("Kind: HelmChartInflationGenerator")).map(|fault| fault.entry), Some("Kind".to_owned()));
    }

    #[test]
    fn what_comes_from_elsewhere_is_known_by_its_form() {
        for remote in [
            "https://h/x.yaml",
            "git::https://h/r",
            "github.com/o/r//base?ref=v1",
            "git@github.com:o/r",
            "ssh://git@h/r",
            "org-1@github.com:o/r",
            "file:///srv/r",
            "GitHub.com/o/r",
        ] {
            assert!(is_remote(remote), "{remote}");
        }
        for (entry, path) in [
            ("github.com/x", true),
            ("GitHub.com/x.yaml", true),
            ("gitlab.com/x/y", true),
            ("www.github.com/x/y", true),
            ("github.com/x/y", false),
            ("github.com/x.git", false),
            ("github.com/x//y", false),
            ("github.com/", false),
            ("github.com/x?ref=a", false),
            ("git@h/r", false),
            ("gh:x", false),
        ] {
            assert_eq!((is_remote(entry), may_be_path(entry)), (true, path), "{entry}");
        }
        for local in ["../base", "a.yaml", "./github.com.yaml", "a//b", "sub/x@y:z"] {
            assert!(!is_remote(local), "{local}");
        }
        assert_eq!(without_credentials("https://u:token@h/r?a@b"), ("https://h/r?a@b".to_owned(), Some("token".to_owned())));
    }
}
