//! Helm charts in kustomizations: no option in disguise, no chart outside of the source, no link in a chart that leads out.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::yaml::{Kind, Node, Position};

use super::place::{self, Place};

/// Files and folders of one chart that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// A chart that is inflated.
#[derive(Debug)]
pub(super) struct Chart<'n> {
    pub(super) node: &'n Node,
    /// The key it stands under.
    pub(super) key: &'static str,
    pub(super) home: String,
}

/// What is wrong with a chart, for a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) at: Option<Position>,
    pub(super) entry: String,
    pub(super) why: &'static str,
}

/// Charts of a kustomization.
pub(super) fn of_kustomization(node: &Node) -> Vec<Chart<'_>> {
    let home = node.get("helmGlobals").and_then(|globals| globals.get("chartHome")).and_then(Node::as_str).unwrap_or("charts");
    let mut charts = Vec::new();
    for key in ["helmCharts", "helmChartInflationGenerator"] {
        for node in node.get(key).and_then(Node::items).unwrap_or_default() {
            let own = node.get("chartHome").and_then(Node::as_str).unwrap_or(home);
            charts.push(Chart { node, key, home: own.to_owned() });
        }
    }
    charts
}

/// The charts of a plugin's configuration, which may be a list.
pub(super) fn of_plugin(node: &Node) -> Vec<Chart<'_>> {
    let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
    if kind.ends_with("List") {
        return node.get("items").and_then(Node::items).unwrap_or_default().iter().flat_map(of_plugin).collect();
    }
    if kind != "HelmChartInflationGenerator" {
        return Vec::new();
    }
    let home = node.get("chartHome").and_then(Node::as_str).unwrap_or("charts");
    vec![Chart { node, key: "HelmChartInflationGenerator", home: home.to_owned() }]
}

impl Chart<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.node.get(key).and_then(Node::as_str).filter(|text| !text.is_empty())
    }

    /// The repository it is fetched from, unless it lies in the source.
    pub(super) fn repository(&self) -> Option<&str> {
        self.text("repo").or_else(|| self.text("chartRepoUrl"))
    }

    /// Checks the chart of a kustomization in `folder`.
    pub(super) fn check(&self, root: &Path, folder: &Path) -> Result<(), Wrong> {
        no_options(self.node)?;
        let wrong = |entry: &str, why| Err(Wrong { at: self.node.at, entry: entry.to_owned(), why });
        let Some(name) = self.text("name").or_else(|| self.text("chartName")) else { return Ok(()) };
        let version = self.text("version").or_else(|| self.text("chartVersion")).unwrap_or_default();
        // Where kustomize looks for it, and where it puts what it fetched (HelmChartInflationGenerator, `chartHome` and `absChartHome`).
        for local in [format!("{}/{name}", self.home), format!("{}/{name}-{version}/{name}", self.home)] {
            match place::resolve(root, folder, &local) {
                Place::Inside(chart) => self.links(root, chart)?,
                Place::Missing => {}
                Place::Outside => return wrong(&local, "leads out of the source; keep charts in the repository"),
            }
        }
        Ok(())
    }

    /// Helm follows links in a chart wherever they lead.
    fn links(&self, root: &Path, chart: PathBuf) -> Result<(), Wrong> {
        let (mut seen, mut open, mut entries) = (BTreeSet::new(), vec![chart], 0_usize);
        while let Some(folder) = open.pop() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                entries += 1;
                let wrong = |why| Wrong { at: self.node.at, entry: place::shown(root, &entry.path()), why };
                if entries > MAX_ENTRIES {
                    return Err(wrong("is one of more than 100000 files of a chart"));
                }
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_symlink() {
                    match std::fs::canonicalize(entry.path()) {
                        Ok(target) if !target.starts_with(root) => {
                            return Err(wrong("is a link that leads out of the source; replace it by a copy"));
                        }
                        Ok(target) if target.is_dir() => open.push(target),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// Values go to helm as arguments of their own; one that begins with a dash would be an option, such as a program to run.
fn no_options(node: &Node) -> Result<(), Wrong> {
    let Kind::Mapping(entries) = &node.kind else { return Ok(()) };
    let texts = entries.iter().filter(|entry| entry.key != "valuesInline").flat_map(|entry| match entry.value.items() {
        Some(items) => items.iter().collect(),
        None => vec![&entry.value],
    });
    for text in texts {
        if text.as_str().is_some_and(|text| text.trim_start().starts_with('-')) {
            let entry = text.as_str().unwrap_or_default().to_owned();
            return Err(Wrong { at: text.at, entry, why: "begins with '-', which helm takes for an option; remove the dash" });
        }
    }
    Ok(())
}
