use std::{fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};

use super::*;

/// Repositories with these archives, by chart and version.
#[derive(Default)]
struct Fake {
    archives: Vec<(String, String, Vec<u8>)>,
    asked: Vec<String>,
}

#[async_trait]
impl Source for Fake {
    async fn fetch(&mut self, repository: &str, chart: &str, wanted: &str) -> Result<Fetched, Failure> {
        self.asked.push(format!("{repository} {chart} {wanted}"));
        let range: Constraint = wanted.parse().map_err(|_| Failure::new(FailureKind::InvalidPlan, "range"))?;
        let fits = |version: &str| version.parse().is_ok_and(|version| range.allows(&version));
        let found = self.archives.iter().find(|(name, version, _)| name == chart && fits(version));
        let (_, _, data) = found.ok_or_else(|| Failure::new(FailureKind::SourceNotFound, "no such chart"))?;
        Ok(Fetched { archive: data.clone().into(), from: format!("{repository}/{chart}.tgz"), digest: Digest::of(data) })
    }
}

fn archive(name: &str, chart: &str, version: &str) -> Vec<u8> {
    let text = format!("apiVersion: v2\nname: {chart}\nversion: {version}\n");
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("{name}/Chart.yaml"), text.as_bytes()).expect("into memory");
    let mut gzip = tar.into_inner().expect("into memory");
    gzip.flush().expect("into memory");
    gzip.finish().expect("into memory")
}

fn offering(charts: &[(&str, &str)]) -> Fake {
    let archives = charts.iter().map(|(chart, version)| ((*chart).to_owned(), (*version).to_owned(), archive(chart, chart, version)));
    Fake { archives: archives.collect(), asked: Vec::new() }
}

/// A chart folder with these files beside its Chart.yaml, and what became of it.
struct Case {
    dir: tempfile::TempDir,
    notes: Vec<String>,
}

impl Case {
    fn new(dependencies: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let chart = format!("apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies:\n{dependencies}");
        for (name, data) in [("chart/Chart.yaml", chart.as_str())].iter().chain(files) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, data).expect("written");
        }
        Self { dir, notes: Vec::new() }
    }

    async fn run(&mut self, source: &mut Fake) -> Result<(Vec<Resolved>, Vec<String>), String> {
        let folder = ChartFolder::open(self.dir.path(), Path::new("chart")).map_err(|e| e.to_string())?;
        let mut budget = Budget::default();
        let files = folder.read(&mut budget).map_err(|e| e.to_string())?;
        let mut chart = Loader { budget: &mut budget, notes: &mut self.notes }.chart(files).map_err(|e| e.to_string())?;
        let cancel = Cancel::new();
        let vendor =
            Vendor { chart: &mut chart, folder: Some(&folder), budget: &mut budget, notes: &mut self.notes, source, cancel: &cancel };
        let resolved = vendor.run().await.map_err(|failure| failure.message)?;
        let subcharts = chart.subcharts.iter().map(|s| format!("{} {}", s.chart.metadata.name, s.chart.metadata.version)).collect();
        Ok((resolved, subcharts))
    }

    async fn refused(&mut self, source: &mut Fake) -> String {
        self.run(source).await.expect_err("refused")
    }
}

const WEB: &str = "- {name: web, version: ^1, repository: 'https://u:p@c.example'}\n";

fn lock(wanted: &str, version: &str, right: bool) -> String {
    let entry = format!("- name: web\n  repository: https://c.example\n  version: {version}\n");
    let read = |text: &str| {
        let text = format!("dependencies:\n{text}");
        super::super::decode::requirements("x", text.as_bytes(), &mut Vec::new()).expect("decodes").expect("a list")
    };
    let json = |all: Vec<Dependency>| serde_json::Value::Array(all.iter().map(Dependency::to_json).collect());
    let both = serde_json::Value::Array(vec![json(read(wanted)), json(read(&entry))]);
    let digest = if right { Digest::of(super::super::go_json::to_string(&both).as_bytes()).to_string() } else { "sha256:00".to_owned() };
    format!("dependencies:\n{entry}digest: {digest}\ngenerated: \"2026-01-02T03:04:05Z\"\n")
}

#[tokio::test]
async fn without_a_lock_ranges_are_resolved_and_it_is_said() {
    let mut case = Case::new(WEB, &[]);
    let (resolved, subcharts) = case.run(&mut offering(&[("web", "1.4.0")])).await.expect("resolved");
    assert_eq!(subcharts, ["web 1.4.0"]);
    let expected = Resolved {
        name: "web".into(),
        version: "1.4.0".into(),
        repository: "https://c.example/".into(),
        digest: Some(Digest::of(&archive("web", "web", "1.4.0"))),
        pinned: false,
    };
    assert_eq!(resolved, [expected]);
    assert!(case.notes[0].starts_with("there is no Chart.lock"), "{:?}", case.notes);
    assert!(!case.dir.path().join("chart/charts").exists(), "the folder stays as it is");
}

