//! The architecture, held to: who imports whom, how long files are, what every module says first, and that nothing in the
//! checkout knows the machine it was written on.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source has to panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. A module imports its own layer's earlier and all lower modules, unless [`ONLY`] says less.
const LAYERS: &[&[&str]] = &[
    &["job", "versions", "plan", "digest", "parallel", "retry", "shutdown", "yaml"],
    &["logs", "journal", "telemetry"],
    &["source"],
    &["process"],
    &["workspace", "oci", "cluster"],
    &["provenance"],
    &["executor"],
    &["agent"],
    &["server", "config"],
    &["cli"],
];

/// Modules that know less than all that is below them.
const ONLY: &[(&str, &[&str])] = &[
    ("source", &["job", "versions", "plan", "digest", "parallel", "retry", "shutdown", "yaml", "logs"]),
    ("server", &["job", "versions", "plan", "digest", "parallel", "retry", "shutdown", "yaml", "logs", "telemetry", "source"]),
    (
        "executor",
        &[
            "job",
            "versions",
            "plan",
            "digest",
            "parallel",
            "retry",
            "shutdown",
            "yaml",
            "logs",
            "process",
            "workspace",
            "oci",
            "cluster",
            "provenance",
        ],
    ),
];

/// Longest file there may be, and how long 95 in 100 and every second one may be.
const LONGEST: usize = 600;
const NEARLY_ALL: usize = 400;
const MEDIAN: usize = 150;

