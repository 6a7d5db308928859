//! Charts that mean harm, each with the message it has to give; nothing is pushed and nothing is left behind.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

use super::{chart, folder_job, repository_job};
use crate::support::http_files::HttpFiles;
use crate::support::runner::Runner;

/// The message of a job that must fail without a trace.
fn message(runner: &Runner, job: &serde_json::Value, kind: &str) -> String {
    let failure = runner.job(job).done().failed(1, kind);
    let index = fs::read_to_string(runner.work().join("out/index.json")).unwrap_or_default();
    assert!(!index.contains("sha256:"), "nothing is pushed: {index}");
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    failure["message"].as_str().unwrap().to_owned()
}

fn folder(spoil: impl FnOnce(&Path), kind: &str) -> String {
    let runner = Runner::new();
    let folder = runner.work().join("chart");
    chart(&folder, "a", "1.0.0", &[]);
    spoil(&folder);
    message(&runner, &folder_job("chart"), kind)
}

/// A chart of a repository with these entries beside its Chart.yaml.
fn archive(entries: &[(&str, EntryType, &[u8])], kind: &str) -> String {
    let runner = Runner::new();
    let repo = runner.work().join("repo");
    fs::create_dir(&repo).unwrap();
    let mut gzip = GzEncoder::new(fs::File::create(repo.join("a.tgz")).unwrap(), Compression::fast());
    let yaml = b"apiVersion: v2\nname: a\nversion: 1.0.0\n";
    for (name, kind, data) in [("a/Chart.yaml", EntryType::Regular, yaml.as_slice())].iter().chain(entries) {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if *kind == EntryType::Symlink {
            header.as_old_mut().linkname[..data.len()].copy_from_slice(data);
        }
        let data = if *kind == EntryType::Symlink { &[] } else { *data };
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        header.set_cksum();
        gzip.write_all(header.as_bytes()).unwrap();
        gzip.write_all(data).unwrap();
        gzip.write_all(&vec![0; data.len().next_multiple_of(512) - data.len()]).unwrap();
    }
    gzip.write_all(&[0; 1024]).unwrap();
    gzip.finish().unwrap();
    fs::write(repo.join("index.yaml"), "apiVersion: v1\nentries:\n  a:\n  - {version: 1.0.0, urls: [a.tgz]}\n").unwrap();
    let server = HttpFiles::serve(&repo);
    let text = message(&runner, &repository_job(&server.url(), "a", None), kind);
    text.strip_prefix(&format!("{}/a.tgz: ", server.url())).unwrap_or(&text).to_owned()
}