#[tokio::test]
async fn a_lock_that_fits_decides() {
    let text = lock(WEB, "1.2.0", true);
    let mut fake = offering(&[("web", "1.4.0"), ("web", "1.2.0")]);
    let mut case = Case::new(WEB, &[("chart/Chart.lock", &text)]);
    let (resolved, _) = case.run(&mut fake).await.expect("resolved");
    assert!(resolved[0].pinned && resolved[0].version == "1.2.0" && case.notes.is_empty());
    assert_eq!(fake.asked, ["https://u:p@c.example web 1.2.0"]);
    assert_eq!(case.refused(&mut offering(&[("web", "1.4.0")])).await, "dependency 'web': no such chart");
}

#[tokio::test]
async fn a_lock_that_does_not_fit_is_refused() {
    let text = lock(WEB, "1.2.0", false);
    let mut case = Case::new(WEB, &[("chart/Chart.lock", &text)]);
    let message = case.refused(&mut Fake::default()).await;
    assert_eq!(message, "Chart.lock is out of sync with Chart.yaml; run 'helm dependency update' and commit Chart.lock");
}

#[tokio::test]
async fn what_lies_in_charts_and_fits_is_taken() {
    let there = ("chart/charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.1.0\n");
    let mut fake = offering(&[("web", "1.4.0")]);
    let (resolved, subcharts) = Case::new(WEB, &[there]).run(&mut fake).await.expect("resolved");
    assert_eq!((subcharts, resolved[0].digest.as_ref()), (vec!["web 1.1.0".to_owned()], None));
    assert!(fake.asked.is_empty());

    let old = ("chart/charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.9.0\n");
    let mut case = Case::new(WEB, &[old]);
    let (_, subcharts) = case.run(&mut fake).await.expect("resolved");
    assert_eq!(subcharts, ["web 1.4.0"]);
    assert!(case.notes[0].starts_with("charts/web has version 0.9.0, which does not fit '^1'; 1.4.0 of"), "{:?}", case.notes);

    let mut case = Case::new("- {name: web, version: ^1}\n", &[old]);
    assert_eq!(
        case.refused(&mut fake).await,
        "dependency 'web' should have a version that fits '^1', but charts/web has 0.9.0; put a fitting version there, or correct Chart.yaml"
    );
}

#[tokio::test]
async fn neighbours_are_read_but_never_from_outside() {
    let neighbour = ("libs/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.3.0\ndependencies: [{name: deep, version: '1'}]\n");
    let mut case = Case::new("- {name: web, version: ^1, repository: 'file://../libs/web'}\n", &[neighbour]);
    let (resolved, subcharts) = case.run(&mut Fake::default()).await.expect("resolved");
    assert_eq!((subcharts, resolved[0].repository.as_str()), (vec!["web 1.3.0".to_owned()], "file://../libs/web"));
    assert!(
        case.notes.iter().any(|note| note.starts_with("subchart 'web' depends on 'deep', which it does not bring along")),
        "{:?}",
        case.notes
    );

    for path in ["../../", "/etc"] {
        let mut case = Case::new(&format!("- {{name: web, version: ^1, repository: 'file://{path}'}}\n"), &[]);
        let message = case.refused(&mut Fake::default()).await;
        assert_eq!(
            message,
            format!(
                "dependency 'web': the folder '{path}' lies outside of the source; for a chart beside this one let git_source.url name the folder above both, and git_source.path this one"
            )
        );
    }
}

#[tokio::test]
async fn every_other_mistake_has_its_message() {
    for (dependencies, message) in [
        (
            "- {name: web, version: ^1}\n",
            "dependency 'web' is not in charts/ and has no repository; add the chart to charts/, or its repository to Chart.yaml",
        ),
        (
            "- {name: web, repository: 'https://c.example'}\n",
            "dependency 'web' has no version; add one to Chart.yaml, like version: ^1.2.0",
        ),
        (
            "- {name: web, version: ^1, repository: '@stable'}\n",
            "dependency 'web' has the repository '@stable', a name that only the machine it was written on knows; use its URL: https://…, oci://… or file://…",
        ),
        (
            "- {name: web, version: ^1, repository: 'https://c.example'}\n- {name: web, version: ^2, repository: 'https://c.example', alias: b}\n",
            "dependency 'web' should have a version that fits '^2', but charts/web has 1.4.0; one package cannot hold two versions of a chart",
        ),
    ] {
        assert_eq!(Case::new(dependencies, &[]).refused(&mut offering(&[("web", "1.4.0")])).await, message);
    }
    let mut liar = Fake { archives: vec![("web".into(), "1.0.0".into(), archive("x", "other", "1.0.0"))], asked: Vec::new() };
    assert_eq!(
        Case::new(WEB, &[]).refused(&mut liar).await,
        "dependency 'web': https://u:p@c.example/web.tgz holds chart 'other'; correct the name in Chart.yaml"
    );
}
