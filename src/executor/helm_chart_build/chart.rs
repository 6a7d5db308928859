//! A chart: files sorted into what helm makes of them, subcharts included.
//!
//! In: the files of a folder or archive. Out: a validated [`Chart`]. The same rules for both (helm `LoadFiles`): `charts/` holds folders
//! with a Chart.yaml and `.tgz` archives, which are unpacked; entries beginning with `_` or `.` are passed over; anything else there is
//! an error. Called for the chart itself, for every chart in it, and for downloaded dependencies.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    job::FailureKind,
    yaml::{self, Dialect, Limits},
};

use super::{
    archive::{self, ArchiveError, File},
    budget::{Budget, MAX_DEPTH, TooMuch},
    decode::{self, Defect, Problem},
    lock::Lock,
    metadata::{API_V1, API_V2, Metadata},
    validate,
};

/// Files that are no chart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChartError {
    #[error("{0}")]
    Defect(#[from] Defect),
    #[error("{place}Chart.yaml is missing; add it, or point to the folder that has one")]
    NoChartYaml { place: String },
    #[error("'{name}' lies in charts/, where only charts may be; move it, or let its name begin with '_'")]
    Loose { name: String },
    #[error("'{name}' is a folder; an archive of a subchart has to be a file")]
    ArchiveFolder { name: String },
    /// `place` ends in ": " unless it is empty.
    #[error("{place}{source}")]
    Archive { place: String, source: ArchiveError },
    #[error("'{first}' and '{second}' are both chart '{name}'; they would be packed over one another: keep one")]
    Twice { name: String, first: String, second: String },
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
}

impl ChartError {
    /// What kind of failure it is.
    pub(crate) const fn kind(&self) -> FailureKind {
        match self {
            Self::TooMuch(_) | Self::Archive { source: ArchiveError::TooMuch(_), .. } => FailureKind::LimitExceeded,
            Self::Defect(_)
            | Self::NoChartYaml { .. }
            | Self::Loose { .. }
            | Self::ArchiveFolder { .. }
            | Self::Archive { .. }
            | Self::Twice { .. } => FailureKind::InvalidSource,
        }
    }
}

/// A subchart, and where it was found.
#[derive(Debug, Clone)]
pub(crate) struct Subchart {
    /// Name of the folder or archive under `charts/`.
    pub(crate) entry: String,
    pub(crate) chart: Chart,
}

/// A loaded chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) metadata: Metadata,
    pub(crate) lock: Option<Lock>,
    pub(crate) values: Option<Vec<u8>>,
    pub(crate) schema: Option<Vec<u8>>,
    pub(crate) templates: Vec<File>,
    pub(crate) files: Vec<File>,
    /// By the names of their charts.
    pub(crate) subcharts: Vec<Subchart>,
}

/// Loads charts within one budget and collects what a person should know.
pub(crate) struct Loader<'a> {
    pub(crate) budget: &'a mut Budget,
    pub(crate) notes: &'a mut Vec<String>,
}