#[test]
fn links_out_of_the_source() {
    let text = folder(|chart| symlink("/etc/passwd", chart.join("passwd")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'passwd' leads out of the source to '/etc/passwd'; replace it by a copy, or list it in .helmignore");
    let text = folder(|chart| symlink("../../..", chart.join("up")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'up' leads out of the source to '../../..'; replace it by a copy, or list it in .helmignore");
    let text = folder(|chart| symlink("/etc/passwd", chart.join("values.yaml")).unwrap(), "InvalidSource");
    assert!(text.starts_with("link 'values.yaml' leads out of the source"), "{text}");
}

#[test]
fn loops_and_dangling_links() {
    let text = folder(|chart| symlink(".", chart.join("again")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'again' leads back to a folder it lies in; remove it");
    let text = folder(|chart| symlink("b", chart.join("b")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'b' cannot be followed: Too many levels of symbolic links (os error 40); repair or remove it");
    let text = folder(|chart| symlink("gone", chart.join("b")).unwrap(), "InvalidSource");
    assert_eq!(text, "link 'b' cannot be followed: No such file or directory (os error 2); repair or remove it");
}

#[test]
fn special_files_and_names_that_are_no_text() {
    let text = folder(|chart| nix::unistd::mkfifo(&chart.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap(), "InvalidSource");
    assert!(text.contains("'pipe'") && text.contains("named pipe"), "{text}");
    let text = folder(|chart| fs::write(chart.join(OsStr::from_bytes(b"\xffx")), "").unwrap(), "InvalidSource");
    assert_eq!(text, "the name '\u{fffd}x' is not UTF-8; rename the file");
}

#[test]
fn a_hundred_thousand_files() {
    let begun = Instant::now();
    let text = folder(
        |chart| {
            fs::create_dir(chart.join("many")).unwrap();
            for number in 0..100_000 {
                fs::File::create(chart.join(format!("many/{number:06}"))).unwrap();
            }
        },
        "LimitExceeded",
    );
    assert_eq!(text, "the chart has more than 10000 files, at 'many/009999'; list what it does not need in .helmignore");
    assert!(begun.elapsed() < Duration::from_mins(1), "refused after {:?}", begun.elapsed());
}

#[test]
fn files_that_are_too_large() {
    let text = folder(|chart| fs::write(chart.join("big"), vec![0; (5 << 20) + 1]).unwrap(), "LimitExceeded");
    assert_eq!(
        text,
        "'big' has 5242881 bytes; a file of a chart may have 5 MiB (helm's limit): list it in .helmignore or keep it elsewhere"
    );
    let text = folder(|chart| (0..20).for_each(|n| fs::write(chart.join(format!("b{n:02}")), vec![0; 5 << 20]).unwrap()), "LimitExceeded");
    assert_eq!(
        text,
        "the chart has 100 MiB or more unpacked, at 'b19'; helm installs no such chart: list what it does not need in .helmignore"
    );
}

#[test]
fn entries_that_lead_out_of_an_archive() {
    let regular = |name| archive(&[(name, EntryType::Regular, b"x".as_slice())], "InvalidSource");
    assert_eq!(
        regular("a/../../../evil"),
        "entry 'a/../../../evil' leads out of the chart with '..'; package the chart with 'helm package'"
    );
    assert_eq!(regular("/tmp/evil"), "entry '/tmp/evil' has an absolute path; package the chart with 'helm package'");
    assert_eq!(regular("a\\..\\evil"), "entry 'a\\..\\evil' leads out of the chart with '..'; package the chart with 'helm package'");
    assert_eq!(regular("a/c:/evil"), "entry 'a/c:/evil' has a name that no chart file may have; package the chart with 'helm package'");
    assert_eq!(regular("a/Chart.yaml"), "entry 'Chart.yaml' is there twice; package the chart again");
    let link = archive(&[("a/link", EntryType::Symlink, b"/etc/passwd")], "InvalidSource");
    assert_eq!(link, "entry 'a/link' is a symbolic link; charts hold plain files only: package it with 'helm package', which packs copies");
}

#[test]
fn bombs() {
    let zeros = vec![0; 5 << 20];
    let names: Vec<String> = (0..30).map(|number| format!("a/{number:02}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), EntryType::Regular, zeros.as_slice())).collect();
    assert!(archive(&entries, "LimitExceeded").starts_with("the chart has 100 MiB or more unpacked, at '19'"));
    // An archive in an archive counts as well.
    let mut inner = GzEncoder::new(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(&mut inner);
    for number in 0..25 {
        let mut header = Header::new_ustar();
        header.set_size(zeros.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, format!("b/{number:02}"), zeros.as_slice()).unwrap();
    }
    tar.finish().unwrap();
    drop(tar);
    let bomb = inner.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let text = archive(&[("a/charts/b.tgz", EntryType::Regular, bomb.as_slice())], "LimitExceeded");
    assert!(text.contains("the chart has 100 MiB or more unpacked, at 'charts/b.tgz/19'"), "{text}");
}

#[test]
fn what_is_no_archive() {
    let runner = Runner::new();
    runner.write("repo/a.tgz", "<html>504 Gateway Time-out</html>");
    runner.write("repo/index.yaml", "apiVersion: v1\nentries:\n  a:\n  - {version: 1.0.0, urls: [a.tgz]}\n");
    let server = HttpFiles::serve(&runner.work().join("repo"));
    let text = message(&runner, &repository_job(&server.url(), "a", None), "InvalidSource");
    let expected = "it is not a gzip-compressed tar archive, or is damaged: invalid gzip header; package it with 'helm package'";
    assert_eq!(text, format!("{}/a.tgz: {expected}", server.url()));
}
