//! From flags, environment and file to one text value per setting, each with its origin.

use std::{collections::BTreeMap, path::PathBuf};

use super::{ConfigError, SETTINGS, Setting};

/// Where a value came from; a later one in this list wins over an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The TOML file, with the line it stands on.
    File(PathBuf, usize),
    /// An environment variable, by name.
    Environment(String),
    /// A flag, by name without dashes.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// What the three layers say, before any of it is understood.
#[derive(Debug, Default)]
pub struct Layers {
    /// Flags that were given, by key.
    pub flags: BTreeMap<String, Vec<String>>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Path and text of the TOML file, if there is one.
    pub file: Option<(PathBuf, String)>,
}

/// One value per setting and where it came from.
#[derive(Debug)]
pub struct Resolved {
    values: BTreeMap<&'static str, (Vec<String>, Origin)>,
    /// Things worth a warning: variables that look like settings and are none.
    pub warnings: Vec<String>,
}

impl Resolved {
    /// The values of a setting (none, one, or for lists several) and their origin.
    #[must_use]
    pub fn get(&self, key: &str) -> (&[String], &Origin) {
        self.values.get(key).map_or((&[], &Origin::Default), |(values, origin)| (values.as_slice(), origin))
    }

    /// Each setting with what `config explain` shows for it.
    pub fn explain(&self) -> impl Iterator<Item = (&'static Setting, String, &Origin)> {
        SETTINGS.iter().map(|setting| {
            let (values, origin) = self.get(setting.key);
            let shown = if setting.secret && !values.is_empty() { "(hidden)".to_owned() } else { values.join(",") };
            (setting, shown, origin)
        })
    }
}

/// Merges the layers.
///
/// # Errors
/// Every unknown key and every TOML value of a wrong shape, all at once.
pub fn load(layers: &Layers) -> Result<Resolved, Vec<ConfigError>> {
    let (file, errors) = layers.file.as_ref().map_or_else(Default::default, |(path, text)| read_file(path, text));
    let mut values = BTreeMap::new();
    for setting in SETTINGS {
        // An empty variable is set: it unsets what the file says. For the second name it is not: `RUNNER_ID=` means nobody.
        let variable = setting.variables().find(|name| {
            let value = layers.environment.get(name);
            value.is_some_and(|value| !value.is_empty() || *name == setting.variable())
        });
        let entry = if let Some(given) = layers.flags.get(setting.key) {
            (given.iter().flat_map(|text| split(setting, text)).collect(), Origin::Flag(setting.flag()))
        } else if let Some((variable, text)) = variable.and_then(|name| layers.environment.get_key_value(&name)) {
            (split(setting, text), Origin::Environment(variable.clone()))
        } else if let Some(entry) = file.get(setting.key) {
            entry.clone()
        } else {
            (default(setting, &layers.environment), Origin::Default)
        };
        values.insert(setting.key, entry);
    }
    if errors.is_empty() { Ok(Resolved { values, warnings: strange_variables(layers) }) } else { Err(errors) }
}

/// Every default is a constant, but for the state folder.
fn default(setting: &Setting, environment: &BTreeMap<String, String>) -> Vec<String> {
    if setting.key == "state_dir" { vec![default_state_dir(environment).display().to_string()] } else { split(setting, setting.default) }
}

/// `$XDG_STATE_HOME/build-runner`, `~/.local/state/build-runner`, or without a home `/var/lib/build-runner`.
fn default_state_dir(environment: &BTreeMap<String, String>) -> PathBuf {
    let set = |name: &str| environment.get(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| "/var/lib".into())
        .join("build-runner")
}

/// An empty text is no value at all: `BUILD_RUNNER_CA_FILE=` unsets what the file says.
fn split(setting: &Setting, text: &str) -> Vec<String> {
    if setting.list {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        vec![text.to_owned()]
    }
}

type FileValues = BTreeMap<&'static str, (Vec<String>, Origin)>;

fn read_file(path: &std::path::Path, text: &str) -> (FileValues, Vec<ConfigError>) {
    let mut values = BTreeMap::new();
    let mut errors = Vec::new();
    let table = match toml::de::DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let place = format!("{}:{line}", path.display());
            return (values, vec![ConfigError { place, problem: format!("not TOML: {}", error.message()) }]);
        }
    };
    for (key, value) in table.into_inner() {
        let line = line_of(text, key.span().start);
        let place = format!("{}:{line}", path.display());
        let name = key.into_inner();
        let Some(setting) = SETTINGS.iter().find(|s| s.key == name) else {
            errors.push(ConfigError { place, problem: unknown(&name) });
            continue;
        };
        match texts(setting, value.into_inner()) {
            Ok(found) => {
                values.insert(setting.key, (found, Origin::File(path.to_owned(), line)));
            }
            Err(problem) => errors.push(ConfigError { place, problem }),
        }
    }
    (values, errors)
}