impl Loader<'_> {
    /// The chart made of `files`.
    pub(crate) fn chart(&mut self, files: Vec<File>) -> Result<Chart, ChartError> {
        self.load(files, "", 0)
    }

    /// The chart in an archive, and whether the archive has the one top folder that its name asks for.
    pub(crate) fn archive(&mut self, data: &[u8], place: &str) -> Result<(Chart, bool), ChartError> {
        self.unpack(data, place, 0)
    }

    fn unpack(&mut self, data: &[u8], place: &str, depth: usize) -> Result<(Chart, bool), ChartError> {
        let failed = |source| {
            let place = place.strip_suffix('/').map_or_else(String::new, |name| format!("{name}: "));
            ChartError::Archive { place, source }
        };
        let unpacked = archive::unpack(data, place, self.budget).map_err(failed)?;
        let chart = self.load(unpacked.files, place, depth)?;
        let regular = unpacked.roots.len() == 1 && unpacked.roots.contains(&chart.metadata.name);
        Ok((chart, regular))
    }

    /// `place` goes in front of file names in messages.
    fn load(&mut self, files: Vec<File>, place: &str, depth: usize) -> Result<Chart, ChartError> {
        if depth > MAX_DEPTH {
            return Err(TooMuch::Depth { file: place.to_owned() }.into());
        }
        let metadata_file =
            files.iter().find(|file| file.name == "Chart.yaml").ok_or_else(|| ChartError::NoChartYaml { place: place.to_owned() })?;
        let mut metadata = decode::chart_yaml(&format!("{place}Chart.yaml"), &metadata_file.data, self.notes)?;
        let is_v1 = matches!(metadata.api_version.as_str(), API_V1 | "");
        let mut chart = Chart {
            metadata: Metadata::default(),
            lock: None,
            values: None,
            schema: None,
            templates: Vec::new(),
            files: Vec::new(),
            subcharts: Vec::new(),
        };
        let mut nested: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for file in files {
            let path = format!("{place}{}", file.name);
            match file.name.as_str() {
                "Chart.yaml" => {}
                "Chart.lock" => chart.lock = Some(Lock::parse(&path, &file.data)?),
                "values.yaml" => {
                    self.check_values(&path, &file.data)?;
                    chart.values = Some(file.data);
                }
                "values.schema.json" => {
                    check_schema(&path, &file.data)?;
                    chart.schema = Some(file.data);
                }
                "requirements.yaml" => {
                    metadata.dependencies = decode::requirements(&path, &file.data, self.notes)?;
                    self.keep_for_v1(is_v1, &path, file, &mut chart.files);
                }
                "requirements.lock" => {
                    chart.lock = Some(Lock::parse(&path, &file.data)?);
                    self.keep_for_v1(is_v1, &path, file, &mut chart.files);
                }
                name if name.starts_with("templates/") => chart.templates.push(file),
                name => match name.strip_prefix("charts/") {
                    Some(inner) if !has_extension(inner, "prov") => {
                        let inner = inner.to_owned();
                        let entry = inner.split('/').next().unwrap_or_default().to_owned();
                        nested.entry(entry).or_default().push(File { name: inner, data: file.data });
                    }
                    _ => chart.files.push(file),
                },
            }
        }
        validate::metadata(&format!("{place}Chart.yaml"), &mut metadata)?;
        chart.metadata = metadata;
        for (entry, files) in nested {
            if !entry.starts_with(['_', '.']) {
                let subchart = self.nested(&entry, files, place, depth + 1)?;
                chart.subcharts.push(Subchart { entry, chart: subchart });
            }
        }
        chart.sort_subcharts(place)?;
        Ok(chart)
    }

    fn keep_for_v1(&mut self, is_v1: bool, path: &str, file: File, files: &mut Vec<File>) {
        if is_v1 {
            files.push(file);
        } else {
            self.notes.push(format!("{path} belongs to charts of apiVersion v1; move what it says to Chart.yaml and Chart.lock"));
        }
    }

    fn nested(&mut self, entry: &str, mut files: Vec<File>, place: &str, depth: usize) -> Result<Chart, ChartError> {
        let name = format!("{place}charts/{entry}");
        let inside = format!("{name}/");
        if has_extension(entry, "tgz") {
            return match files.as_slice() {
                [file] if file.name == entry => Ok(self.unpack(&file.data, &inside, depth)?.0),
                _ => Err(ChartError::ArchiveFolder { name }),
            };
        }
        let prefix = format!("{entry}/");
        if files.iter().any(|file| file.name == entry) {
            return Err(ChartError::Loose { name });
        }
        for file in &mut files {
            if let Some(rest) = file.name.strip_prefix(&prefix) {
                file.name = rest.to_owned();
            }
        }
        self.load(files, &inside, depth)
    }

    /// Helm merges the documents of a values.yaml; each has to be a mapping. The file itself is packed as it is.
    fn check_values(&mut self, path: &str, data: &[u8]) -> Result<(), ChartError> {
        let defect = |at, problem| Err(ChartError::Defect(Defect { file: path.to_owned(), at, problem }));
        let Ok(text) = std::str::from_utf8(data) else { return defect(None, Problem::NotText) };
        match yaml::parse_with(text, Dialect::Go, Limits::default()) {
            Ok(documents) => match documents.iter().find(|node| !node.is_null() && node.entries().is_none()) {
                Some(node) => {
                    defect(node.at, Problem::Type { key: "the document".to_owned(), expected: "a mapping", found: node.type_name() })
                }
                None => Ok(()),
            },
            // Helm takes the last one and says nothing.
            Err(error @ yaml::Error { problem: yaml::Problem::DuplicateKey { .. }, .. }) => {
                self.notes.push(format!("{path} {error}"));
                Ok(())
            }
            Err(error) => defect(error.at, Problem::Yaml(error.problem)),
        }
    }
}

