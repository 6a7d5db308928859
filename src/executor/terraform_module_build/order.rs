//! Which files of a folder `OpenTofu` reads, and whose word counts where two files say something of the same thing.
//!
//! In: the configuration files of one folder. Out: which of them it passes over, and which calls get their source from elsewhere. Rules:
//! `internal/configs/parser_config_dir.go`. `main.tofu` stands before `main.tf`, which only Terraform reads then; what `override.tf` and
//! `*_override.tf` say replaces what the other files say, the last by name going before the rest. Called by [`super::calls`].

use std::collections::{BTreeMap, BTreeSet};

use super::{
    config::{Call, Source},
    inspect::Parsed,
    path,
};

/// Override files go last, each group by name.
type Rank<'f> = (bool, &'f str);

/// The files of one folder.
#[derive(Debug, Default)]
pub(crate) struct Order<'f> {
    shadowed: BTreeSet<&'f str>,
    /// By the name of a call: the last override file that gives it a source.
    sources: BTreeMap<&'f str, Rank<'f>>,
}

impl<'f> Order<'f> {
    pub(crate) fn of(files: &'f [(String, Parsed)]) -> Self {
        let names: BTreeSet<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
        let is_shadowed = |file: &&str| other_dialect(file).is_some_and(|other| names.contains(other.as_str()));
        let mut order = Self { shadowed: names.iter().copied().filter(is_shadowed).collect(), sources: BTreeMap::new() };
        for (file, config) in files.iter().filter(|(file, _)| is_override(file) && !order.shadowed.contains(file.as_str())) {
            for call in config.iter().flat_map(|config| &config.calls).filter(|call| call.source != Source::Missing) {
                let last = order.sources.entry(&call.name).or_insert_with(|| rank(file));
                *last = rank(file).max(*last);
            }
        }
        order
    }

    /// Whether `OpenTofu` leaves the file alone.
    pub(crate) fn is_shadowed(&self, file: &str) -> bool {
        self.shadowed.contains(file)
    }

    /// Whether another file says where the module is that `call` in `file` calls.
    pub(crate) fn is_overridden(&self, file: &str, call: &Call) -> bool {
        self.sources.get(call.name.as_str()).is_some_and(|last| *last > rank(file))
    }
}

fn rank(file: &str) -> Rank<'_> {
    (is_override(file), file)
}

/// The name of a `.tf` file in `OpenTofu`'s own dialect.
fn other_dialect(file: &str) -> Option<String> {
    let json = file.strip_suffix(".tf.json").map(|stem| format!("{stem}.tofu.json"));
    json.or_else(|| file.strip_suffix(".tf").map(|stem| format!("{stem}.tofu")))
}

/// Whether what the file says replaces what other files say.
pub(crate) fn is_override(file: &str) -> bool {
    let stem = [".tf", ".tofu", ".tf.json", ".tofu.json"].iter().find_map(|suffix| path::name(file).strip_suffix(suffix));
    stem.is_some_and(|stem| stem == "override" || stem.ends_with("_override"))
}

#[cfg(test)]
mod tests {
    use super::{super::config::Syntax, *};

    fn folder(files: &[(&str, &str)]) -> Vec<(String, Parsed)> {
        files.iter().map(|(name, text)| (format!("m/{name}"), Syntax::of(name).expect(name).parse(text.as_bytes()))).collect()
    }

    #[test]
    fn the_other_dialect_goes_first() {
        let files = ["main.tf", "main.tofu", "x.tf.json", "x.tofu.json", "y.tf", "y.tofu.json", "z.tofu"].map(|name| (name, "{}"));
        let files = folder(&files);
        let order = Order::of(&files);
        let shadowed: Vec<_> = files.iter().map(|(file, _)| file.as_str()).filter(|file| order.is_shadowed(file)).collect();
        assert_eq!(shadowed, ["m/main.tf", "m/x.tf.json"]);
    }

    #[test]
    fn the_last_override_has_its_way() {
        let call = |source: &str| format!("module \"a\" {{\n{source}\n}}\n");
        let (one, none) = (call("source = \"./x\""), call("x = 1"));
        let files = folder(&[
            ("a_override.tf", &one),
            ("b_override.tf", &one),
            ("c_override.tf", &none),
            ("d_override.tf", &one),
            ("d_override.tofu", &none),
            ("z.tf", &one),
        ]);
        let order = Order::of(&files);
        let is_overridden = |(file, config): &(String, Parsed)| order.is_overridden(file, &config.as_ref().expect("parses").calls[0]);
        assert_eq!(files.iter().map(is_overridden).collect::<Vec<_>>(), [true, false, false, false, false, true]);
        assert!(is_override("override.tf.json") && !is_override("x/override.md") && !is_override("overrides.tf"));
    }
}