fn texts(setting: &Setting, value: toml::de::DeValue<'_>) -> Result<Vec<String>, String> {
    use toml::de::DeValue;
    let scalar = |value: DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.into_owned()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        _ => Err(()),
    };
    match value {
        DeValue::Array(items) if setting.list => items
            .into_iter()
            .map(|item| scalar(item.into_inner()).map_err(|()| format!("{} takes an array of strings", setting.key)))
            .collect(),
        other => scalar(other)
            .map(|text| split(setting, &text))
            .map_err(|()| format!("{} takes {}", setting.key, if setting.list { "an array of strings" } else { "one value" })),
    }
}

fn unknown(name: &str) -> String {
    let close = close(name, SETTINGS.iter().map(|s| s.key)).map_or_else(String::new, |close| format!("did you mean '{close}'? "));
    format!("unknown setting '{name}'; {close}`build-runner config explain` lists them all")
}

/// The name that was probably meant: three slips at the most, and of a short name no more than half.
fn close<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    near.filter(|(slips, candidate)| *slips <= 3.min(candidate.len() / 2)).min_by_key(|(slips, _)| *slips).map(|(_, candidate)| candidate)
}

/// The environment is shared with others (Kubernetes puts `BUILD_RUNNER_SERVICE_HOST` there for a Service of that name), so a
/// strange variable is worth a warning, not a refusal.
fn strange_variables(layers: &Layers) -> Vec<String> {
    let known: Vec<String> = SETTINGS
        .iter()
        .map(Setting::variable)
        .chain(["CONFIG", "SERVER", "TOKEN_FILE"].map(|name| format!("BUILD_RUNNER_{name}")))
        .collect();
    layers
        .environment
        .keys()
        .filter(|name| name.starts_with("BUILD_RUNNER_") && !known.contains(name))
        .filter(|name| !name.contains("_SERVICE_") && !name.contains("_PORT"))
        .filter_map(|name| {
            let close = close(name, known.iter().map(String::as_str))?;
            Some(format!("environment {name}: no such setting; did you mean {close}?"))
        })
        .collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(0, |before| before.matches('\n').count()) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(file: &str) -> Layers {
        Layers { file: Some(("c.toml".into(), file.to_owned())), ..Layers::default() }
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let mut layers = layers("log_level = 'debug'\nplain_http_hosts = ['a', 'b']");
        let level = |layers: &Layers| {
            let resolved = load(layers).expect("no errors");
            let (values, origin) = resolved.get("log_level");
            format!("{} {origin}", values[0])
        };
        assert_eq!(level(&layers), "debug c.toml:1");
        layers.environment.insert("BUILD_RUNNER_LOG_LEVEL".into(), "warn".into());
        assert_eq!(level(&layers), "warn environment BUILD_RUNNER_LOG_LEVEL");
        layers.flags.insert("log_level".into(), vec!["error".into()]);
        assert_eq!(level(&layers), "error flag --log-level");
        assert_eq!(level(&Layers::default()), "info default");
        assert_eq!(load(&layers).expect("no errors").get("plain_http_hosts").0, ["a", "b"]);
    }

    #[test]
    fn every_mistake_of_the_file_is_named_at_once() {
        let errors = load(&layers("log_levle = 'x'\nstate_dir = [1]\nnonsense = 1")).expect_err("three mistakes");
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown.iter().any(|e| e.starts_with("c.toml:1: unknown setting 'log_levle'; did you mean 'log_level'?")), "{shown:?}");
        assert!(shown.iter().any(|e| e.contains("c.toml:2: state_dir takes one value")), "{shown:?}");
        assert!(shown.iter().any(|e| e.starts_with("c.toml:3: unknown setting 'nonsense'; `build-runner config explain`")), "{shown:?}");
    }

    #[test]
    fn mistyped_variables_are_warned_of_but_service_links_are_not() {
        let mut layers = Layers::default();
        for name in ["BUILD_RUNNER_STATE_DIRR", "BUILD_RUNNER_SERVICE_HOST", "BUILD_RUNNER_PORT_80_TCP"] {
            layers.environment.insert(name.into(), "x".into());
        }
        let warnings = load(&layers).expect("no errors").warnings;
        assert_eq!(warnings, ["environment BUILD_RUNNER_STATE_DIRR: no such setting; did you mean BUILD_RUNNER_STATE_DIR?"]);
    }
}