fn check_schema(path: &str, data: &[u8]) -> Result<(), ChartError> {
    let defect = |problem| ChartError::Defect(Defect { file: path.to_owned(), at: None, problem });
    match serde_json::from_slice::<serde_json::Value>(data) {
        // Draft 6 and later: a schema is an object or a boolean.
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err(defect(Problem::Type { key: "the schema".to_owned(), expected: "an object", found: "another JSON value" })),
        Err(error) => Err(defect(Problem::Json(error.to_string()))),
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit('/').next().and_then(|base| base.rsplit_once('.')).is_some_and(|(_, found)| found == extension)
}

impl Chart {
    /// Puts subcharts in order and refuses two of one name, which would share a folder in the package.
    pub(crate) fn sort_subcharts(&mut self, place: &str) -> Result<(), ChartError> {
        self.subcharts.sort_by(|a, b| a.chart.metadata.name.cmp(&b.chart.metadata.name));
        for pair in self.subcharts.windows(2) {
            if let [first, second] = pair
                && first.chart.metadata.name == second.chart.metadata.name
            {
                let path = |entry: &str| format!("{place}charts/{entry}");
                return Err(ChartError::Twice {
                    name: first.chart.metadata.name.clone(),
                    first: path(&first.entry),
                    second: path(&second.entry),
                });
            }
        }
        Ok(())
    }

    /// The package's files in helm's order: Chart.yaml, Chart.lock, values.yaml, values.schema.json, templates, the rest, then each
    /// subchart in the same way – sorted by name, which helm does not.
    pub(crate) fn package(&self) -> Vec<(String, Cow<'_, [u8]>)> {
        let mut files = Vec::new();
        self.collect(&mut files, &self.metadata.name);
        files
    }

    fn collect<'a>(&'a self, out: &mut Vec<(String, Cow<'a, [u8]>)>, base: &str) {
        let mut add = |name: &str, data| out.push((format!("{base}/{name}"), data));
        add("Chart.yaml", Cow::Owned(self.metadata.chart_yaml().into_bytes()));
        if let Some(lock) = self.lock.as_ref().filter(|_| self.metadata.api_version == API_V2) {
            add("Chart.lock", Cow::Owned(lock.chart_lock().into_bytes()));
        }
        for (name, data) in [("values.yaml", &self.values), ("values.schema.json", &self.schema)] {
            if let Some(data) = data {
                add(name, Cow::Borrowed(data));
            }
        }
        for file in self.templates.iter().chain(&self.files) {
            add(&file.name, Cow::Borrowed(&file.data));
        }
        for subchart in &self.subcharts {
            subchart.chart.collect(out, &format!("{base}/charts/{}", subchart.chart.metadata.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Vec<File> {
        all.iter().map(|(name, data)| File { name: (*name).to_owned(), data: data.as_bytes().to_vec() }).collect()
    }

    fn load(all: &[(&str, &str)]) -> Result<Chart, String> {
        Loader { budget: &mut Budget::default(), notes: &mut Vec::new() }.chart(files(all)).map_err(|error| error.to_string())
    }

    const CHART: (&str, &str) = ("Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n");

    #[test]
    fn the_package_has_helms_order_and_sorted_subcharts() {
        let chart = load(&[
            (".helmignore", "x"),
            CHART,
            ("README.md", "r"),
            ("charts/zz/Chart.yaml", "apiVersion: v2\nname: b\nversion: 1.0.0\n"),
            ("charts/aa/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
            ("charts/aa/charts/d/Chart.yaml", "apiVersion: v2\nname: d\nversion: 1.0.0\n"),
            ("charts/_skipped/x", ""),
            ("charts/c-1.0.0.tgz.prov", "p"),
            ("templates/x.yaml", "t"),
            ("values.schema.json", "{}"),
            ("values.yaml", "{}"),
        ])
        .expect("a chart");
        let names: Vec<_> = chart.package().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "a/Chart.yaml",
                "a/values.yaml",
                "a/values.schema.json",
                "a/templates/x.yaml",
                "a/.helmignore",
                "a/README.md",
                "a/charts/c-1.0.0.tgz.prov",
                "a/charts/b/Chart.yaml",
                "a/charts/c/Chart.yaml",
                "a/charts/c/charts/d/Chart.yaml"
            ]
        );
    }

    #[test]
    fn what_is_no_chart_is_named() {
        for (more, message) in [
            (
                ("charts/README.md", ""),
                "'charts/README.md' lies in charts/, where only charts may be; move it, or let its name begin with '_'",
            ),
            (("charts/b/values.yaml", ""), "charts/b/Chart.yaml is missing; add it, or point to the folder that has one"),
            (("charts/b.tgz/x", ""), "'charts/b.tgz' is a folder; an archive of a subchart has to be a file"),
            (("values.yaml", "- a\n"), "values.yaml line 1: the document is a list, expected a mapping"),
            (("values.schema.json", "[]"), "values.schema.json: the schema is another JSON value, expected an object"),
            (("charts/b/Chart.yaml", "name: b\n"), "charts/b/Chart.yaml: version is missing; add 'version: 0.1.0'"),
        ] {
            assert_eq!(load(&[CHART, more]).expect_err(message), message);
        }
        assert!(load(&[CHART, ("values.yaml", "a: [\n")]).is_err_and(|error| error.starts_with("values.yaml line ")));
        assert!(load(&[CHART, ("values.schema.json", "{")]).is_err_and(|error| error.starts_with("values.schema.json: not JSON")));
        assert!(
            load(&[CHART, ("charts/b.tgz", "x")])
                .is_err_and(|error| error.starts_with("charts/b.tgz: it is not a gzip-compressed tar archive"))
        );
        assert_eq!(load(&[]).expect_err("empty"), "Chart.yaml is missing; add it, or point to the folder that has one");
        let twice = [CHART, ("charts/x/Chart.yaml", "name: s\nversion: 1.0.0"), ("charts/y/Chart.yaml", "name: s\nversion: 2.0.0")];
        assert_eq!(
            load(&twice).expect_err("twice"),
            "'charts/x' and 'charts/y' are both chart 's'; they would be packed over one another: keep one"
        );
    }

    #[test]
    fn values_with_a_repeated_key_pass_as_in_helm_with_a_note() {
        let mut notes = Vec::new();
        let chart =
            Loader { budget: &mut Budget::default(), notes: &mut notes }.chart(files(&[CHART, ("values.yaml", "a: 1\na: 2\n---\nb: 1\n")]));
        assert!(chart.is_ok());
        assert_eq!(notes, ["values.yaml line 2, column 1: key 'a' is given twice, first at line 1; keep one"]);
    }

    #[test]
    fn v1_keeps_its_requirements_as_a_file() {
        let all = [
            ("Chart.yaml", "name: a\nversion: 1.0.0\n"),
            ("requirements.yaml", "dependencies:\n- name: b\n  version: 1.0.0\n  repository: https://example.com\n"),
        ];
        let chart = load(&all).expect("a chart");
        assert_eq!(chart.metadata.dependencies().len(), 1);
        let package = chart.package();
        assert_eq!(package.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a/Chart.yaml", "a/requirements.yaml"]);
        assert_eq!(*package[0].1, *b"apiVersion: v1\nname: a\nversion: 1.0.0\n");
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = format!("{}Chart.yaml", "charts/x/".repeat(40));
        let mut all: Vec<(String, &str)> = vec![("Chart.yaml".into(), CHART.1)];
        for depth in 1..=40 {
            all.push((format!("{}Chart.yaml", "charts/x/".repeat(depth)), CHART.1));
        }
        all.push((deep, CHART.1));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, data)| (name.as_str(), *data)).collect();
        assert!(load(&all).is_err_and(|error| error.starts_with("subcharts are nested more than 32 deep")));
    }
}