#[test]
fn modules_import_only_what_lies_below_them() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        let importer = module_of(&file);
        for (line, import) in imports(&fs::read_to_string(&file).unwrap()) {
            if let Some(why) = breach(&importer, &import) {
                breaches.push(format!("{}:{line}: {importer} imports {import}: {why}", file.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn executors_never_import_one_another() {
    let kinds = executor_kinds();
    let mut breaches = Vec::new();
    for file in rust_files("src/executor") {
        let Some(own) = kinds.iter().find(|kind| is_part_of(&file, kind)) else { continue };
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code_lines(&text) {
            for other in kinds.iter().filter(|kind| *kind != own) {
                if [format!("executor::{other}::"), format!("super::{other}::")].iter().any(|path| line.contains(path)) {
                    breaches.push(format!("{}:{number}: {own} imports {other}", file.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, PathBuf)> = rust_files("src").into_iter().map(|file| (line_count(&file), file)).collect();
    lengths.sort();
    let at = |percent: usize| &lengths[(lengths.len() - 1) * percent / 100];
    for (percent, limit) in [(50, MEDIAN), (95, NEARLY_ALL), (100, LONGEST)] {
        let (lines, file) = at(percent);
        assert!(*lines <= limit, "{percent} % of the files may have at most {limit} lines; {} has {lines}: split by noun", file.display());
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = |file: &PathBuf| !fs::read_to_string(file).unwrap().starts_with("//!");
    let files = ["src", "tests"].into_iter().flat_map(rust_files);
    let silent: Vec<_> = files.filter(silent).filter(|file| !file.ends_with("tests.rs")).collect();
    assert!(silent.is_empty(), "these do not open with //!: {silent:?}");
}

#[test]
fn lints_are_expected_with_a_reason_and_tests_never_ignored() {
    let banned = [["#[", "allow("].concat(), ["#[", "ignore"].concat(), ["#![", "allow("].concat()];
    let mut found = Vec::new();
    for file in ["src", "tests"].into_iter().flat_map(rust_files) {
        let text = fs::read_to_string(&file).unwrap();
        let hits = code_lines(&text).filter(|(_, line)| banned.iter().any(|banned| line.trim_start().starts_with(banned.as_str())));
        found.extend(hits.map(|(number, line)| format!("{}:{number}: {line}", file.display())));
    }
    assert!(found.is_empty(), "use #[expect(…, reason = …)], and not_run! for a test that cannot run:\n{}\n", found.join("\n"));
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Spelled in pieces, so that this file does not find itself.
    let banned = [["/ro", "ot/"], ["/wo", "rk/"], ["/ho", "me/dev"], ["arti", "factory/"]].map(|pieces| pieces.concat());
    let mut found = Vec::new();
    for file in checked_in_files() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let hits = text.lines().enumerate().filter(|(_, line)| banned.iter().any(|banned| line.contains(banned.as_str())));
        found.extend(hits.map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim())));
    }
    assert!(found.is_empty(), "paths of one machine:\n{}\n", found.join("\n"));
}

#[test]
fn the_rules_find_what_they_forbid() {
    let text = "//! use crate::agent::A;\nuse crate::{cli::{X, plan},\n    job::Job};\nlet x = crate::oci::push(1);\n#[cfg(test)]\nmod tests { use crate::cli::Y; }\n";
    let imports: Vec<_> = imports(text).into_iter().map(|(line, import)| format!("{line} {import}")).collect();
    assert_eq!(imports, ["2 cli", "2 job", "4 oci", "6 cli"]);
    assert!(breach("logs", "oci").is_some());
    assert!(breach("source", "oci").is_some());
    assert!(breach("executor", "source").is_some());
    assert!(breach("oci", "somewhere").is_some(), "a module nobody has placed");
    for (importer, import) in [("oci", "logs"), ("cli", "agent"), ("lib", "cli"), ("logs", "logs"), ("workspace", "oci")] {
        assert_eq!(breach(importer, import), None);
    }
}

/// Why a module may not import another; `None` if it may.
fn breach(importer: &str, import: &str) -> Option<String> {
    if importer == import || matches!(importer, "lib" | "main") {
        return None;
    }
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let (Some(from), Some(to)) = (layer(importer), layer(import)) else {
        return Some("one of the two has no layer in tests/house.rs".into());
    };
    if let Some((_, only)) = ONLY.iter().find(|(module, _)| *module == importer) {
        return (!only.contains(&import)).then(|| format!("it knows {} alone", only.join(", ")));
    }
    (to > from).then(|| format!("{} comes later", LAYERS[to].join(", ")))
}

/// The top-level modules that a text names by `crate::`, with their lines. Comments do not count.
fn imports(text: &str) -> Vec<(usize, String)> {
    // Comments go, their line ends stay: a group may go over several lines.
    let code: String =
        text.lines().map(|line| if line.trim_start().starts_with("//") { "\n".into() } else { format!("{line}\n") }).collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        let names = rest.strip_prefix('{').map_or_else(|| vec![identifier(rest)], top_level_names);
        // A name that is no module is a macro or a type of the crate root; those of macros end in `!`.
        let modules = names.into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        found.extend(modules.filter(|name| !rest.starts_with(&format!("{name}!"))).map(|name| (line, name)));
    }
    found
}

/// The first segments of `a::B, c::{D, E}}`: what stands at the start of the group and after its own commas.
fn top_level_names(group: &str) -> Vec<String> {
    let mut names = vec![identifier(group.trim_start())];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Lines that are not comments, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// `src/oci/pack/mod.rs` is in `oci`, `src/retry.rs` is `retry`.
fn module_of(file: &Path) -> String {
    let first = file.strip_prefix(root().join("src")).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).with_extension("").to_string_lossy().into_owned()
}

/// The modules of `src/executor/` that are executors: all but what they share.
fn executor_kinds() -> Vec<String> {
    let entries = fs::read_dir(root().join("src/executor")).unwrap();
    let names = entries.map(|entry| entry.unwrap().path().with_extension("").file_name().unwrap().to_string_lossy().into_owned());
    let mut kinds: Vec<String> =
        names.filter(|name| !matches!(name.as_str(), "mod" | "contract" | "settings" | "shared" | "tests")).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn is_part_of(file: &Path, kind: &str) -> bool {
    file.components().any(|part| Path::new(part.as_os_str()).with_extension("").as_os_str() == kind)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(&root().join(dir), &mut files);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    assert!(!files.is_empty(), "{dir} has no Rust files");
    files
}

/// Everything in the checkout but what git and cargo wrote.
fn checked_in_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(&root(), &mut files);
    files.retain(|file| !file.ends_with("Cargo.lock"));
    files
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let generated = |path: &PathBuf| [".git", "target", "corpus", "artifacts"].iter().any(|name| path.ends_with(name));
    for path in entries.into_iter().filter(|path| !path.is_symlink() && !generated(path)) {
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn line_count(file: &Path) -> usize {
    fs::read_to_string(file).unwrap().lines().count()
}
